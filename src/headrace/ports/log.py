"""The log, on which every acknowledgement rests. One protocol for each kind of caller; an adapter fits them all.

An embedded log has one partition. A shared one has several, each read and trimmed by the worker that owns it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from headrace.model.entries import Entry, Held, Receipt, Record

Tails = Mapping[int, int]
"""By partition: the position of its last acknowledged entry."""


class LogWriter(Protocol):
    """Where intake makes events durable. Any thread may call it."""

    def append(self, entries: Sequence[Entry], /, *, history: bool = False) -> list[Receipt]:
        """Write entries durably, in order, all or none; a repeated key writes nothing.

        history: the ids of what is written say that it is history: see `model.event`.

        Returns one receipt per entry, in order. A key seen within the dedup window, also earlier in the same call, gives
        a receipt with `duplicate` and the first one's position and id. Positions strictly increase and are never reused,
        and two logs of different partitions never give the same one.
        Raises Unavailable if nothing was acknowledged; after a return, everything survives power loss.
        """
        ...


class LogReader(Protocol):
    """One partition's entries. May do I/O: not for the event loop's thread. Raises Unavailable."""

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """The records after a position, in order: at least one if there is one, then up to either bound."""
        ...

    def last(self) -> int:
        """The position of the last durable entry, or the floor at or below which no position will ever be given."""
        ...

    def held(self, upto: int, /) -> Held:
        """A summary of what is still held up to and including a position."""
        ...


class Log(LogReader, Protocol):
    """One partition's entries, for the worker that owns the partition."""

    def trim(self, upto: int, /) -> int:
        """Delete entries up to and including a position, and keys past their window. Returns the number of deleted entries.

        Works in bounded steps, so one call may leave some for the next.
        """
        ...

    def give_back_room(self) -> None:
        """Return disk space that trimmed entries took, as far as that is possible now. Raises Unavailable."""
        ...

    def size_bytes(self) -> int:
        """Bytes of payload that the partition holds."""
        ...


class LogTails(Protocol):
    """Where the log ends, for requests that wait until everything acknowledged before them is visible."""

    async def tails(self) -> Tails:
        """The tail of every partition, including those never written to. For the event loop's thread.

        An entry acknowledged before the call, by any process, is at or below its partition's tail. Raises Unavailable.
        """
        ...


class KnownKeys(Protocol):
    """The keys by which the log recognises repeats. Any thread may call it."""

    def knows(self, key: bytes, /) -> int | None:
        """The position of the first entry with this key, if an append would recognise a repeat of it now. Raises Unavailable."""
        ...

    def dedup_window_s(self) -> float:
        """How far back keys are known: less than the setting once the keys exceed their disk space."""
        ...


class LostKeys(Protocol):
    """A log that keeps its keys apart from its entries, and so may lose only the keys. For startup, before the first append."""

    def lost_keys(self) -> tuple[int, int] | None:
        """(after, upto): the positions whose keys are unknown until they have been learnt; None if none are missing."""
        ...

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """Add lost keys again, with the position and tail that each was first given. done: whether these were the last.

        Raises Unavailable.
        """
        ...
