"""The list of erased events in control."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from headrace.model.entries import ErasedEvent


class ErasedEvents(Protocol):
    """The list of events that were erased on purpose. No start may bring them back, and no check may report them as lost.

    List an event before it is removed from the store, so that a crash in between cannot bring it back. Any thread may call
    it. Raises ControlFailed.
    """

    def add(self, events: Sequence[ErasedEvent], /) -> None:
        """Durably list events. An event that is listed already stays as it is."""
        ...

    def count(self, after: int, upto: int, /) -> int:
        """How many listed events have `after` < position <= `upto`."""
        ...

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """The listed events with `after` < position <= `upto`, in order, some thousands at a time."""
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a listed event, or `after` if that is greater."""
        ...
