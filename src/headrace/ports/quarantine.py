"""Log entries that were put aside because they cannot be read as written. Everything raises ControlFailed."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from headrace.model.entries import ErasedEvent
from headrace.model.quarantine import Quarantined


class PutAside(Protocol):
    """For the worker, recovery and checks: the store lacks these events, and a start cannot restore them."""

    def add(self, entries: Sequence[Quarantined], /) -> int:
        """Durably list entries that are not listed yet. Returns how many are new."""
        ...

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """The listed events with `after` < position <= `upto`, dropped ones included, in order, some thousands at a time.

        Dropped events have no key.
        """
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a listed event, or `after` if that is greater."""
        ...


class Quarantine(PutAside, Protocol):
    """For the operator."""

    def listed(self, after: int, limit: int, /) -> list[Quarantined]:
        """Entries that are put aside and not dropped, after a position, in order."""
        ...

    def find(self, positions: Sequence[int], /) -> list[Quarantined]:
        """Entries at some positions that are put aside and not dropped, in order."""
        ...

    def drop(self, positions: Sequence[int], now_ms: int, /) -> None:
        """Give entries up for good: delete their bytes and keys. They stay on the list, so that they are not reported as lost."""
        ...

    def remove(self, positions: Sequence[int], /) -> None:
        """Take entries off the list because they are stored now."""
        ...

    def count(self) -> int:
        """How many are put aside and not dropped."""
        ...
