"""The Flux dialect's queries: lists, counts and percentiles. Translates; never queries.

Source: shared/seeds/000, and shared/CONTRACT.md "flux".
"""

import base64
import re
from itertools import islice

import msgspec

from headrace.dialects.names import fingerprint
from headrace.dialects.wire import Pairs, encode_json, integer_of, raw_object
from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, render_evt
from headrace.model.filters import (
    MAX_FILLED_BUCKETS,
    OWN_FIELDS,
    Counts,
    Cursor,
    Dimension,
    Events,
    Filters,
    Page,
    Stats,
)
from headrace.model.times import parse_ago, parse_time, render_time_short
from headrace.model.zones import INTERVALS, UTC_ZONE, Interval, Zone, buckets, fewest_buckets, zone_of

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class ListQuery(msgspec.Struct, frozen=True):
    filters: Filters
    page: Page
    with_cursor: bool
    filtered_by: str = ""  # the fingerprint of the filters that a cursor belongs to


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
    """The non-empty plain parameters (the last of each name), and the `tags[k]` and `properties[k]` ones."""
    plain: dict[str, str] = {}
    maps: dict[str, list[tuple[str, str]]] = {"tags": [], "properties": []}
    for name, value in pairs:
        if match := _MAP_PARAMETER.fullmatch(name):
            maps[match[1]].append((match[2], value))
        elif value:
            plain[name] = value
    return plain, maps


def parse_filters(pairs: Pairs, now_ms: int, /) -> Filters:
    """The filters that every Flux query accepts. Raises InvalidTimestamp, and InvalidRequest for an unknown zone."""
    plain, maps = _split(pairs)
    zone = _zone(plain)
    merged = plain.get("merged", "false")
    if merged not in ("true", "false"):
        raise InvalidRequest(f"'merged' must be true or false; it is {merged[:80]!r}.")
    user_id = plain.get("user_id")
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
        user_id=user_id if merged == "false" else None,
        person=user_id if merged == "true" else None,
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
    filtered_by = "" if cursor is None else fingerprint(pairs, "cursor", "limit", "offset")
    limit = integer_of(plain["limit"], "limit") if "limit" in plain else DEFAULT_LIMIT
    offset = integer_of(plain["offset"], "offset") if "offset" in plain else 0
    if offset < 0:
        raise InvalidRequest(f"'offset' must be 0 or more; it is {offset}.")
    if offset and cursor is not None:
        raise InvalidRequest("'offset' cannot be combined with 'cursor': omit it, or page by 'offset' alone.")
    page = Page(
        limit=min(max(limit, 1), MAX_LIMIT),
        offset=offset,
        after=_parse_cursor(cursor, filtered_by) if cursor else None,
        brief=True,
    )
    return ListQuery(parse_filters(pairs, now_ms), page, with_cursor=cursor is not None, filtered_by=filtered_by)


def parse_count(pairs: Pairs, now_ms: int, /) -> CountQuery:
    plain, _ = _split(pairs)
    interval = plain.get("interval")
    if interval is not None and interval not in INTERVALS:
        raise InvalidRequest(f"'interval' must be one of {', '.join(INTERVALS)}; it is {interval[:80]!r}.")
    fill = plain.get("fill", "false")
    if fill not in ("true", "false"):
        raise InvalidRequest(f"'fill' must be true or false; it is {fill[:80]!r}.")
    if fill == "true" and interval is None:
        raise InvalidRequest("'fill' requires 'interval': send both.")
    group_by = _parse_group(plain["group_by"]) if "group_by" in plain else None
    query = CountQuery(parse_filters(pairs, now_ms), interval, group_by, fill == "true", _zone(plain))
    first_ms, last_ms = query.filters.from_ms, query.filters.to_ms
    if query.fill and interval and first_ms is not None and last_ms is not None:
        _check_fill(fewest_buckets(first_ms, last_ms, interval))  # before a query whose answer would be refused
    return query


def parse_stats(pairs: Pairs, now_ms: int, /) -> StatsQuery:
    plain, _ = _split(pairs)
    field = plain.get("field", "value")
    if field == "value":
        return StatsQuery(parse_filters(pairs, now_ms), Dimension("value"))
    key = field.removeprefix("properties.")
    if not key:
        raise InvalidRequest("'field' must name a property: properties.<name>.")
    return StatsQuery(parse_filters(pairs, now_ms), Dimension("property", key))


def _parse_group(text: str) -> Dimension:
    if text == "name":
        return Dimension("name")
    if text == "user_id":
        return Dimension("user_id")
    prefix, dot, key = text.partition(".")
    if dot and prefix in ("tags", "properties"):
        if not key:
            raise InvalidRequest(f"'group_by' must name a key: {prefix}.<key>.")
        return Dimension("tag" if prefix == "tags" else "property", key)
    if text in OWN_FIELDS:
        return Dimension("own", text)
    return Dimension("tag", text)


_CURSOR = re.compile(rb"(\d{1,13})\.(\d{1,19})\.([0-9a-f]{16})")


def _parse_cursor(text: str, filtered_by: str) -> Cursor:
    try:
        match = _CURSOR.fullmatch(base64.urlsafe_b64decode(text))
    except ValueError:
        match = None
    if not match:
        raise InvalidRequest("'cursor' is not valid; start with 'cursor='.")
    if match[3].decode() != filtered_by:
        raise InvalidRequest("'cursor' belongs to other filters; keep them for all pages, or start with 'cursor='.")
    return Cursor(int(match[1]), int(match[2]))


def _render_cursor(event: StoredEvent, filtered_by: str) -> str:
    text = f"{event.timestamp_ms}.{event.position}.{filtered_by}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def render_row(event: StoredEvent, /) -> dict[str, object]:
    """An event as it appears in lists."""
    return {
        "id": render_evt(event.id),
        "name": event.name,
        "timestamp": render_time_short(event.timestamp_ms),
        "user_id": event.user_id or None,
        "value": event.value,
        "properties": raw_object(event.properties),
        "tags": event.tags,
    }


def render_list(query: ListQuery, answer: Events, /) -> bytes:
    page = query.page
    meta: dict[str, object] = {"total": answer.total, "limit": page.limit, "offset": page.offset}
    if query.with_cursor and answer.more:
        meta["next_cursor"] = _render_cursor(answer.events[-1], query.filtered_by)
    return encode_json({"data": [render_row(event) for event in answer.events], "meta": meta})


def render_get(event: StoredEvent, /) -> bytes:
    sent_at_ms = event.sent_at_ms
    return encode_json(
        {
            "data": render_row(event)
            | {
                "type": event.type,
                "anonymous_id": event.anonymous_id or None,
                "session_id": event.session_id or None,
                "group_id": event.group_id or None,
                "previous_id": event.previous_id or None,
                "context": raw_object(event.context),
                "traits": raw_object(event.traits),
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
    """Raises InvalidRequest if filling in the empty buckets would make too many."""
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
