"""Flux's metric points, and its gem's batches of events and metrics. Translates; never stores.

Metric queries are in flux_metric_queries.py.

Source: https://docs.brainzlab.ai/flux/api/metrics, and for what the gem sends
https://github.com/brainz-lab/brainzlab-ruby (lib/brainzlab/flux). What neither says: docs/decisions/0060-metric-points.md.
"""

from collections.abc import Callable
from typing import Any, cast, get_args

import msgspec

from headrace.dialects import flux
from headrace.dialects.sdk import number_in
from headrace.dialects.wire import (
    ABSENT,
    array_of,
    confined,
    decode_item,
    decode_part,
    encode_json,
    name_of,
    number_of,
    optional_text,
    parse_items,
    parse_single,
    tags_of,
)
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import InvalidMetricType, InvalidMetricValue, InvalidRequest
from headrace.model.event import Event
from headrace.model.measures import MetricType, point
from headrace.model.printed_times import printed_time
from headrace.model.times import parse_time, render_time, render_time_short

# The source of points differs from that of events, so that a point and an event with the same key are not repeats.
NAME = "flux.metrics"
MAX_BATCH = 500

TYPES: tuple[MetricType, ...] = get_args(MetricType)


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

    def parse(text: bytes) -> Batch:
        bare = text.lstrip().startswith(b"[")
        metrics = text if bare else decode_part(_envelope_decoder, text, "The body").metrics
        return parse_items(array_of(metrics, "metrics", MAX_BATCH, "metrics"), _parse_point, context)

    return confined(body, parse, "metrics")


def parse_gem(body: bytes, context: Context, /) -> Batch:
    """`{"events":[…],"metrics":[…]}`, either of which may be empty or absent. Each error message begins with the item's place."""
    return confined(body, lambda text: _parse_gems_text(text, context), "events", "metrics")


def _parse_gems_text(text: bytes, context: Context) -> Batch:
    envelope = decode_part(_envelope_decoder, text, "The body")
    if envelope.events is ABSENT and envelope.metrics is ABSENT:
        raise InvalidRequest("'events' and 'metrics' are both missing: send an array of either.")
    events = _parse_list("events", envelope.events, _parse_gems_event, context)
    metrics = _parse_list("metrics", envelope.metrics, _parse_gems_point, context)
    return Batch([*events.items, *metrics.items], [*events.rejections, *metrics.rejections])


def _parse_list(
    field: str,
    raw: msgspec.Raw,
    parse_item: Callable[[msgspec.Raw, Context], Event],
    context: Context,
) -> Batch:
    if raw is ABSENT or bytes(raw).split() in ([b"null"], [b"[]"], [b"[", b"]"]):
        return Batch([])
    batch = parse_items(array_of(raw, field, MAX_BATCH, field), parse_item, context)
    for rejection in batch.rejections:
        rejection.error.message = f"{field}[{rejection.index}]: {rejection.error.message}"
    return batch


def _parse_point(raw: msgspec.Raw, context: Context) -> Event:
    return _point(decode_item(_point_decoder, raw, context.settings), context)


def _parse_gems_point(raw: msgspec.Raw, context: Context) -> Event:
    item = decode_item(_point_decoder, raw, context.settings)
    item.timestamp = _in_rfc_3339(item.timestamp)
    if item.type != "set":
        item.value = number_in(item.value)
    return _point(item, context)


def _parse_gems_event(raw: msgspec.Raw, context: Context) -> Event:
    """The gem passes on its caller's values: a record's id is a number; a Symbol as a tag's value, and a BigDecimal, are text."""
    item = flux.decode_event(raw, context)
    item.timestamp = _in_rfc_3339(item.timestamp)
    item.tags = _texts(item.tags)
    item.user_id = _text(item.user_id) or None
    item.session_id = _text(item.session_id)
    item.value = number_in(item.value)
    return flux.event_of(item, context)


def _point(item: _Point, context: Context) -> Event:
    limit = context.settings.max_id_chars
    key = optional_text(item.idempotency_key, "idempotency_key", limit) or optional_text(
        item.messageId, "messageId", limit
    )
    timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
    return point_of(item.name, item.type, item.value, timestamp_ms, item.tags, key, context)


def point_of(
    name: object, kind: Any, value: object, timestamp_ms: int, tags: object, key: str, context: Context, /
) -> Event:
    """The point of unchecked fields. Raises InvalidRequest or the subclass that fits."""
    settings = context.settings
    known = name_of(name, "name", settings.max_name_chars)
    if "/" in known or known in (".", "..", "batch"):  # it could not be addressed in a URL
        raise InvalidRequest("A metric's 'name' must have no '/', and must not be '.', '..' or 'batch'.")
    if kind not in TYPES:
        raise InvalidMetricType
    labels = tags_of(_texts(tags), settings)
    member = _value(kind, value, settings.max_id_chars)
    return point(context.tenant, NAME, known, kind, timestamp_ms, member, labels, key)


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
    """Tags with scalars as text and without nulls. Other values stay, for `tags_of` to refuse."""
    if type(tags) is not dict:
        return tags
    return {name: _text(value) for name, value in cast("dict[str, Any]", tags).items() if value is not None}


def _in_rfc_3339(timestamp: object) -> object:
    """Convert a time as Ruby prints it into Flux's form; leave anything else as it is."""
    moment_ms = printed_time(timestamp) if type(timestamp) is str else None
    return timestamp if moment_ms is None else render_time(moment_ms)


def _text(value: object) -> object:
    return encode_json(value).decode() if type(value) in (bool, int, float) else value


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
