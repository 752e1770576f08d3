"""The native dialect's questions of people: funnels, retention and paths. Translates; never queries."""

from collections.abc import Sequence
from itertools import islice

import msgspec

from headrace.dialects.names import decode_known
from headrace.dialects.native_fields import Written, conditions_of
from headrace.dialects.native_queries import (
    Range,
    one_of,
    parse_breakdown,
    parse_limit,
    render_range,
    zone_and_filters,
)
from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import ABSENT, encode_json, text_of_body
from headrace.model.conditions import MAX_VALUE_CHARS, NAME, Condition
from headrace.model.errors import InvalidRequest
from headrace.model.event_queries import MAX_BREAKDOWN
from headrace.model.funnels import (
    MAX_PATH_STEPS,
    MAX_PERIODS,
    MAX_STEPS,
    MAX_WINDOW_MS,
    PERIODS,
    Cohort,
    FunnelAnswer,
    FunnelQuery,
    PathsAnswer,
    PathsQuery,
    Period,
    Reached,
    RetentionAnswer,
    RetentionQuery,
    Step,
)
from headrace.model.times import parse_span, render_time_short
from headrace.model.zones import Interval, buckets

_DEFAULT_WINDOW, _DEFAULT_PERIODS, _DEFAULT_STEPS, _DEFAULT_WITHIN = "14d", 8, 3, "1h"
_INTERVALS: dict[Period, Interval] = {"day": "1d", "week": "1w", "month": "1M"}


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    event: str | None = None
    filters: list[msgspec.Raw] | None = None


class _Funnel(Range, forbid_unknown_fields=True):
    steps: list[msgspec.Raw] | None = None
    window: str | None = None
    order: str | None = None
    breakdown: list[Written] | None = None
    limit: int | None = None


class _Retention(Range, forbid_unknown_fields=True):
    first: msgspec.Raw = ABSENT
    returning: msgspec.Raw = ABSENT
    period: str | None = None
    periods: int | None = None


class _Paths(Range, forbid_unknown_fields=True):
    start: msgspec.Raw = ABSENT
    direction: str | None = None
    steps: int | None = None
    window: str | None = None
    limit: int | None = None


_step_decoder = msgspec.json.Decoder(_Step)
_funnel_decoder = msgspec.json.Decoder(_Funnel)
_retention_decoder = msgspec.json.Decoder(_Retention)
_paths_decoder = msgspec.json.Decoder(_Paths)


def parse_funnel(body: bytes, now_ms: int, /) -> FunnelQuery:
    """Raises InvalidRequest, InvalidTimestamp."""
    given = decode_known(_funnel_decoder, text_of_body(body), "The body", _Funnel)
    _, filters = zone_and_filters(given, now_ms)
    raws = given.steps or ()
    if not 1 <= len(raws) <= MAX_STEPS:
        raise InvalidRequest(f"'steps' must be an array of 1 to {MAX_STEPS} steps; it has {len(raws)}.")
    breakdown = parse_breakdown(given.breakdown or (), MAX_BREAKDOWN)
    if any(field.kind == "person" for field in breakdown):
        raise InvalidRequest("'breakdown' of a funnel cannot be by person: a funnel counts people.")
    return FunnelQuery(
        filters=filters,
        steps=[_step(raw, f"steps[{number}]") for number, raw in enumerate(raws)],
        window_ms=_window(given.window or _DEFAULT_WINDOW),
        order=one_of(given.order or "loose", ("loose", "strict"), "order"),
        breakdown=breakdown,
        limit=parse_limit(given.limit),
    )


def parse_retention(body: bytes, now_ms: int, /) -> RetentionQuery:
    """`returning` is `first` unless given. Raises InvalidRequest, InvalidTimestamp."""
    given = decode_known(_retention_decoder, text_of_body(body), "The body", _Retention)
    zone, filters = zone_and_filters(given, now_ms)
    first = _step(given.first, "first")
    return RetentionQuery(
        filters=filters,
        first=first,
        returning=first if given.returning in (ABSENT, msgspec.Raw(b"null")) else _step(given.returning, "returning"),
        period=one_of(given.period or "week", PERIODS, "period"),
        periods=_whole(given.periods, "periods", _DEFAULT_PERIODS, MAX_PERIODS),
        zone=zone,
    )


def parse_paths(body: bytes, now_ms: int, /) -> PathsQuery:
    """Raises InvalidRequest, InvalidTimestamp."""
    given = decode_known(_paths_decoder, text_of_body(body), "The body", _Paths)
    _, filters = zone_and_filters(given, now_ms)
    return PathsQuery(
        filters=filters,
        start=_step(given.start, "start"),
        direction=one_of(given.direction or "after", ("after", "before"), "direction"),
        steps=_whole(given.steps, "steps", _DEFAULT_STEPS, MAX_PATH_STEPS),
        window_ms=_window(given.window or _DEFAULT_WITHIN),
        limit=parse_limit(given.limit),
    )


def _step(raw: msgspec.Raw, name: str) -> Step:
    where = f"'{name}'"
    if raw in (ABSENT, msgspec.Raw(b"null")):
        raise InvalidRequest(f'{where} is required: send {{"event": "…"}}, "filters", or both.')
    given = decode_known(_step_decoder, raw, where, _Step)
    conditions = conditions_of(given.filters or (), f"{name}.filters")
    if given.event:
        if len(given.event) > MAX_VALUE_CHARS:
            raise InvalidRequest(f"'event' of {where} has more than {MAX_VALUE_CHARS} characters.")
        conditions = [Condition(NAME, "=", [given.event]), *conditions]
    if not conditions:
        raise InvalidRequest(f"{where} has neither 'event' nor 'filters': every event would match it.")
    return conditions


def _window(text: str) -> int:
    window_ms = parse_span(text, "window")
    if not 0 < window_ms <= MAX_WINDOW_MS:
        raise InvalidRequest(
            f"'window' must be at most {MAX_WINDOW_MS // 86_400_000}d, and more than none; it is {text!r}."
        )
    return window_ms


def _whole(number: int | None, name: str, default: int, most: int) -> int:
    number = default if number is None else number
    if not 1 <= number <= most:
        raise InvalidRequest(f"'{name}' must be 1 to {most}; it is {number}.")
    return number


def render_funnel(query: FunnelQuery, answer: FunnelAnswer, /) -> bytes:
    data: dict[str, object] = {"steps": _steps(answer.steps)}
    if answer.groups is not None:
        data["groups"] = [{"key": group.key, "steps": _steps(group.steps)} for group in answer.groups]
    meta = render_range(query.filters) | {"truncated": answer.truncated, "merged": answer.merged}
    return encode_json({"data": data, "meta": meta})


def _steps(steps: Sequence[Reached]) -> list[dict[str, object]]:
    first = steps[0].count
    return [
        {
            "users": step.count,
            "conversion": step.count / first if first else None,
            "average_seconds": _seconds(step.average_ms),
            "median_seconds": _seconds(step.median_ms),
        }
        for step in steps
    ]


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def render_retention(query: RetentionQuery, answer: RetentionAnswer, now_ms: int, /) -> bytes:
    """Without the periods that have not begun by the last moment asked for, or by now."""
    upto = min(now_ms, now_ms if query.filters.to_ms is None else query.filters.to_ms)
    cohorts = [_cohort(query, cohort, upto) for cohort in answer.cohorts]
    meta = render_range(query.filters) | {"merged": answer.merged}
    return encode_json({"data": {"cohorts": cohorts}, "meta": meta})


def _cohort(query: RetentionQuery, cohort: Cohort, upto_ms: int) -> dict[str, object]:
    periods = buckets(cohort.start_ms, upto_ms, _INTERVALS[query.period], query.zone)
    begun = sum(1 for _ in islice(periods, query.periods))
    last = max(
        (since + 1 for since, count in enumerate(cohort.returned) if count), default=0
    )  # of clocks that run ahead
    return {
        "start": render_time_short(cohort.start_ms),
        "users": cohort.size,
        "returned": cohort.returned[: max(begun, last)],
    }


def render_paths(query: PathsQuery, answer: PathsAnswer, /) -> bytes:
    data = {
        "starts": answer.starts,
        "users": answer.users,
        "paths": [{"path": path.names, "count": path.count, "users": path.users} for path in answer.paths],
    }
    meta = render_range(query.filters) | {"truncated": answer.truncated, "merged": answer.merged}
    return encode_json({"data": data, "meta": meta})


def _asking(path: str, does: str) -> Route:
    return Route("POST", f"/api/v1/query/{path}", "query", "native", Handled(does))


ROUTES = (_asking("funnel", "query_funnel"), _asking("retention", "query_retention"), _asking("paths", "query_paths"))
