"""The native routes for journeys, and their parameters and cursors. Translates; never stores."""

from collections.abc import Mapping, Sequence

import msgspec

from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import Pairs
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event, decode, render_evt
from headrace.model.journeys import STATUSES, ListedRun, Run, RunCount, Status, Visit
from headrace.model.times import render_time_short

PREFIXES = ("/api/v1/journeys", "/api/v1/runs")
ROUTES = (
    Route("GET", "/api/v1/journeys", "query", "native", Handled("journeys")),
    Route("GET", "/api/v1/journeys/{journey_id}", "query", "native", Handled("journey")),
    Route("GET", "/api/v1/journeys/{journey_id}/runs", "query", "native", Handled("runs")),
    Route("GET", "/api/v1/runs/{run_id}", "query", "native", Handled("run")),
    Route("POST", "/api/v1/runs/{run_id}/cancel", "admin", "native", Handled("cancel_run", in_control=True)),
    Route("POST", "/api/v1/runs/{run_id}/retry", "admin", "native", Handled("retry_run", in_control=True)),
)


def parse_status(given: Mapping[str, str], /) -> Status | None:
    """`status`. Raises InvalidRequest."""
    if "status" not in given:
        return None
    for status in STATUSES:
        if given["status"] == status:
            return status
    raise InvalidRequest(f"'status' must be one of: {', '.join(STATUSES)}; it is {given['status'][:80]!r}.")


def parse_place(last: str | None, /) -> tuple[int, str] | None:
    """The inverse of `place_of`. Raises InvalidRequest."""
    if last is None:
        return None
    started, _, run_id = last.partition(".")
    if not started.isascii() or not started.isdigit() or len(started) > 15:
        raise InvalidRequest("'cursor' is not valid; omit it to start from the beginning.")
    return int(started), run_id


def place_of(run: Run, /) -> str:
    """The cursor of the next page of a list of runs."""
    return f"{run.started_ms}.{run.id}"


def flag(pairs: Pairs, name: str, /) -> bool:
    """A parameter that is true or false. Raises InvalidRequest."""
    value = dict(pairs).get(name) or "false"
    if value not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name!r} must be true or false; it is {value[:80]!r}.")
    return value in ("true", "1")


def statuses(counts: Sequence[RunCount]) -> dict[str, int]:
    found: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for each in counts:
        for status in STATUSES:
            if not each.step and each.outcome == status:
                found[status] += each.runs
    return found


def run_value(listed: ListedRun, /) -> dict[str, object]:
    """A run in a list."""
    run = listed.run
    return {
        "id": run.id,
        "journey": run.journey,
        "version": listed.version,
        "person": listed.person,
        "event_id": render_evt(run.event_id),
        "status": run.status,
        "step": run.step or None,
        "started_at": render_time_short(run.started_ms),
        "moved_at": render_time_short(run.moment_ms),
        "due_at": None if run.due_ms is None else render_time_short(run.due_ms),
    }


def visit_value(visit: Visit) -> dict[str, object]:
    event = decode(visit.event.encode()) if visit.event else None
    return {
        "id": visit.step,
        "kind": visit.kind,
        "at": render_time_short(visit.at_ms),
        "until": None if visit.until_ms is None else render_time_short(visit.until_ms),
        "outcome": visit.outcome or None,
        "why": visit.why or None,
        "event_id": render_evt(visit.event_id) if visit.event_id else None,
        "event": None if event is None else _event(event),
        "reply": msgspec.Raw(visit.reply.encode()) if visit.reply else None,
    }


def _event(event: Event) -> dict[str, object]:
    return {"name": event.name, "timestamp": render_time_short(event.timestamp_ms)}
