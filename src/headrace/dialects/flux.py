"""The Flux dialect: custom events with tags, and counts and percentiles over them. Translates; never stores.

Source: shared/seeds/000, and shared/CONTRACT.md "flux".
"""

import base64
import re
from functools import cache
from itertools import islice
from typing import Annotated, Any

import msgspec

from headrace import errors
from headrace.dialects.wire import (
    ABSENT,
    EMPTY_OBJECT,
    Batch,
    Context,
    Dialect,
    Pairs,
    Rejection,
    array_of,
    decode_item,
    decode_part,
    encode_json,
    integer_of,
    item_text,
    labels_and_numbers,
    name_of,
    number_of,
    object_of,
    optional_text,
    parse_items,
    parse_single,
    tags_of,
    text_of,
    text_of_body,
)
from headrace.errors import HeadraceError, InvalidRequest
from headrace.event import Event, StoredEvent, parse_id, render_evt
from headrace.filters import (
    MAX_FILLED_BUCKETS,
    Counts,
    Cursor,
    Dimension,
    Events,
    Filters,
    Page,
    Stats,
)
from headrace.ports import Receipt
from headrace.times import parse_ago, parse_time, render_time_short
from headrace.zones import INTERVALS, UTC_ZONE, Interval, Zone, buckets, fewest_buckets, zone_of

NAME = "flux"
MAX_BATCH = 500
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

# Most specific first: the first class that an error is an instance of names its code.
_CODES: tuple[tuple[type[HeadraceError], str], ...] = (
    (errors.MissingName, "missing_name"),
    (errors.InvalidTimestamp, "invalid_timestamp"),
    (errors.BatchTooLarge, "batch_too_large"),
    (errors.InvalidTags, "invalid_tags"),
    (errors.InvalidMetricType, "invalid_type"),
    (errors.InvalidMetricValue, "invalid_value"),
    (errors.InvalidRequest, "invalid_request"),
    (errors.MissingKey, "missing_api_key"),
    (errors.Unauthorized, "invalid_api_key"),
    (errors.Forbidden, "forbidden"),
    (errors.NotFound, "not_found"),
    (errors.MethodNotAllowed, "invalid_request"),
    (errors.PayloadTooLarge, "payload_too_large"),
    (errors.RateLimited, "rate_limited"),
)


def code_of(error: HeadraceError, /) -> str:
    return next((code for kind, code in _CODES if isinstance(error, kind)), "unavailable")


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    return encode_json({"error": {"code": code_of(error), "message": error.message}})


DIALECT = Dialect(NAME, render_error)


class FluxItem(msgspec.Struct, gc=False):
    name: Any = None
    timestamp: Any = None
    user_id: Any = None
    value: Any = None
    properties: msgspec.Raw = ABSENT
    tags: Any = None
    session_id: Any = None
    environment: Any = None
    service: Any = None
    host: Any = None
    request_id: Any = None
    idempotency_key: Any = None
    messageId: Any = None  # noqa: N815  the field's name on the wire


class _Envelope(msgspec.Struct):
    events: msgspec.Raw = ABSENT


_item_decoder = msgspec.json.Decoder(FluxItem)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


@cache
def _plain_decoder(name_chars: int, id_chars: int, tags: int, tag_chars: int) -> msgspec.json.Decoder[Any]:
    """Reads an item in which nothing is wrong, with the checks of the fields done on the way; it refuses any other.

    It is there for speed alone: what it refuses is read again, field by field, so that the error can say what was wrong.
    """
    identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=id_chars)]
    tag = Annotated[str, msgspec.Meta(max_length=tag_chars)]
    optional = [(field, Annotated[str, msgspec.Meta(max_length=id_chars)], "") for field in _OPTIONAL]
    fields: list[Any] = [
        ("name", Annotated[str, msgspec.Meta(min_length=1, max_length=name_chars)]),
        ("timestamp", str | None, None),
        ("user_id", identifier, ""),
        ("value", float | None, None),
        ("properties", msgspec.Raw, ABSENT),
        ("tags", Annotated[dict[tag, tag], msgspec.Meta(max_length=tags)], msgspec.field(default_factory=dict)),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Plain", [*fields, *optional], gc=False))


_OPTIONAL = ("session_id", "environment", "service", "host", "request_id", "idempotency_key", "messageId")


def parse_track(body: bytes, context: Context, /) -> Batch:
    return parse_single(body, _parse_item, context)


def parse_batch(body: bytes, context: Context, /) -> Batch:
    """`{"events":[…]}` or a bare array."""
    body = text_of_body(body)
    bare = body.lstrip().startswith(b"[")
    events = body if bare else decode_part(_envelope_decoder, body, "The body").events
    return parse_items(array_of(events, "events", MAX_BATCH), _parse_item, context)


def _parse_item(raw: msgspec.Raw, context: Context) -> tuple[Event, str]:
    settings, tenant = context.settings, context.tenant
    text = item_text(raw, settings)
    try:
        item = _plain_decoder(
            settings.max_name_chars, settings.max_id_chars, settings.max_tags, settings.max_tag_chars
        ).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_item_slowly(text, context)
    if item.name.isspace():
        return _parse_item_slowly(text, context)
    timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
    properties, values = object_of(item.properties, "properties")
    labels, numbers = labels_and_numbers(values, item.tags) if values else ({}, {})
    key = item.idempotency_key or item.messageId
    event = Event(
        tenant.project,
        tenant.mode,
        NAME,
        item.name,
        timestamp_ms,
        "track",
        item.user_id,
        "",
        item.session_id,
        "",
        "",
        item.value,
        properties,
        "",
        "",
        item.tags,
        labels,
        numbers,
        item.environment,
        item.service,
        item.host,
        item.request_id,
        key,
    )
    return event, key


def _parse_item_slowly(text: bytes, context: Context) -> tuple[Event, str]:
    """What the plain decoder refuses: null for absent, or a field that is wrong and has to be named."""
    return event_of(decode_part(_item_decoder, text, "The event"), context)


def decode_event(raw: msgspec.Raw, context: Context, /) -> FluxItem:
    """An event's fields, not yet checked. Raises EventTooLarge, InvalidRequest."""
    return decode_item(_item_decoder, raw, context.settings)


def event_of(item: FluxItem, context: Context, /) -> tuple[Event, str]:
    """The event and its key. Raises InvalidRequest, in whichever kind fits."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    name = name_of(item.name, "name", settings.max_name_chars)
    timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
    tags = tags_of(item.tags, settings)
    properties, values = object_of(item.properties, "properties")
    labels, numbers = labels_and_numbers(values, tags)
    key = optional_text(item.idempotency_key, "idempotency_key", limit) or optional_text(
        item.messageId, "messageId", limit
    )
    event = Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        timestamp_ms,
        user_id=text_of(item.user_id, "user_id", limit),
        session_id=optional_text(item.session_id, "session_id", limit),
        value=number_of(item.value, "value"),
        properties=properties,
        tags=tags,
        labels=labels,
        numbers=numbers,
        environment=optional_text(item.environment, "environment", limit),
        service=optional_text(item.service, "service", limit),
        host=optional_text(item.host, "host", limit),
        request_id=optional_text(item.request_id, "request_id", limit),
        message_id=key,
    )
    return event, key


def render_track(batch: Batch, receipts: list[Receipt], /) -> bytes:
    event = batch.items[0].event
    return encode_json(
        {
            "data": {
                "id": render_evt(receipts[0].id),
                "name": event.name,
                "timestamp": render_time_short(event.timestamp_ms),
                "user_id": event.user_id or None,
                "value": event.value,
            }
        }
    )


def render_batch(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    data: dict[str, object] = {"accepted": len(batch.items), "rejected": len(batch.rejections)}
    if batch.rejections:
        data["errors"] = [_render_rejection(rejection) for rejection in batch.rejections]
    return encode_json({"data": data})


def _render_rejection(rejection: Rejection) -> dict[str, object]:
    error = rejection.error
    return {"index": rejection.index, "code": code_of(error), "message": error.message}


class ListQuery(msgspec.Struct, frozen=True):
    filters: Filters
    page: Page
    with_cursor: bool


class CountQuery(msgspec.Struct, frozen=True):
    filters: Filters
    interval: Interval | None
    group_by: Dimension | None
    fill: bool
    zone: Zone = UTC_ZONE


class StatsQuery(msgspec.Struct, frozen=True):
    filters: Filters
    field: Dimension


_MAP_PARAMETER = re.compile(r"(tags|properties)\[(.*)\]", re.DOTALL)


def _split(pairs: Pairs) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    """Plain parameters, the last of each name and none that is empty; and the `tags[k]`, `properties[k]` ones."""
    plain: dict[str, str] = {}
    maps: dict[str, list[tuple[str, str]]] = {"tags": [], "properties": []}
    for name, value in pairs:
        if match := _MAP_PARAMETER.fullmatch(name):
            maps[match[1]].append((match[2], value))
        elif value:
            plain[name] = value
    return plain, maps


def parse_filters(pairs: Pairs, now_ms: int, /) -> Filters:
    """The filters that every Flux query takes. Raises InvalidTimestamp, and InvalidRequest for an unknown zone."""
    plain, maps = _split(pairs)
    zone = _zone(plain)
    name = plain.get("name")
    prefix = name[:-1] if name and name.endswith("*") else None
    lower = [parse_time(plain["from"], "from", zone=zone)] if "from" in plain else []
    upper = [parse_time(plain["to"], "to", end_of_day=True, zone=zone)] if "to" in plain else []
    if "since" in plain:
        lower.append(parse_ago(plain["since"], now_ms, "since", zone=zone))
    if "until" in plain:
        upper.append(parse_ago(plain["until"], now_ms, "until", end_of_day=True, zone=zone))
    return Filters(
        name=name if prefix is None else None,
        name_prefix=prefix or None,
        from_ms=max(lower, default=None),
        to_ms=min(upper, default=None),
        user_id=plain.get("user_id"),
        session_id=plain.get("session_id"),
        environment=plain.get("environment"),
        service=plain.get("service"),
        host=plain.get("host"),
        tags=tuple(maps["tags"]),
        properties=tuple(maps["properties"]),
    )


def _zone(plain: dict[str, str]) -> Zone:
    return zone_of(plain["tz"]) if "tz" in plain else UTC_ZONE


def parse_list(pairs: Pairs, now_ms: int, /) -> ListQuery:
    plain, _ = _split(pairs)
    cursor = dict(pairs).get("cursor")
    limit = integer_of(plain["limit"], "limit") if "limit" in plain else DEFAULT_LIMIT
    offset = integer_of(plain["offset"], "offset") if "offset" in plain else 0
    if offset < 0:
        raise InvalidRequest(f"'offset' must be 0 or more; it is {offset}.")
    page = Page(
        limit=min(max(limit, 1), MAX_LIMIT),
        offset=0 if cursor is not None else offset,
        after=_parse_cursor(cursor) if cursor else None,
    )
    return ListQuery(parse_filters(pairs, now_ms), page, with_cursor=cursor is not None)


def parse_count(pairs: Pairs, now_ms: int, /) -> CountQuery:
    plain, _ = _split(pairs)
    interval = plain.get("interval")
    if interval is not None and interval not in INTERVALS:
        raise InvalidRequest(f"'interval' must be one of {', '.join(INTERVALS)}; it is {interval[:80]!r}.")
    fill = plain.get("fill", "false")
    if fill not in ("true", "false"):
        raise InvalidRequest(f"'fill' must be true or false; it is {fill[:80]!r}.")
    group_by = _parse_group(plain["group_by"]) if "group_by" in plain else None
    query = CountQuery(parse_filters(pairs, now_ms), interval, group_by, fill == "true", _zone(plain))
    first_ms, last_ms = query.filters.from_ms, query.filters.to_ms
    if query.fill and interval and first_ms is not None and last_ms is not None:
        _check_fill(fewest_buckets(first_ms, last_ms, interval))  # before the store is asked for what cannot be shown
    return query


def parse_stats(pairs: Pairs, now_ms: int, /) -> StatsQuery:
    plain, _ = _split(pairs)
    field = plain.get("field", "value")
    if field == "value":
        return StatsQuery(parse_filters(pairs, now_ms), Dimension("value"))
    key = field.removeprefix("properties.")
    if not key:
        raise InvalidRequest("'field' names no property: write properties.<name>.")
    return StatsQuery(parse_filters(pairs, now_ms), Dimension("property", key))


def _parse_group(text: str) -> Dimension:
    if text == "name":
        return Dimension("name")
    if text == "user_id":
        return Dimension("user_id")
    prefix, dot, key = text.partition(".")
    if dot and prefix in ("tags", "properties"):
        if not key:
            raise InvalidRequest(f"'group_by' names no key: write {prefix}.<key>.")
        return Dimension("tag" if prefix == "tags" else "property", key)
    return Dimension("tag", text)


def parse_get(text: str, /) -> str:
    """The id's digits. Raises NotFound for what can be no event's id."""
    event_id = parse_id(text)
    if event_id is None:
        raise errors.NotFound(f"There is no event {text[:80]!r}.")
    return event_id


_CURSOR = re.compile(rb"(\d{1,13})\.(\d{1,19})")


def _parse_cursor(text: str) -> Cursor:
    try:
        match = _CURSOR.fullmatch(base64.urlsafe_b64decode(text))
    except ValueError:
        match = None
    if not match:
        raise InvalidRequest("'cursor' is not one that this server gave out; start with 'cursor='.")
    return Cursor(int(match[1]), int(match[2]))


def _render_cursor(event: StoredEvent) -> str:
    return base64.urlsafe_b64encode(b"%d.%d" % (event.timestamp_ms, event.position)).decode()


def _render_row(event: StoredEvent) -> dict[str, object]:
    return {
        "id": render_evt(event.id),
        "name": event.name,
        "timestamp": render_time_short(event.timestamp_ms),
        "user_id": event.user_id or None,
        "value": event.value,
        "properties": _json(event.properties),
        "tags": event.tags,
    }


def _json(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode()) if text else EMPTY_OBJECT


def render_list(query: ListQuery, answer: Events, /) -> bytes:
    page = query.page
    meta: dict[str, object] = {"total": answer.total, "limit": page.limit, "offset": page.offset}
    if query.with_cursor and answer.more:
        meta["next_cursor"] = _render_cursor(answer.events[-1])
    return encode_json({"data": [_render_row(event) for event in answer.events], "meta": meta})


def render_get(event: StoredEvent, /) -> bytes:
    sent_at_ms = event.sent_at_ms
    return encode_json(
        {
            "data": _render_row(event)
            | {
                "type": event.type,
                "anonymous_id": event.anonymous_id or None,
                "session_id": event.session_id or None,
                "group_id": event.group_id or None,
                "previous_id": event.previous_id or None,
                "context": _json(event.context),
                "traits": _json(event.traits),
                "environment": event.environment or None,
                "service": event.service or None,
                "host": event.host or None,
                "source": event.source,
                "message_id": event.message_id or None,
                "received_at": render_time_short(event.received_at_ms),
                "sent_at": None if sent_at_ms is None else render_time_short(sent_at_ms),
            }
        }
    )


def render_count(query: CountQuery, answer: Counts, /) -> bytes:
    """Raises InvalidRequest where filling the empty buckets would give too many."""
    data: dict[str, object] = {"total": answer.total}
    if answer.series is not None and query.interval is not None:
        series = answer.series
        if query.fill:
            series = _filled(series, query.filters, query.interval, query.zone)
        data["series"] = [{"timestamp": render_time_short(start), "count": count} for start, count in series]
    if answer.groups is not None:
        data["groups"] = dict(answer.groups)
    return encode_json({"data": data, "meta": {"truncated": True}} if answer.truncated else {"data": data})


def _filled(series: list[tuple[int, int]], filters: Filters, interval: Interval, zone: Zone) -> list[tuple[int, int]]:
    """Every bucket from `from`, or the first event, to `to`, or the last event."""
    if not series and (filters.from_ms is None or filters.to_ms is None):
        return []
    first = series[0][0] if filters.from_ms is None else filters.from_ms
    last = series[-1][0] if filters.to_ms is None else filters.to_ms
    starts = list(islice(buckets(first, last, interval, zone), MAX_FILLED_BUCKETS + 1))
    _check_fill(len(starts))
    counts = dict(series)
    return [(start, counts.get(start, 0)) for start in starts]


def _check_fill(count: int) -> None:
    if count > MAX_FILLED_BUCKETS:
        raise InvalidRequest(
            f"'fill' would give more than {MAX_FILLED_BUCKETS} buckets: narrow 'from' and 'to', or widen 'interval'."
        )


def render_stats(stats: Stats, /) -> bytes:
    return encode_json({"data": stats})
