"""What the log is given and gives back: entries, receipts, records. No I/O."""

import msgspec

from headrace.model.event import Event, event_id


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What goes into the log. `key`: 16 bytes that make a repeat of the entry a repeat, or b"" for none."""

    payload: bytes
    key: bytes = b""


class _Placed(msgspec.Struct, frozen=True, gc=False):
    """Position and tail make the event's id; as text it is made where somebody asks."""

    position: int
    tail: int

    @property
    def id(self) -> str:
        return event_id(self.position, self.tail)


class Receipt(_Placed, frozen=True, gc=False):
    """What the log gave an entry; for a duplicate, what it gave the first."""

    duplicate: bool = False


class Record(_Placed, frozen=True, gc=False):
    """An entry as it is read back."""

    payload: bytes


class Keyed(_Placed, frozen=True, gc=False):
    """A stored event that has a dedup key, and where it is. Of the event, only what the key is made of."""

    event: Event
