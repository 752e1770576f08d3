"""What is listed of one partition's events, for the worker that stores it: those erased on purpose, and those put aside."""

from collections.abc import Iterator, Sequence

from headrace.model.entries import ErasedEvent
from headrace.model.event import partition_of
from headrace.model.quarantine import Quarantined
from headrace.ports.erasures import ErasedEvents
from headrace.ports.quarantine import PutAside


class _Listed:
    def __init__(self, whole: ErasedEvents | PutAside, partition: int) -> None:
        self._pages = whole.pages
        self._partition = partition
        self.last = whole.last  # of all: more is asked for than need be

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        for page in self._pages(after, upto):
            if own := [each for each in page if partition_of(each.position) == self._partition]:
                yield own


class ErasedInPartition(_Listed):
    """Fits the ErasedEvents port."""

    def __init__(self, whole: ErasedEvents, partition: int) -> None:
        super().__init__(whole, partition)
        self._add = whole.add

    def add(self, events: Sequence[ErasedEvent], /) -> None:
        self._add(events)

    def count(self, after: int, upto: int, /) -> int:
        return sum(map(len, self.pages(after, upto)))


class PutAsideInPartition(_Listed):
    """Fits the PutAside port."""

    def __init__(self, whole: PutAside, partition: int) -> None:
        super().__init__(whole, partition)
        self._add = whole.add

    def add(self, entries: Sequence[Quarantined], /) -> int:
        return self._add(entries)
