"""The native dialect's questions of events. Translates; never queries."""

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.dialects.names import decode_known, nearest
from headrace.dialects.native_fields import Written, field_of, filters_of
from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import encode_json, text_of_body
from headrace.model.errors import InvalidRequest
from headrace.model.event_queries import (
    MAX_BREAKDOWN,
    MEASURES,
    OF_NUMBERS,
    EventQuery,
    Point,
    QueryAnswer,
    QueryGroup,
)
from headrace.model.filters import MAX_GROUPS, Filters
from headrace.model.times import parse_ago, render_time_short
from headrace.model.zones import INTERVALS, UTC_ZONE, Zone, zone_of

DEFAULT_LIMIT = 100
_MAX_SHOWN = 80


class Range(msgspec.Struct, forbid_unknown_fields=True):
    """What every question has."""

    filters: list[msgspec.Raw] | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    tz: str | None = None


class _Query(Range, forbid_unknown_fields=True):
    measure: str | None = None
    field: Written | None = None
    breakdown: list[Written] | None = None
    interval: str | None = None
    limit: int | None = None


_query_decoder = msgspec.json.Decoder(_Query)


def zone_and_filters(given: Range, now_ms: int, /) -> tuple[Zone, Filters]:
    """Raises InvalidRequest, InvalidTimestamp."""
    zone = zone_of(given.tz) if given.tz else UTC_ZONE
    base = Filters(
        from_ms=parse_ago(given.from_, now_ms, "from", zone=zone) if given.from_ else None,
        to_ms=parse_ago(given.to, now_ms, "to", end_of_day=True, zone=zone) if given.to else None,
    )
    return zone, filters_of(given.filters or (), "filters", base)


def parse_query(body: bytes, now_ms: int, /) -> EventQuery:
    """Raises InvalidRequest, InvalidTimestamp."""
    given = decode_known(_query_decoder, text_of_body(body), "The body", _Query)
    zone, filters = zone_and_filters(given, now_ms)
    measure = one_of(given.measure or "count", MEASURES, "measure")
    if (given.field is None) == (measure in OF_NUMBERS):
        raise InvalidRequest(
            f"'field' is required for {measure}: send value or properties.<name>."
            if given.field is None
            else f"'field' has no meaning for {measure}: omit it, or measure one of {', '.join(OF_NUMBERS)}."
        )
    number = None if given.field is None else field_of(given.field, "'field'")
    if number and not number.is_numeric:
        raise InvalidRequest("'field' must be a number: value or properties.<name>.")
    return EventQuery(
        filters=filters,
        measure=measure,
        number=number,
        breakdown=parse_breakdown(given.breakdown or (), MAX_BREAKDOWN),
        interval=None if given.interval is None else one_of(given.interval, INTERVALS, "interval"),
        zone=zone,
        limit=parse_limit(given.limit),
    )


def parse_breakdown(written: Sequence[Written], most: int, /) -> tuple[Any, ...]:
    """Raises InvalidRequest."""
    if len(written) > most:
        raise InvalidRequest(f"'breakdown' has {len(written)} fields; the limit is {most}.")
    fields = tuple(field_of(each, f"'breakdown[{number}]'") for number, each in enumerate(written))
    if any(each.kind == "value" for each in fields):
        raise InvalidRequest("'breakdown' cannot be by value: there would be too many groups.")
    if len(set(fields)) < len(fields):
        raise InvalidRequest("'breakdown' has a field twice.")
    return fields


def parse_limit(limit: int | None, /) -> int:
    """Raises InvalidRequest."""
    if limit is None:
        return DEFAULT_LIMIT
    if not 1 <= limit <= MAX_GROUPS:
        raise InvalidRequest(f"'limit' must be 1 to {MAX_GROUPS}; it is {limit}.")
    return limit


def one_of(text: str, known: Sequence[Any], name: str, /) -> Any:
    """The text, which has to be one of those known. Raises InvalidRequest."""
    if text not in known:
        raise InvalidRequest(f"'{name}' is {text[:_MAX_SHOWN]!r}: {nearest(text, known)}")
    return text


def render_query(query: EventQuery, answer: QueryAnswer, /) -> bytes:
    data: dict[str, object] = {"value": answer.value}
    if answer.series is not None:
        data["series"] = _series(answer.series)
    if answer.groups is not None:
        data["groups"] = [_group(each) for each in answer.groups]
    meta = render_range(query.filters) | {
        "truncated": answer.truncated,
        "merged": answer.merged,
        "exact": answer.exact,
    }
    return encode_json({"data": data, "meta": meta})


def render_range(filters: Filters, /) -> dict[str, object]:
    """The times that were meant, both included."""
    return {
        "from": None if filters.from_ms is None else render_time_short(filters.from_ms),
        "to": None if filters.to_ms is None else render_time_short(filters.to_ms),
    }


def _series(points: Sequence[Point]) -> list[dict[str, object]]:
    return [{"timestamp": render_time_short(start), "value": value} for start, value in points]


def _group(group: QueryGroup) -> dict[str, object]:
    shown: dict[str, object] = {"key": group.key, "value": group.value}
    return shown if group.series is None else shown | {"series": _series(group.series)}


ROUTES = (Route("POST", "/api/v1/query", "query", "native", Handled("query_events")),)
PREFIXES = ("/api/v1/query",)
