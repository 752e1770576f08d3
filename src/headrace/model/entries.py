"""What the log is given and gives back: entries, receipts, records. No I/O."""

from enum import IntEnum

import msgspec

from headrace.model.event import Event, event_id


class Kind(IntEnum):
    """What an entry is. The numbers are on disk: never change one, and never give one to another kind.

    All but events are commands: they are run in their order in the log, and never stored as events.
    """

    EVENT = 0
    ERASURE = 1
    MERGE = 2
    TIMER = 3
    REPLAY = 4


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What goes into the log. `key`: 16 bytes that make a repeat of the entry a repeat, or b"" for none.

    `kind`: a Kind, or another number up to 255.
    """

    payload: bytes
    key: bytes = b""
    kind: int = 0


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
    """An entry as it is read back. Its kind may be one that this version does not know."""

    payload: bytes
    kind: int = 0


class Held(msgspec.Struct, frozen=True):
    """What a log still holds up to and with a position.

    `events`: how many events, commands not counted. `after`: the position just before the first entry, or the position
    asked for if there is none. `last_event`: the last event's position, which may have been trimmed; 0 if it is not known.
    """

    events: int
    after: int
    last_event: int


class Keyed(_Placed, frozen=True, gc=False):
    """A stored event that has a dedup key, and where it is. Of the event, only what the key is made of."""

    event: Event


class ErasedEvent(_Placed, frozen=True, gc=False):
    """All that is kept of an event that was erased on purpose: its place and its dedup key, b"" for none.

    The key is a hash, and outlives the event so that a late retry does not bring it back.
    """

    key: bytes = b""
