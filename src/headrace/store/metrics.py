"""Reads metrics."""

from typing import Any, TypeAlias

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.filters import MAX_GROUPS, CatalogPage
from headrace.model.measures import (
    MAX_METRICS,
    MAX_POINTS,
    Bucket,
    Figures,
    Group,
    Measured,
    Metric,
    MetricList,
    Question,
)
from headrace.store.catalog import names_total
from headrace.store.engine import Engine, NeedsMoreMemory
from headrace.store.queries import catalog
from headrace.store.queries import metrics as queries
from headrace.store.queries.conditions import Query

# ClickHouse prints the double 2**60 as 1152921504606847000, which is correct for a double but not for an integer.
_Figure: TypeAlias = float | None
_FigureRow: TypeAlias = tuple[Any, Any, int, Figures]
_figures_decoder = msgspec.json.Decoder(tuple[int | None, str | None, int, list[_Figure]])
_ZERO_OF_NONE = ("count", "sum", "cardinality")


class MetricsReader:
    """Fits the MetricReader port. Names of metrics are counted as the catalogue counts names of events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def metrics(self, tenant: Tenant, /) -> MetricList:
        """See the MetricReader port."""
        try:
            rows = self._engine.rows(queries.metrics(tenant.metrics))
        except NeedsMoreMemory:  # millions of names, which anybody with a publishable key may send
            # Faster, and in little memory, if nearly every point has a name of its own.
            names = self._engine.rows(catalog.names(tenant.metrics, CatalogPage(limit=MAX_METRICS), in_order=True))
            rows = self._engine.rows(queries.metrics(tenant.metrics, upto=names[-1][0]))
        total = len(rows)
        if total > MAX_METRICS:
            total = max(total, names_total(self._engine, tenant.metrics, CatalogPage(limit=1)))
        return MetricList([Metric(*row) for row in rows[:MAX_METRICS]], total)

    def metric(self, tenant: Tenant, name: str, /) -> Metric | None:
        """See the MetricReader port."""
        for row in self._engine.rows(queries.metrics(tenant.metrics, name)):
            found = Metric(*row)
            keys = self._engine.rows(queries.tag_keys(tenant.metrics, name, found.type))[0][0]
            return msgspec.structs.replace(found, tags=keys)
        return None

    def measure(self, tenant: Tenant, question: Question, /) -> Measured:
        """See the MetricReader port."""
        rows = self._figures(queries.figures(tenant.metrics, question))
        whole = rows[0][3] if rows else [0.0 if each in _ZERO_OF_NONE else None for each in question.aggregations]
        series = None
        if question.interval is not None:
            series = [Bucket(start, each) for start, _, _, each in self._buckets(tenant, question, None)]
        if not question.group_by:
            return Measured(whole, series)
        truncated = False
        try:
            found = self._figures(queries.figures(tenant.metrics, question, groups=()))
        except NeedsMoreMemory:  # millions of values: the most frequent ones
            truncated = True
            found = self._figures(queries.figures(tenant.metrics, question, groups=(), frequent_only=True))
        keys = [key for _, key, _, _ in found[:MAX_GROUPS]]
        if question.interval is None or not keys:
            groups = [Group(key, each) for _, key, _, each in found[:MAX_GROUPS]]
        else:
            by_key: dict[str, list[Bucket]] = {key: [] for key in keys}
            for start, key, _, each in self._buckets(tenant, question, keys):
                by_key[key].append(Bucket(start, each))
            groups = [Group(key, each, by_key[key]) for _, key, _, each in found[:MAX_GROUPS]]
        return Measured(whole, series, groups, truncated=truncated or len(found) > MAX_GROUPS)

    def _buckets(self, tenant: Tenant, question: Question, keys: list[str] | None) -> list[_FigureRow]:
        rows = self._figures(queries.figures(tenant.metrics, question, by_bucket=True, groups=keys))
        if len(rows) > MAX_POINTS:
            raise InvalidRequest(
                f"The series would have more than {MAX_POINTS} buckets: narrow 'from' and 'to', or widen 'interval'."
            )
        return rows

    def _figures(self, query: Query) -> list[_FigureRow]:
        return [_figures_decoder.decode(line) for line in self._engine.ask(query, "JSONCompactEachRow").splitlines()]
