"""The log: the one thing that an acknowledgement rests on."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.entries import Entry, Held, Receipt, Record


class Log(Protocol):
    """Durable and ordered; the one thing that an acknowledgement rests on. Any thread may call it."""

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        """Write entries durably, in order, all or none; a repeated key writes nothing.

        Returns one receipt per entry, in order. A key seen within the dedup window, also earlier in the same call, gives
        a receipt with `duplicate` and the first one's position and id. Positions strictly increase and are never reused,
        and two logs of different partitions never give the same one.
        Raises Unavailable if nothing was acknowledged; after a return, everything survives power loss.
        """
        ...

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """The records after a position, in order: at least one if there is one, then up to either bound."""
        ...

    def last(self) -> int:
        """The position of the last durable entry, or the floor below which none will ever be given."""
        ...

    def held(self, upto: int, /) -> Held:
        """What is still held up to and with a position."""
        ...

    def trim(self, upto: int, /) -> int:
        """Forget entries up to and with a position, and keys past their window; return how many entries went.

        Works in bounded steps, so one call may leave some for the next.
        """
        ...

    def size_bytes(self) -> int:
        """Bytes of payload that the log holds."""
        ...

    def close(self) -> None: ...
