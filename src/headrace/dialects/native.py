"""The native dialect: features beyond the four APIs, as `{"data":…,"meta":…}`. Translates; never stores.

Errors are RFC 9457 problem documents. Fields without a value are null, never missing.
Source: shared/CONTRACT.md
"""

import base64
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Literal

import msgspec

from headrace.dialects import (
    native_audit,
    native_funnels,
    native_journeys,
    native_keys,
    native_queries,
    native_tasks,
    native_webhooks,
)
from headrace.dialects.flux_queries import render_row
from headrace.dialects.lines import shown
from headrace.dialects.names import fingerprint
from headrace.dialects.native_lines import parse_lines
from headrace.dialects.route import Dialect, Handled, Ingest, Limit, Route
from headrace.dialects.wire import Pairs, encode_json, integer_of
from headrace.model.batch import Batch
from headrace.model.effects import Effect, Trace
from headrace.model.entries import Receipt
from headrace.model.errors import Conflict, HeadraceError, InvalidRequest, InvalidRules, OtherRules
from headrace.model.event import StoredEvent, render_evt
from headrace.model.filters import Catalog, CatalogEntry, CatalogPage
from headrace.model.times import render_time_short

NAME = "native"
MAX_LIMIT = 100
DEFAULT_LIMIT = 50


def render_error(error: HeadraceError, status: int, /) -> bytes:
    """Source: https://www.rfc-editor.org/rfc/rfc9457#section-3"""
    title = HTTPStatus(status).phrase
    problem: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "detail": error.message}
    if isinstance(error, InvalidRules):
        problem["errors"] = [each._asdict() for each in error.problems]
    return encode_json(problem)


def render_data(data: object, meta: object = None, /) -> bytes:
    """`{"data":…}`, with `"meta"` if there is any."""
    return encode_json({"data": data} if meta is None else {"data": data, "meta": meta})


def parse_limit(given: dict[str, str], /) -> int:
    """`limit`, 1 to 100. Raises InvalidRequest."""
    limit = integer_of(given["limit"], "limit") if "limit" in given else DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be 1 to {MAX_LIMIT}; it is {limit}.")
    return limit


def bound_to(listed: str, /, **filters: str | None) -> str:
    """What cursors of a list are bound to: what it lists, and the filters that are set."""
    given = [(name, value) for name, value in filters.items() if value is not None]
    return fingerprint([("", listed), *given])


def parse_cursor(given: dict[str, str], bound: str, /) -> str | None:
    """The inverse of `render_cursor`; None without a cursor. Raises InvalidRequest, also if it is bound to something else."""
    if "cursor" not in given:
        return None
    try:
        of_filters, dot, last = base64.b64decode(given["cursor"], b"-_", validate=True).decode().partition(".")
    except ValueError:  # not base64, not ASCII, or not UTF-8
        of_filters = dot = last = ""
    if not dot:
        raise InvalidRequest("'cursor' is not valid; omit it to start from the beginning.")
    if of_filters != bound:
        raise InvalidRequest(
            "'cursor' belongs to another list or to other filters; keep them for all pages, or omit it to start over."
        )
    return last


def render_cursor(last: str, bound: str, /) -> str:
    """bound: see `bound_to`; it contains no dot."""
    return base64.urlsafe_b64encode(f"{bound}.{last}".encode()).decode()


def _filters_of(page: CatalogPage) -> str:
    return bound_to("catalog", name=page.name, prefix=page.prefix, search=page.search)


def parse_catalog(pairs: Pairs, /) -> CatalogPage:
    """`name` is exact, or a prefix with a trailing `*`, as in Flux. Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    name = given.get("name")
    prefix = name[:-1] if name and name.endswith("*") else None
    page = CatalogPage(
        limit=parse_limit(given),
        name=name if prefix is None else None,
        prefix=prefix or None,
        search=given.get("search"),
    )
    return msgspec.structs.replace(page, after=parse_cursor(given, _filters_of(page)))


UsedBy = Callable[[str], Sequence[str]]
"""Returns what uses events of a name."""


def render_catalog(page: CatalogPage, answer: Catalog, used_by: UsedBy, /) -> bytes:
    meta: dict[str, object] = {"total": answer.total, "limit": page.limit, "next_cursor": None}
    if answer.more:
        meta["next_cursor"] = render_cursor(answer.entries[-1].name, _filters_of(page))
    return render_data([_render_entry(entry, used_by) for entry in answer.entries], meta)


def render_catalog_entry(entry: CatalogEntry, used_by: UsedBy, /) -> bytes:
    return render_data(_render_entry(entry, used_by))


def _render_entry(entry: CatalogEntry, used_by: UsedBy) -> dict[str, object]:
    return {
        "name": entry.name,
        "count": entry.count,
        "first_seen_at": render_time_short(entry.first_ms),
        "last_seen_at": render_time_short(entry.last_ms),
        "properties": [{"name": key, "types": types} for key, types in entry.properties],
        "properties_truncated": entry.truncated,
        "example": None if entry.example is None else _render_example(entry.example),
        "used_by": list(used_by(entry.name)),
    }


def render_event_data(event: StoredEvent, /) -> bytes:
    """An event as the data of a webhook's message, in the form of the catalogue's examples."""
    return encode_json(_render_example(event))


def _render_example(event: StoredEvent) -> dict[str, object]:
    """Flux's row, with the anonymous id of an event without a user."""
    return render_row(event) | {"user_id": event.user_id or event.anonymous_id or None}


_NATIVE_NAMES = {
    "factId": "fact_id",
    "factType": "fact_type",
    "challengeId": "challenge_id",
    "badgeId": "badge_id",
    "journeyId": "journey_id",
    "runId": "run_id",
}


def render_trace(trace: Trace, /) -> bytes:
    """The event's path, step by step. Positions are text, because they have more digits than a double."""
    event, message_id = trace.event, trace.event.message_id or None
    return render_data(
        {
            "id": render_evt(event.id),
            "name": event.name,
            "received": {
                "at": render_time_short(event.received_at_ms),
                "source": event.source,
                "message_id": message_id,
            },
            "deduplicated": {"by": "message_id" if message_id else None, "repeat_known": trace.repeat_known},
            "stored": {"position": str(event.position), "in_store": True, "in_log": trace.in_log},
            "reacted": trace.reacted,
            "facts": [effect_value(effect) for effect in trace.effects if effect.kind == "fact"],
            "effects": [effect_value(effect) for effect in trace.effects if effect.kind != "fact"],
            "person": trace.person or None,
            "runs": [native_journeys.run_value(each) for each in trace.runs],
            "deliveries": [msgspec.to_builtins(each) | {"problem": each.problem or None} for each in trace.deliveries],
        }
    )


def effect_value(effect: Effect, /) -> dict[str, object]:
    """An effect as a value."""
    return {
        "kind": effect.kind,
        "rule": effect.rule,
        "version": effect.version or None,
        "participant": effect.participant or None,
        "generation": effect.generation,
        "detail": {_NATIVE_NAMES.get(name, name): value for name, value in effect.detail.items()},
    }


def render_lines(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    return render_data(shown(batch, lambda each: {"index": each.index, "message": each.error.message}))


def _reading(path: str, does: Handled) -> Route:
    return Route("GET", f"/api/v1/{path}", "query", "native", does)


def _changing(method: Literal["POST", "PUT", "DELETE"], path: str, handler: str) -> Route:
    """A route by which an admin changes something in control."""
    return Route(method, f"/api/v1/{path}", "admin", "native", Handled(handler, in_control=True))


DIALECT = Dialect(
    NAME,
    render_error,
    (
        _reading("catalog", Handled("catalog")),
        _reading("catalog/{name:path}", Handled("catalog_entry")),
        _reading("events/{event_id}/trace", Handled("trace")),
        _reading("events/{event_id}/effects", Handled("effects")),
        _reading("participants", Handled("participants")),
        _reading("participants/{participant_id:id}", Handled("participant")),
        _changing("POST", "participants/{participant_id:id}/points", "grant_points"),
        _reading("points", Handled("ledger")),
        _reading("points/leaderboard", Handled("points_leaderboard")),
        _reading("challenges", Handled("challenges")),
        _reading("challenges/{challenge_id}/leaderboard", Handled("leaderboard")),
        _reading("badges", Handled("badges")),
        _reading("badges/{badge_id}/holders", Handled("holders")),
        Route("POST", "/api/v1/lines", "ingest", "lines", Ingest(parse_lines, render_lines, whole=True), 201),
        _reading("users", Handled("people")),
        _reading("users/{user_id:id}", Handled("person")),
        _reading("users/{user_id:id}/events", Handled("person_events")),
        _changing("DELETE", "users/{user_id:id}/aliases/{other:id}", "part_person"),
        Route("DELETE", "/api/v1/users/{user_id:id}", "admin", "native", Handled("erase_person"), 202),
        Route("GET", "/api/v1/erasures", "admin", "native", Handled("erasures")),
        Route("GET", "/api/v1/erasures/{erasure_id}", "admin", "native", Handled("erasure")),
        Route("GET", "/api/v1/retention", "admin", "native", Handled("retention")),
        _changing("PUT", "retention", "set_retention"),
        _reading("groups/{type:id}/{key:id}", Handled("group")),
        _reading("badges/{badge_id}/revocations", Handled("revocations")),
        _changing("POST", "badges/{badge_id}/revocations", "revoke_badge"),
        _reading("export", Handled("export")),
        Route("POST", "/api/v1/import", "admin", "native", Handled("import")),
        _reading("status", Handled("status")),
        _reading("live", Handled("live")),
        Route("GET", "/api/v1/rules", "admin", "native", Handled("rules")),
        _changing("PUT", "rules", "apply_rules"),
        Route("GET", "/api/v1/rules/versions/{version}", "admin", "native", Handled("rules_version")),
        Route("GET", "/api/v1/rules/passed_over", "admin", "native", Handled("passed_over_by_all")),
        Route("GET", "/api/v1/rules/{kind}/{rule_id}/passed_over", "admin", "native", Handled("passed_over")),
        *native_keys.ROUTES,
        *native_audit.ROUTES,
        *native_tasks.ROUTES,
        *native_webhooks.ROUTES,
        *native_queries.ROUTES,
        *native_funnels.ROUTES,
        *native_journeys.ROUTES,
    ),
    limits=(
        Limit("native", "the server's own API (catalogue, traces, …)"),
        Limit("console", "the console", of="session"),
    ),
    # The rest of /api/v1 is Flux's.
    prefixes=(
        *(
            f"/api/v1/{name}"
            for name in ("effects", "erasures", "facts", "groups", "participants", "points", "retention", "users")
        ),
        *native_keys.PREFIXES,
        *native_tasks.PREFIXES,
        *native_journeys.PREFIXES,
        *native_queries.PREFIXES,
    ),
    statuses=((OtherRules, 412), (Conflict, 409)),
    error_type="application/problem+json",
)
