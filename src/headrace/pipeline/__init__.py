"""The path of an event: intake, worker, reactions."""
