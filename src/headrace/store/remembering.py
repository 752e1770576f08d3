"""A store's reader whose answers are remembered for as long as nothing in their range has changed. Says what each depends on."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from headrace.model.event import Tenant
from headrace.model.event_queries import EventQuery
from headrace.model.filters import Filters
from headrace.model.funnels import FunnelQuery, PathsQuery, RetentionQuery
from headrace.model.measures import Question
from headrace.store.answers import Scope
from headrace.store.clickhouse import ClickHouseStore

P = ParamSpec("P")
Answer = TypeVar("Answer")


class RememberingReader:
    """Fits the CancellableReader port: a store's own answers, out of memory where they cannot have changed."""

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store
        self.asking, self.cancel = store.asking, store.cancel

        # Single events and pages of replays are not worth remembering.
        self.get, self.oldest = store.get, store.oldest

        self.events = self._remembered(store.events, _in_range)
        self.count = self._remembered(store.count, _in_range)
        self.stats = self._remembered(store.stats, _in_range)
        self.observed = self._remembered(store.observed, _all)
        self.catalog = self._remembered(store.catalog, _all)
        self.seen_by_id = self._remembered(store.seen_by_id, _all)
        self.seen_by_name = self._remembered(store.seen_by_name, _all)
        self.measure_events = self._remembered(store.measure_events, _in_its_range)
        self.funnel = self._remembered(store.funnel, _in_its_range)
        self.retention = self._remembered(store.retention, _in_its_range)
        self.paths = self._remembered(store.paths, _in_its_range)
        self.metrics = self._remembered(store.metrics, _all_metrics)
        self.metric = self._remembered(store.metric, _all_metrics)
        self.measure = self._remembered(store.measure, _metrics_in_range)

    def _remembered(
        self, ask: Callable[Concatenate[Tenant, P], Answer], depends_on: Callable[..., Scope], /
    ) -> Callable[Concatenate[Tenant, P], Answer]:
        """depends_on: what the answer to the same positional arguments depends on."""

        def answer(tenant: Tenant, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
            with self._store.within(depends_on(tenant, *args)):
                return ask(tenant, *args, **kwargs)

        return answer


def _all(tenant: Tenant, *_: object) -> Scope:
    return Scope(tenant)


def _in_range(tenant: Tenant, filters: Filters, *_: object) -> Scope:
    return Scope(tenant, filters.from_ms, filters.to_ms)


def _in_its_range(tenant: Tenant, query: EventQuery | FunnelQuery | RetentionQuery | PathsQuery, *_: object) -> Scope:
    return _in_range(tenant, query.filters)


def _all_metrics(tenant: Tenant, *_: object) -> Scope:
    return _all(tenant.metrics)


def _metrics_in_range(tenant: Tenant, question: Question) -> Scope:
    return _in_range(tenant.metrics, question.filters)
