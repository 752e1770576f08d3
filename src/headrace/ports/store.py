"""The store: keeps events and answers every query about them."""

import secrets
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from headrace.model.entries import Keyed, Record
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
from headrace.ports.analysis import EventQueries


class Store(Protocol):
    """Keeps events. One thread writes."""

    def insert(self, records: Sequence[Record], /) -> None:
        """Store records whose positions are in one month, in one atomic, durable step. They are visible on return.

        Raises StoreRefused, and StoreFailed if it is unknown whether they were stored: ask `present`.
        """
        ...

    def present(self, after: int, upto: int, /) -> set[str]:
        """The ids of all stored events with `after` < position <= `upto`, of every tenant. Raises StoreFailed."""
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a stored event, or `after` if that is greater. Raises StoreFailed."""
        ...

    def held(self, after: int, upto: int, /) -> int:
        """The number of stored events with `after` < position <= `upto`, of every tenant. Raises StoreFailed."""
        ...

    def damaged(self) -> list[str]:
        """Describes each part of the store that cannot be read. Reads all files. Raises StoreFailed."""
        ...


class ErasableStore(Store, Protocol):
    """A store that can also erase events for good."""

    def stored(self, ids: Sequence[str], /) -> set[str]:
        """Which of some thousand ids the store has, of every tenant. Raises StoreFailed."""
        ...

    def erase(self, ids: Sequence[str], /) -> None:
        """Remove events from disk and from every answer, before it returns. Ignores unknown ids.

        It rewrites the parts that the events are in, so pass many ids at once; inserts and queries go on meanwhile. Raises
        StoreFailed if it is unknown whether they are gone: call it again.
        """
        ...


class OwnedEvents(Protocol):
    """One tenant's stored events by owner, for erasures."""

    def owned(self, tenant: Tenant, ids: Sequence[str], after: int, upto: int, limit: int, /) -> list[Keyed]:
        """At most `limit` events of some owners with `after` < position <= `upto`, oldest first. Raises StoreFailed.

        An event belongs to its user, or else to its anonymous visitor.
        """
        ...


class StoreFailed(Exception):
    """The store did not answer, or returned an error. It may have stored the records."""


class StoreRefused(StoreFailed):
    """The store can never take some of these records. None of them was stored."""


class StoredEvents(Protocol):
    """Single events of one tenant. See Reader."""

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events: ...

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        """The events with these ids (32 hex digits each), oldest first, without unknown ones."""
        ...

    def oldest(self, tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /) -> list[StoredEvent]:
        """Up to `limit` matching events after a cursor, oldest first: the cheapest way to read a page.

        Runs on one core and counts nothing. Its memory grows with the size of the events: if it raises InvalidRequest, ask for
        fewer.
        """
        ...


class EventCounts(Protocol):
    """Numbers of events of one tenant. See Reader."""

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


class NameReader(Protocol):
    """The names and sources of one tenant's events. See Reader."""

    def observed(self, tenant: Tenant, column: str, limit: int, search: str = "", /) -> list[Observed]:
        """Values of the column `name` or `source` that contain `search`, ignoring case, the most recently seen first."""
        ...

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        """What the events of each name look like, ordered by name."""
        ...


class MetricReader(Protocol):
    """One tenant's metrics, which have a namespace of their own. See Reader."""

    def metrics(self, tenant: Tenant, /) -> MetricList:
        """The first MAX_METRICS metrics by name, without the keys of their tags."""
        ...

    def metric(self, tenant: Tenant, name: str, /) -> Metric | None:
        """One metric with the keys of its tags; None if it has no points."""
        ...

    def measure(self, tenant: Tenant, question: Question, /) -> Measured: ...


class PersonEvents(Protocol):
    """Summaries of events by user id, or by anonymous id for events without one; of one tenant. See Reader."""

    def seen_by_id(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        """For each of the ids that has events: how many, and when. Unordered."""
        ...

    def seen_by_name(self, tenant: Tenant, ids: Sequence[str], limit: int, /) -> list[Observed]:
        """The names of the ids' events together, the most frequent first, then by name; at most `limit`."""
        ...


class ReplayReader(StoredEvents, EventCounts, Protocol):
    """What replays ask."""


class Reader(ReplayReader, NameReader, MetricReader, PersonEvents, EventQueries, Protocol):
    """Every query, always of one tenant. Any thread may ask. Raises InvalidRequest, Unavailable.

    The filter `person` matches every id of that person, as far as the adapter has been told who people are.
    """


class EventsInOrder(Protocol):
    """One tenant's stored events in log order."""

    def in_order(self, tenant: Tenant, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        """Up to `limit` events with `after` < position <= `upto`, by position.

        Raises InvalidRequest if they take too much memory (ask for fewer), and Unavailable.
        """
        ...


class NotRemembered(Exception):
    """A question cannot be answered from memory."""


class RunningQuery:
    """A running query that another thread may cancel.

    gentle: it is to take no more than one processor. only_remembered: it is to be answered from memory, or raise NotRemembered.
    """

    def __init__(self, *, gentle: bool = False, only_remembered: bool = False) -> None:
        self.gentle = gentle
        self.only_remembered = only_remembered
        self.mark = secrets.token_hex(16)
        self.cancelled = threading.Event()
        self.ended = threading.Event()


class CancellableReader(Reader, Protocol):
    """A reader whose queries another thread may cancel."""

    def asking(self, running: RunningQuery, /) -> AbstractContextManager[None]:
        """Within this context, `cancel` ends the queries of this thread."""
        ...

    def cancel(self, running: RunningQuery, /) -> None:
        """End a query, which then raises Unavailable, and wait until it has ended. Raises nothing."""
        ...
