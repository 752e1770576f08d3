"""What exports and imports ask the store, always of one tenant."""

from collections.abc import Callable, Sequence
from typing import Protocol

from headrace.model.event import StoredEvent, Tenant
from headrace.model.exports import Mark, Place, Twins
from headrace.model.filters import Filters


class Exports(Protocol):
    """The matching events in the order of the log, in pieces. Any thread may ask. Raises InvalidRequest, Unavailable.

    A piece is what lies between two positions. Whole events take memory, so ask `places` first and cut there.
    """

    def left(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> int:
        """How many events there are between two positions."""
        ...

    def places(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[Place]:
        """Where the first of them are, at most `limit`."""
        ...

    def whole(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> list[StoredEvent]:
        """The events themselves. Raises InvalidRequest where they take too much memory: ask for fewer."""
        ...

    def columns(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> bytes:
        """The events as an Arrow stream, in the columns of an export. Raises as `whole`.

        Source: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
        """
        ...


class ExportMarks(Protocol):
    """How far a continuous export to one target has come, by tenant. Any thread may call it. Raises ControlFailed."""

    def tenants(self) -> Sequence[Tenant]:
        """Every project in both modes."""
        ...

    def mark(self, tenant: Tenant, /) -> Mark:
        """Where the tenant is; at the beginning if nothing of it was ever exported."""
        ...

    def intend(self, tenant: Tenant, upto: int, /) -> None:
        """Durably note that the next file ends at this position: after a crash it is written again, and no other."""
        ...

    def done(self, tenant: Tenant, upto: int, /) -> None:
        """Durably note that the file up to this position is there."""
        ...


class ExportTarget(Protocol):
    """Where a continuous export puts its files. Raises OSError."""

    def put(self, path: str, write: Callable[[Callable[[bytes], object]], None], /) -> None:
        """A file at a path with slashes: whole, durable and in the place of one of the same name, or not at all.

        write: called with what takes the file's bytes, part by part.
        """
        ...


class StoredTwins(Protocol):
    """Which of the events of an import the store has already. Any thread may ask. Raises Unavailable."""

    def twins(
        self, tenant: Tenant, moments: Sequence[tuple[str, int]], ids: Sequence[str], message_ids: Sequence[str], /
    ) -> Twins:
        """Of the events at these (name, millisecond): their ids, of those asked for, and the dedup keys of message ids.

        moments, ids, message_ids: some thousand each.
        """
        ...
