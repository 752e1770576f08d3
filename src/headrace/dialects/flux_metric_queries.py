"""Flux's metric queries: the list of metrics, and aggregations of their points. Translates; never queries.

Source: https://docs.brainzlab.ai/flux/api/metrics. docs/decisions/0060-metric-points.md settles what it leaves open.
"""

from collections.abc import Sequence
from typing import cast

import msgspec

from headrace.dialects import flux_queries
from headrace.dialects.wire import Pairs, encode_json
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.filters import Filters
from headrace.model.measures import (
    WIDTH_MS,
    Aggregation,
    Bucket,
    Figures,
    Interval,
    Measured,
    Metric,
    MetricList,
    MetricType,
    Question,
)
from headrace.model.times import render_time_short

# The first is the default of a query without 'aggregation'.
_OF_NUMBERS = ("avg", "min", "max", "sum", "last", "count", "rate", "p50", "p90", "p95", "p99")
AGGREGATIONS: dict[MetricType, tuple[str, ...]] = {
    "gauge": ("last", *_OF_NUMBERS),
    "counter": ("sum", *_OF_NUMBERS),
    "distribution": _OF_NUMBERS,
    "set": ("count", "cardinality"),
}


class MetricQuery(msgspec.Struct, frozen=True):
    """A query. `aggregations`: None to use the metric type's default. `now_ms`: where an open range ends."""

    name: str
    filters: Filters
    aggregations: Sequence[str] | None
    interval: Interval | None
    group_by: str
    now_ms: int


def parse_query(name: str, pairs: Pairs, now_ms: int, /) -> MetricQuery:
    """Raises InvalidRequest. `question_of` checks the aggregations, because that requires the metric's type."""
    given = {key: value for key, value in pairs if value}
    interval = given.get("interval")
    if interval is not None and interval not in WIDTH_MS:
        raise InvalidRequest(f"'interval' must be one of {', '.join(WIDTH_MS)}; it is {interval[:80]!r}.")
    wanted = [
        part.strip() for key, value in pairs if key in ("aggregation", "aggregations") for part in value.split(",")
    ]
    group_by = given.get("group_by", "").removeprefix("tags.")
    if "group_by" in given and not group_by:
        raise InvalidRequest("'group_by' must name a tag: tags.<key>.")
    asked = flux_queries.parse_filters(pairs, now_ms)
    filters = Filters(name=name, from_ms=asked.from_ms, to_ms=asked.to_ms, tags=asked.tags)
    aggregations = tuple(dict.fromkeys(filter(None, wanted)))
    return MetricQuery(name, filters, aggregations or None, interval, group_by, now_ms)


def question_of(query: MetricQuery, metric: Metric, /) -> Question:
    """The question for a metric of this type. Raises InvalidRequest for an aggregation that the type does not have."""
    for each in query.aggregations or ():
        if each not in AGGREGATIONS[metric.type]:
            known = ", ".join(dict.fromkeys(AGGREGATIONS[metric.type]))
            raise InvalidRequest(f"A {metric.type} does not support aggregation {each[:80]!r}; it supports {known}.")
    asked: dict[Aggregation, None] = dict.fromkeys(_stored_as(each, metric.type) for each in _wanted(query, metric))
    return Question(query.name, metric.type, query.filters, tuple(asked), query.interval, query.group_by)


def _wanted(query: MetricQuery, metric: Metric) -> Sequence[str]:
    return query.aggregations or AGGREGATIONS[metric.type][:1]


def _stored_as(aggregation: str, kind: MetricType) -> Aggregation:
    if kind == "set":
        return "cardinality"
    return "sum" if aggregation == "rate" else cast("Aggregation", aggregation)


def not_found(name: str, /) -> NotFound:
    return NotFound(f"There is no metric {name[:80]!r}.")


def _definition(metric: Metric) -> dict[str, object]:
    return {
        "name": metric.name,
        "type": metric.type,
        "points": metric.points,
        "first_seen": render_time_short(metric.first_ms),
        "last_seen": render_time_short(metric.last_ms),
    }


def render_definitions(found: MetricList, /) -> bytes:
    """`meta` has `truncated` only if there are more metrics than are listed; `total` counts all of them."""
    meta: dict[str, object] = {"total": found.total}
    if found.total > len(found.metrics):
        meta["truncated"] = True
    return encode_json({"data": [_definition(metric) for metric in found.metrics], "meta": meta})


def render_definition(metric: Metric, /) -> bytes:
    aggregations = list(dict.fromkeys(AGGREGATIONS[metric.type]))
    return encode_json({"data": _definition(metric) | {"tags": metric.tags, "aggregations": aggregations}})


def render_measured(query: MetricQuery, metric: Metric, question: Question, answer: Measured, /) -> bytes:
    """Render the answer. A single aggregation is called `value` everywhere; several appear under their own names."""
    wanted = _wanted(query, metric)
    width_ms = WIDTH_MS[query.interval] if query.interval else 0

    def figures(values: Figures, span_ms: int) -> dict[str, object]:
        by_name = dict(zip(question.aggregations, values, strict=True))
        shown: dict[str, object] = {}
        for each in wanted:
            value = by_name[_stored_as(each, metric.type)]
            if each == "rate" and value is not None:
                value = value * 1000 / span_ms
            elif value is not None and each in ("count", "cardinality"):
                value = int(value)
            shown["value" if len(wanted) == 1 else each] = value
        return shown

    def series(buckets: Sequence[Bucket]) -> list[dict[str, object]]:
        return [
            {"timestamp": render_time_short(bucket.start_ms)} | figures(bucket.figures, width_ms) for bucket in buckets
        ]

    first_ms = metric.first_ms if query.filters.from_ms is None else query.filters.from_ms
    last_ms = query.now_ms if query.filters.to_ms is None else query.filters.to_ms
    whole_ms = max(1000, last_ms - first_ms)
    data: dict[str, object] = {"name": metric.name, "type": metric.type, "aggregation": ",".join(wanted)}
    data |= figures(answer.figures, whole_ms)
    if answer.series is not None:
        data["interval"] = query.interval
        data["series"] = series(answer.series)
    if answer.groups is not None:
        data["groups"] = {
            group.key: figures(group.figures, whole_ms)
            | ({} if group.series is None else {"series": series(group.series)})
            for group in answer.groups
        }
    return encode_json({"data": data, "meta": {"truncated": True}} if answer.truncated else {"data": data})
