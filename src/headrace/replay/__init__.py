"""Stored events through the reactions again: at once, or as a job."""
