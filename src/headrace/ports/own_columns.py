"""Columns that tags and properties have for themselves."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.own_columns import ColumnKey, CountedBy, OwnColumn, Use


class UsedKeys(Protocol):
    """Which tags and properties queries ask for. Raises StoreFailed."""

    def keep_uses(self) -> bool:
        """Write down what was asked for since the last call; whether there was anything. If that fails, it is lost."""
        ...

    def uses(self, since_ms: int, /) -> list[Use]:
        """What was asked for since a moment, as far as it was written down."""
        ...


class NewColumns(Protocol):
    """Gives columns. Raises StoreFailed."""

    def estimate(self, key: ColumnKey, /) -> tuple[int, int]:
        """How many bytes a column would take at most, about, and how many are free on the disk."""
        ...

    def add(self, key: ColumnKey, project: str, now_ms: int, /) -> None:
        """Declare a column. From now on inserts write it; no query uses it yet. May be repeated."""
        ...

    def adopt(self, column: OwnColumn, now_ms: int, /) -> None:
        """Note since when a column is there that the settings no longer name."""
        ...

    def fill(self, columns: Sequence[OwnColumn], partition: str, /) -> None:
        """Begin to write columns into a partition's parts. Goes on behind, also after a restart."""
        ...

    def filling(self) -> list[str]:
        """For each `fill` and `fill_counts` that is not done: why its last attempt failed, or ""."""
        ...


class NewCounts(Protocol):
    """Gives columns counts: see `COUNTED_BY`. Raises StoreFailed."""

    def groups(self, column: OwnColumn, by: CountedBy, /) -> tuple[int, int]:
        """How many groups such counts would have, about, and of how many events, in some of the events."""
        ...

    def count(self, column: OwnColumn, by: CountedBy, /) -> None:
        """Declare counts. From now on merges write them; no query uses them yet. May be repeated."""
        ...

    def fill_counts(self, columns: Sequence[OwnColumn], partition: str, /) -> None:
        """Begin to write counts of a partition's parts. Goes on behind, as `fill` does, and is told by `filling`."""
        ...


class OldColumns(Protocol):
    """Takes columns away. Raises StoreFailed."""

    def own_columns(self) -> list[OwnColumn]:
        """Every column there is, by name; from now on queries use those that are complete, and counts that are."""
        ...

    def retire(self, column: OwnColumn, /) -> None:
        """From now on no query that begins uses the column."""
        ...

    def drop(self, column: OwnColumn, /) -> None:
        """Remove a column and its counts. Queries that use it fail, so retire it first, and wait. May be repeated."""
        ...


class OwnColumnStore(UsedKeys, NewColumns, NewCounts, OldColumns, Protocol):
    """A store whose columns come and go. No answer depends on them. One thread changes them; any may read."""
