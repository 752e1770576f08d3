"""Entries of the log that were put aside because they cannot be read as they were written. No I/O."""

import msgspec

from headrace.model.event import event_id


class Quarantined(msgspec.Struct, frozen=True):
    """One of them. kind: the kind that it was written with.

    payload: the bytes as they were read, b"" when there were none, or once it was dropped. key: its dedup key, b"" for none or
    when it cannot be read. dropped_at_ms: when an operator gave it up for good; None while it is put aside.
    """

    position: int
    tail: int
    kind: int
    why: str
    payload: bytes
    key: bytes
    found_at_ms: int
    dropped_at_ms: int | None = None

    @property
    def id(self) -> str:
        return event_id(self.position, self.tail)
