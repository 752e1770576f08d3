"""Two stores, of which one gets every event of the other. Every method raises StoreFailed."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.moving import Day, Summary


class Compared(Protocol):
    """Either of the two, as far as they are compared."""

    def days(self) -> list[Day]:
        """Every day on which it has received events, oldest first."""
        ...

    def summary(self, columns: Sequence[str], after: int, upto: int, /) -> Summary:
        """What the store has of these positions."""
        ...


class MoveSource(Compared, Protocol):
    """The store whose events are moved. Nobody changes it meanwhile."""

    def lot(self, after: int, upto: int, /) -> tuple[int, int]:
        """The last position and the number of the events to move next; (0, 0) for none."""
        ...

    def rows(self, columns: Sequence[str], fence: int, after: int, upto: int, /) -> bytes:
        """A lot, as `MoveTarget.insert` takes it."""
        ...


class MoveTarget(Compared, Protocol):
    """The store that gets them. fence: of the run that inserts; an insert of an earlier run stores nothing."""

    fence: int

    def columns(self) -> list[str]:
        """What an event is made of."""
        ...

    def last(self, after: int, upto: int, /) -> int:
        """The last position that it has between two; `after` if there is none."""
        ...

    def insert(self, columns: Sequence[str], rows: bytes, /) -> None:
        """Insert a lot, all or none."""
        ...

    def remove(self, after: int, upto: int, /) -> None:
        """Remove what it has of these positions."""
        ...
