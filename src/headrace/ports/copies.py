"""What a backup needs of the store."""

from array import array
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec


class Figures(msgspec.Struct, frozen=True):
    """By which two sets of events are compared. sum: of a hash of each event's position and tail, modulo 2 to the 64."""

    count: int
    sum: int


class FrozenParts(Protocol):
    """The store's files, as they are at one moment. Raises StoreFailed."""

    def freeze(self, name: str, /) -> list[Path]:
        """Links to the files of every part, each part in a folder of its name. name: of letters, digits and underscores."""
        ...

    def frozen(self, name: str, /) -> Path:
        """The folder with all of a name's links."""
        ...


class EmptyStore(Protocol):
    """A store without events that takes the parts of another. Raises StoreFailed."""

    def arriving_parts(self) -> Path:
        """The folder into which a part's folder has to be put."""
        ...

    def attach(self, name: str, /) -> None:
        """Make a part's events the store's."""
        ...


class CopiedRows(Protocol):
    """A store whose events are copied one by one, not as files. Of all tenants, by position. Raises StoreFailed."""

    def minutes(self, upto: int, /) -> "array[int]":
        """For each minute of receipt with events up to a position, in order: the minute since 1970, and the two `Figures`."""
        ...

    def figures(self, after: int, upto: int, /) -> Figures:
        """Those of the events between two positions."""
        ...

    def rows(self, after: int, upto: int, /) -> AbstractContextManager[BinaryIO]:
        """The events between two positions, each a line, in no order. An error in the middle may look like an end."""
        ...

    def add_rows(self, rows: BinaryIO, /) -> None:
        """Store lines that `rows` has given. If that fails, some of them may be stored."""
        ...
