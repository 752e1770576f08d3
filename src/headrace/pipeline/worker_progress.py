"""How far a worker has come."""


class WorkerProgress:
    """Only the worker's thread writes; reading an integer needs no lock."""

    def __init__(self) -> None:
        self.visible = 0  # every event up to here is in the store
        self.flushing = False  # whether it is moving a batch
        self.ready = False  # a probe was written, and recovery has begun
        self.stored_events = 0
        self.flushes = 0
