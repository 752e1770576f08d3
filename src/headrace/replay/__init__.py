"""Replays stored events through the reactions: at once, or as a job."""
