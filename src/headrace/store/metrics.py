"""Reads metrics."""

from typing import Any, TypeAlias

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.filters import MAX_GROUPS
from headrace.model.measures import MAX_POINTS, Bucket, Figures, Group, Measured, Metric, Question
from headrace.store.engine import Engine
from headrace.store.queries import metrics as queries
from headrace.store.queries.conditions import Query

# ClickHouse prints the double 2**60 as 1152921504606847000, which is correct for a double but not for an integer.
_Figure: TypeAlias = float | None
_FigureRow: TypeAlias = tuple[Any, Any, int, Figures]
_figures_decoder = msgspec.json.Decoder(tuple[int | None, str | None, int, list[_Figure]])
_ZERO_OF_NONE = ("count", "sum", "cardinality")


class MetricsReader(Engine):
    """Fits the MetricReader port."""

    def metrics(self, tenant: Tenant, /, name: str | None = None) -> list[Metric]:
        """See the MetricReader port."""
        found = [Metric(*row) for row in self._rows(queries.metrics(tenant.metrics, name))]
        if name is None:
            return found
        return [
            msgspec.structs.replace(each, tags=self._rows(queries.tag_keys(tenant.metrics, name, each.type))[0][0])
            for each in found
        ]

    def measure(self, tenant: Tenant, question: Question, /) -> Measured:
        """See the MetricReader port."""
        rows = self._figures(queries.figures(tenant.metrics, question))
        whole = rows[0][3] if rows else [0.0 if each in _ZERO_OF_NONE else None for each in question.aggregations]
        series = None
        if question.interval is not None:
            series = [Bucket(start, each) for start, _, _, each in self._buckets(tenant, question, None)]
        if not question.group_by:
            return Measured(whole, series)
        found = self._figures(queries.figures(tenant.metrics, question, groups=()))
        keys = [key for _, key, _, _ in found[:MAX_GROUPS]]
        if question.interval is None or not keys:
            groups = [Group(key, each) for _, key, _, each in found[:MAX_GROUPS]]
        else:
            by_key: dict[str, list[Bucket]] = {key: [] for key in keys}
            for start, key, _, each in self._buckets(tenant, question, keys):
                by_key[key].append(Bucket(start, each))
            groups = [Group(key, each, by_key[key]) for _, key, _, each in found[:MAX_GROUPS]]
        return Measured(whole, series, groups, truncated=len(found) > MAX_GROUPS)

    def _buckets(self, tenant: Tenant, question: Question, keys: list[str] | None) -> list[_FigureRow]:
        rows = self._figures(queries.figures(tenant.metrics, question, by_bucket=True, groups=keys))
        if len(rows) > MAX_POINTS:
            raise InvalidRequest(
                f"The series would have more than {MAX_POINTS} buckets: narrow 'from' and 'to', or widen 'interval'."
            )
        return rows

    def _figures(self, query: Query) -> list[_FigureRow]:
        return [_figures_decoder.decode(line) for line in self._ask(query, "JSONCompactEachRow").splitlines()]
