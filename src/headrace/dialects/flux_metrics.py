"""Flux's metrics, and its gem's batches of events and metrics. Translates; never stores.

Source: https://docs.brainzlab.ai/flux/api/metrics, and for what the gem sends
https://github.com/brainz-lab/brainzlab-ruby (lib/brainzlab/flux). What neither says: docs/decisions/0060-metric-points.md.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

import msgspec

from headrace.dialects import flux, flux_queries
from headrace.dialects.wire import (
    ABSENT,
    Batch,
    Context,
    Pairs,
    array_of,
    decode_item,
    decode_part,
    encode_json,
    name_of,
    number_of,
    optional_text,
    parse_items,
    parse_single,
    tags_of,
    text_of_body,
)
from headrace.errors import InvalidMetricType, InvalidMetricValue, InvalidRequest, NotFound
from headrace.event import Event
from headrace.filters import Filters
from headrace.measures import (
    WIDTH_MS,
    Aggregation,
    Bucket,
    Figures,
    Interval,
    Measured,
    Metric,
    MetricType,
    Question,
    point,
)
from headrace.ports import Receipt
from headrace.times import parse_time, render_time_short

# The source of points. Another than the events', so that a point and an event with one key are two things.
NAME = "flux.metrics"
MAX_BATCH = 500

TYPES: tuple[MetricType, ...] = get_args(MetricType)
# The first is what a query without 'aggregation' gets.
_OF_NUMBERS = ("avg", "min", "max", "sum", "last", "count", "rate", "p50", "p90", "p95", "p99")
AGGREGATIONS: dict[MetricType, tuple[str, ...]] = {
    "gauge": ("last", *_OF_NUMBERS),
    "counter": ("sum", *_OF_NUMBERS),
    "distribution": _OF_NUMBERS,
    "set": ("count", "cardinality"),
}


class _Point(msgspec.Struct, gc=False):
    name: Any = None
    type: Any = None
    value: Any = None
    timestamp: Any = None
    tags: Any = None
    idempotency_key: Any = None
    messageId: Any = None  # noqa: N815  the field's name on the wire


class _Envelope(msgspec.Struct):
    events: msgspec.Raw = ABSENT
    metrics: msgspec.Raw = ABSENT


_point_decoder = msgspec.json.Decoder(_Point)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


def parse_metric(body: bytes, context: Context, /) -> Batch:
    return parse_single(body, _parse_point, context)


def parse_metrics(body: bytes, context: Context, /) -> Batch:
    """`{"metrics":[…]}` or a bare array."""
    body = text_of_body(body)
    bare = body.lstrip().startswith(b"[")
    metrics = body if bare else decode_part(_envelope_decoder, body, "The body").metrics
    return parse_items(array_of(metrics, "metrics", MAX_BATCH, "metrics"), _parse_point, context)


def parse_gem(body: bytes, context: Context, /) -> Batch:
    """`{"events":[…],"metrics":[…]}`, either of which may be empty or absent. An error's message begins with its place."""
    envelope = decode_part(_envelope_decoder, text_of_body(body), "The body")
    if envelope.events is ABSENT and envelope.metrics is ABSENT:
        raise InvalidRequest("'events' and 'metrics' are both missing: send an array of either.")
    events = _parse_list("events", envelope.events, _parse_gems_event, context)
    metrics = _parse_list("metrics", envelope.metrics, _parse_gems_point, context)
    return Batch([*events.items, *metrics.items], [*events.rejections, *metrics.rejections])


def _parse_list(
    field: str,
    raw: msgspec.Raw,
    parse_item: Callable[[msgspec.Raw, Context], tuple[Event, str]],
    context: Context,
) -> Batch:
    if raw is ABSENT or bytes(raw).split() in ([b"null"], [b"[]"], [b"[", b"]"]):
        return Batch([])
    batch = parse_items(array_of(raw, field, MAX_BATCH, field), parse_item, context)
    for rejection in batch.rejections:
        rejection.error.message = f"{field}[{rejection.index}]: {rejection.error.message}"
    return batch


def _parse_point(raw: msgspec.Raw, context: Context) -> tuple[Event, str]:
    return _point(decode_item(_point_decoder, raw, context.settings), context)


def _parse_gems_point(raw: msgspec.Raw, context: Context) -> tuple[Event, str]:
    item = decode_item(_point_decoder, raw, context.settings)
    if item.type != "set":
        item.value = _number_in(item.value)
    return _point(item, context)


def _parse_gems_event(raw: msgspec.Raw, context: Context) -> tuple[Event, str]:
    """The gem passes on what its caller gave: a record's id is a number, a Symbol's tag value text, a BigDecimal text."""
    item = flux.decode_event(raw, context)
    item.tags = _texts(item.tags)
    item.user_id = _text(item.user_id)
    item.session_id = _text(item.session_id)
    item.value = _number_in(item.value)
    return flux.event_of(item, context)


def _point(item: _Point, context: Context) -> tuple[Event, str]:
    settings = context.settings
    limit = settings.max_id_chars
    name = name_of(item.name, "name", settings.max_name_chars)
    if "/" in name or name in (".", "..", "batch"):  # its own address could not be asked for
        raise InvalidRequest("A metric's 'name' must have no '/', and must not be '.', '..' or 'batch'.")
    key = optional_text(item.idempotency_key, "idempotency_key", limit) or optional_text(
        item.messageId, "messageId", limit
    )
    kind = item.type
    if kind not in TYPES:
        raise InvalidMetricType
    timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
    tags = tags_of(_texts(item.tags), settings)
    value = _value(kind, item.value, limit)
    return point(context.tenant, NAME, name, kind, timestamp_ms, value, tags, key), key


def _value(kind: MetricType, value: object, limit: int) -> float | str:
    if kind == "set":
        if type(value) is not str or not 1 <= len(value) <= limit:
            raise InvalidMetricValue(f"The 'value' of a set must be a string of 1 to {limit} characters.")
        return value
    if kind == "counter" and value is None:
        return 1.0
    try:
        number = number_of(value, "value")
    except InvalidRequest:
        number = None
    if number is None:
        raise InvalidMetricValue(f"The 'value' of a {kind} must be a finite number.")
    return number


def _texts(tags: object) -> object:
    """Tags whose scalars are text; null ones are left out, and what is no scalar is left for `tags_of` to refuse."""
    if type(tags) is not dict:
        return tags
    return {name: _text(value) for name, value in cast("dict[str, Any]", tags).items() if value is not None}


def _text(value: object) -> object:
    return encode_json(value).decode() if type(value) in (bool, int, float) else value


def _number_in(value: object) -> object:
    if type(value) is not str:
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) and "_" not in value else value


def render_metric(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    event = batch.items[0].event
    return encode_json(
        {
            "data": {
                "name": event.name,
                "type": event.group_id,
                "value": event.user_id if event.value is None else event.value,
                "timestamp": render_time_short(event.timestamp_ms),
            }
        }
    )


def render_gem(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    metrics = sum(item.event.source == NAME for item in batch.items)
    reply: dict[str, object] = {
        "events_ingested": len(batch.items) - metrics,
        "metrics_ingested": metrics,
        "total": len(batch.items),
    }
    if batch.rejections:
        reply["errors"] = [
            {"code": flux.code_of(rejection.error), "message": rejection.error.message}
            for rejection in batch.rejections
        ]
    return encode_json(reply)


class MetricQuery(msgspec.Struct, frozen=True):
    """`aggregations` are None where the metric's type decides; `now_ms` is where an open range ends."""

    name: str
    filters: Filters
    aggregations: Sequence[str] | None
    interval: Interval | None
    group_by: str
    now_ms: int


def parse_query(name: str, pairs: Pairs, now_ms: int, /) -> MetricQuery:
    """Raises InvalidRequest; whether the aggregations suit the metric is known only with its type: see `question_of`."""
    given = {key: value for key, value in pairs if value}
    interval = given.get("interval")
    if interval is not None and interval not in WIDTH_MS:
        raise InvalidRequest(f"'interval' must be one of {', '.join(WIDTH_MS)}; it is {interval[:80]!r}.")
    wanted = [
        part.strip() for key, value in pairs if key in ("aggregation", "aggregations") for part in value.split(",")
    ]
    group_by = given.get("group_by", "").removeprefix("tags.")
    if "group_by" in given and not group_by:
        raise InvalidRequest("'group_by' names no tag: write tags.<key>.")
    asked = flux_queries.parse_filters(pairs, now_ms)
    filters = Filters(name=name, from_ms=asked.from_ms, to_ms=asked.to_ms, tags=asked.tags)
    aggregations = tuple(dict.fromkeys(filter(None, wanted)))
    return MetricQuery(name, filters, aggregations or None, interval, group_by, now_ms)


def question_of(query: MetricQuery, metric: Metric, /) -> Question:
    """Raises InvalidRequest for an aggregation that the metric's type does not have."""
    for each in query.aggregations or ():
        if each not in AGGREGATIONS[metric.type]:
            known = ", ".join(dict.fromkeys(AGGREGATIONS[metric.type]))
            raise InvalidRequest(f"A {metric.type} has no aggregation {each[:80]!r}; it has {known}.")
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


def render_definitions(metrics: Sequence[Metric], /) -> bytes:
    return encode_json({"data": [_definition(metric) for metric in metrics], "meta": {"total": len(metrics)}})


def render_definition(metric: Metric, /) -> bytes:
    aggregations = list(dict.fromkeys(AGGREGATIONS[metric.type]))
    return encode_json({"data": _definition(metric) | {"tags": metric.tags, "aggregations": aggregations}})


def render_measured(query: MetricQuery, metric: Metric, question: Question, answer: Measured, /) -> bytes:
    """One aggregation is called `value` wherever it stands; several go by their own names."""
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
