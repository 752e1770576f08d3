"""The way of an event: intake, worker, reactions."""
