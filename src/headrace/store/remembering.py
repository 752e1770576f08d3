"""A store's reader whose answers are remembered for as long as nothing in their range has changed. Says what each depends on."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from headrace.model.event import StoredEvent, Tenant
from headrace.model.event_queries import EventQuery, QueryAnswer
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
from headrace.model.funnels import (
    FunnelAnswer,
    FunnelQuery,
    PathsAnswer,
    PathsQuery,
    RetentionAnswer,
    RetentionQuery,
)
from headrace.model.measures import Measured, Metric, MetricList, Question
from headrace.model.zones import UTC_ZONE, Interval, Zone
from headrace.ports.store import RunningQuery
from headrace.store.answers import Scope
from headrace.store.clickhouse import ClickHouseStore


class RememberingReader:
    """Fits the CancellableReader port: a store's own answers, out of memory where they cannot have changed.

    Single events and pages of replays are not worth remembering.
    """

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store

    def asking(self, running: RunningQuery, /) -> AbstractContextManager[None]:
        return self._store.asking(running)

    def cancel(self, running: RunningQuery, /) -> None:
        self._store.cancel(running)

    def _of(self, tenant: Tenant, filters: Filters | None = None) -> AbstractContextManager[None]:
        if filters is None:
            return self._store.within(Scope(tenant))
        return self._store.within(Scope(tenant, filters.from_ms, filters.to_ms))

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        return self._store.get(tenant, ids)

    def oldest(self, tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /) -> list[StoredEvent]:
        return self._store.oldest(tenant, filters, after, limit)

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events:
        with self._of(tenant, filters):
            return self._store.events(tenant, filters, page)

    def count(
        self,
        tenant: Tenant,
        filters: Filters,
        /,
        interval: Interval | None = None,
        group_by: Dimension | None = None,
        zone: Zone = UTC_ZONE,
    ) -> Counts:
        with self._of(tenant, filters):
            return self._store.count(tenant, filters, interval, group_by, zone)

    def stats(self, tenant: Tenant, filters: Filters, field: Dimension, /) -> Stats:
        with self._of(tenant, filters):
            return self._store.stats(tenant, filters, field)

    def observed(self, tenant: Tenant, column: str, limit: int, search: str = "", /) -> list[Observed]:
        with self._of(tenant):
            return self._store.observed(tenant, column, limit, search)

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        with self._of(tenant):
            return self._store.catalog(tenant, page)

    def metrics(self, tenant: Tenant, /) -> MetricList:
        with self._of(tenant.metrics):
            return self._store.metrics(tenant)

    def metric(self, tenant: Tenant, name: str, /) -> Metric | None:
        with self._of(tenant.metrics):
            return self._store.metric(tenant, name)

    def measure(self, tenant: Tenant, question: Question, /) -> Measured:
        with self._of(tenant.metrics, question.filters):
            return self._store.measure(tenant, question)

    def seen_by_id(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        with self._of(tenant):
            return self._store.seen_by_id(tenant, ids)

    def seen_by_name(self, tenant: Tenant, ids: Sequence[str], limit: int, /) -> list[Observed]:
        with self._of(tenant):
            return self._store.seen_by_name(tenant, ids, limit)

    def measure_events(self, tenant: Tenant, query: EventQuery, /) -> QueryAnswer:
        with self._of(tenant, query.filters):
            return self._store.measure_events(tenant, query)

    def funnel(self, tenant: Tenant, query: FunnelQuery, /) -> FunnelAnswer:
        with self._of(tenant, query.filters):
            return self._store.funnel(tenant, query)

    def retention(self, tenant: Tenant, query: RetentionQuery, /) -> RetentionAnswer:
        with self._of(tenant, query.filters):
            return self._store.retention(tenant, query)

    def paths(self, tenant: Tenant, query: PathsQuery, /) -> PathsAnswer:
        with self._of(tenant, query.filters):
            return self._store.paths(tenant, query)
