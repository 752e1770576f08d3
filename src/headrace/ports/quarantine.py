"""Entries of the log that were put aside because they cannot be read as they were written. Everything raises ControlFailed."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from headrace.model.entries import ErasedEvent
from headrace.model.quarantine import Quarantined


class PutAside(Protocol):
    """What the worker, recovery and checks need to know of them: the store lacks these events, and no start makes up for it."""

    def add(self, entries: Sequence[Quarantined], /) -> int:
        """Durably list entries that are not listed yet; how many are new."""
        ...

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """Where the events with `after` < position <= `upto` are, dropped ones too, in order and some thousand at a time.

        Those that were dropped have no key.
        """
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of one, if it is past `after`; else `after`."""
        ...


class Quarantine(PutAside, Protocol):
    """What an operator does with them."""

    def listed(self, after: int, limit: int, /) -> list[Quarantined]:
        """Those that are put aside and were not dropped, past a position, in order."""
        ...

    def find(self, positions: Sequence[int], /) -> list[Quarantined]:
        """Those at some positions that are put aside and were not dropped, in order."""
        ...

    def drop(self, positions: Sequence[int], now_ms: int, /) -> None:
        """Give them up for good: their bytes and keys go, and they stay on the list so that nobody takes them for lost."""
        ...

    def remove(self, positions: Sequence[int], /) -> None:
        """Take them off the list: they are stored now."""
        ...

    def count(self) -> int:
        """How many are put aside and were not dropped."""
        ...
