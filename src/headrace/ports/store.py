"""The store: where events stay, and every question about them."""

import secrets
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from headrace.model.entries import Record
from headrace.model.event import StoredEvent, Tenant
from headrace.model.filters import (
    Catalog,
    CatalogPage,
    Counts,
    Cursor,
    Dimension,
    Events,
    Filters,
    Observed,
    Page,
    Stats,
)
from headrace.model.measures import Measured, Metric, MetricList, Question
from headrace.model.zones import UTC_ZONE, Interval, Zone


class Store(Protocol):
    """Where events stay. One thread writes."""

    def insert(self, records: Sequence[Record], /) -> None:
        """Store records whose positions fall in one month, in one atomic, durable step; visible on return.

        Raises StoreRefused, and StoreFailed when it is not known whether they were stored: ask `present`.
        """
        ...

    def present(self, after: int, upto: int, /) -> set[str]:
        """The ids of all stored events with `after` < position <= `upto`, of every tenant. Raises StoreFailed."""
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a stored event, if it is past `after`; else `after`. Raises StoreFailed."""
        ...

    def held(self, after: int, upto: int, /) -> int:
        """How many stored events have `after` < position <= `upto`, of every tenant. Raises StoreFailed."""
        ...

    def damaged(self) -> list[str]:
        """What is wrong with the store's files, a text for each part that cannot be read. Reads them all. Raises StoreFailed."""
        ...


class ErasableStore(Store, Protocol):
    """A store that can also give events up for good."""

    def stored(self, ids: Sequence[str], /) -> set[str]:
        """Those of some thousand ids that the store has, of every tenant. Raises StoreFailed."""
        ...

    def erase(self, ids: Sequence[str], /) -> None:
        """Remove events from disk and from every answer; done on return. Ids of no event are passed over.

        For the writing thread. Rewrites what it is part of, so give it many ids at once. Raises StoreFailed when it is not
        known whether they are gone: call it again.
        """
        ...


class StoreFailed(Exception):
    """The store did not answer, or refused; whether it stored the records is not known."""


class StoreRefused(StoreFailed):
    """The store cannot take some of these records, however often it is asked; none of them was stored."""


class MetricReader(Protocol):
    """Every question of metrics, always of one tenant, whose own namespace it looks into. See Reader."""

    def metrics(self, tenant: Tenant, /) -> MetricList:
        """The first MAX_METRICS metrics by name, without the keys of their tags."""
        ...

    def metric(self, tenant: Tenant, name: str, /) -> Metric | None:
        """One metric with the keys of its tags; None where it has no points."""
        ...

    def measure(self, tenant: Tenant, question: Question, /) -> Measured: ...


class PersonEvents(Protocol):
    """Whose events there are, always of one tenant. An event is its user's, else its anonymous visitor's. See Reader."""

    def seen_by_id(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        """For each of the ids that has events, how many, and when; in no order."""
        ...

    def seen_by_name(self, tenant: Tenant, ids: Sequence[str], limit: int, /) -> list[Observed]:
        """So many names of the ids' events together, the most frequent first, then by name."""
        ...


class Reader(MetricReader, PersonEvents, Protocol):
    """Every question, always of one tenant. Any thread may ask. Raises InvalidRequest, Unavailable.

    The filter `person` means every id of that person, as far as the adapter has been told who people are.
    """

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events: ...

    def oldest(self, tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /) -> list[StoredEvent]:
        """At most so many of the matching events after a cursor, oldest first: what a page costs least to be read for.

        One question on one core, counting nothing. Its memory grows with the events' size: where it raises InvalidRequest, ask
        for fewer.
        """
        ...

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        """The events with these ids (32 hex digits each), oldest first; unknown ones are left out."""
        ...

    def count(
        self,
        tenant: Tenant,
        filters: Filters,
        /,
        interval: Interval | None = None,
        group_by: Dimension | None = None,
        zone: Zone = UTC_ZONE,
    ) -> Counts:
        """The zone says where an interval's buckets begin. Raises InvalidRequest for more than MAX_BUCKETS of them."""
        ...

    def stats(self, tenant: Tenant, filters: Filters, field: Dimension, /) -> Stats: ...

    def observed(self, tenant: Tenant, column: str, limit: int, search: str = "", /) -> list[Observed]:
        """So many values of the column `name` or `source`, the most recently seen first. `search`: a part of it, in any case."""
        ...

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        """What the events of each name were like, by name."""
        ...


class EventsInOrder(Protocol):
    """One tenant's stored events in the order of the log."""

    def in_order(self, tenant: Tenant, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        """At most so many events with `after` < position <= `upto`, by position.

        Raises InvalidRequest where they take too much memory: ask for fewer. Raises Unavailable.
        """
        ...


class RunningQuery:
    """One question, which another thread may cancel while it is asked."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self.cancelled = threading.Event()
        self.ended = threading.Event()


class CancellableReader(Reader, Protocol):
    """A reader whose questions another thread may end."""

    def asking(self, running: RunningQuery, /) -> AbstractContextManager[None]:
        """Within it, what this thread asks can be ended by `cancel`."""
        ...

    def cancel(self, running: RunningQuery, /) -> None:
        """End a question, which then raises Unavailable; return when it has ended. Raises nothing."""
        ...
