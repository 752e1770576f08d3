"""The input and output of the log: entries, receipts, records. No I/O."""

from enum import IntEnum
from typing import Any

import msgspec

from headrace.model.event import Event, event_id


class Kind(IntEnum):
    """The kind of an entry. The numbers are on disk: never change one, and never reuse one for another kind.

    EVENT and ERASED are events. All others are commands: they run in log order and are never stored as events.
    ERASED stands in the place of an event that was erased on purpose: its payload is empty.
    """

    EVENT = 0
    ERASURE = 1
    MERGE = 2
    TIMER = 3
    REPLAY = 4
    ERASED = 255


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One item to append to the log. `key`: 16 bytes by which repeats of the entry are recognised, or b"" for none.

    `kind`: a Kind, or another number up to 255.
    """

    payload: bytes
    key: bytes = b""
    kind: int = 0


class _Placed(msgspec.Struct, frozen=True, gc=False):
    """Position and tail together are the event's id; its text is made only when asked for."""

    position: int
    tail: int

    @property
    def id(self) -> str:
        return event_id(self.position, self.tail)


class Receipt(_Placed, frozen=True, gc=False):
    """The position and tail that the log gave an entry; for a duplicate, those of the first one."""

    duplicate: bool = False


class Record(_Placed, frozen=True, gc=False):
    """An entry as read back from the log. This version may not know its kind."""

    payload: bytes
    kind: int = 0


UNREADABLE = 256  # a kind that is never on disk, where a kind is one byte


class Unreadable(Record, frozen=True, gc=False):
    """What the log returns in place of an entry that it cannot read as written. Its kind is UNREADABLE.

    payload: the bytes as read, b"" if not even that was possible. was: the kind in the log. key: its dedup key, if that could be
    read. entries: how many entries this may stand for, 0 if unknown.
    """

    why: str = ""
    was: int = 0
    key: bytes = b""
    entries: int = 1

    @classmethod
    def at(cls, position: int, tail: int, payload: bytes, why: str, **more: Any) -> "Unreadable":
        return cls(position, tail, payload, UNREADABLE, why, **more)


class Held(msgspec.Struct, frozen=True):
    """A summary of the entries that a log still holds up to and including a position.

    `events`: the number of events, without commands. `after`: the position just before the first entry, or the position
    asked for if there is none. `last_event`: the last event's position, which may have been trimmed; 0 if it is not known.
    """

    events: int
    after: int
    last_event: int


class Keyed(_Placed, frozen=True, gc=False):
    """A stored event that has a dedup key, with its position. `event` has only the fields that the key is made of."""

    event: Event


class ErasedEvent(_Placed, frozen=True, gc=False):
    """What remains of an event that was erased on purpose: its position and its dedup key, b"" for none.

    The key is a hash. It outlives the event so that a late retry does not bring the event back.
    """

    key: bytes = b""
