"""The native routes about journeys, and how their replies read. Translates; never stores."""

from collections.abc import Mapping, Sequence

import msgspec

from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import Pairs
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event, decode, render_evt
from headrace.model.journeys import STATUSES, ListedRun, Run, RunCount, Status, Visit
from headrace.model.times import render_time_short
from headrace.reactions.journeys.document import JourneyRule, Step, all_steps

PREFIXES = ("/api/v1/journeys", "/api/v1/runs")
ROUTES = (
    Route("GET", "/api/v1/journeys", "query", "native", Handled("journeys")),
    Route("GET", "/api/v1/journeys/{journey_id}", "query", "native", Handled("journey")),
    Route("GET", "/api/v1/journeys/{journey_id}/runs", "query", "native", Handled("runs")),
    Route("GET", "/api/v1/runs/{run_id}", "query", "native", Handled("run")),
    Route("POST", "/api/v1/runs/{run_id}/cancel", "admin", "native", Handled("cancel_run")),
    Route("POST", "/api/v1/runs/{run_id}/retry", "admin", "native", Handled("retry_run")),
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
    """What `place_of` made. Raises InvalidRequest."""
    if last is None:
        return None
    started, _, run_id = last.partition(".")
    if not started.isascii() or not started.isdigit() or len(started) > 15:
        raise InvalidRequest("'cursor' is not valid; omit it to start from the beginning.")
    return int(started), run_id


def place_of(run: Run, /) -> str:
    """Where in a list of runs the next page begins."""
    return f"{run.started_ms}.{run.id}"


def flag(pairs: Pairs, name: str, /) -> bool:
    """A parameter that is true or false. Raises InvalidRequest."""
    value = dict(pairs).get(name) or "false"
    if value not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name!r} must be true or false; it is {value[:80]!r}.")
    return value in ("true", "1")


def journey_value(
    journey_id: str, rule: JourneyRule | None, version: str | None, counts: Sequence[RunCount], /
) -> dict[str, object]:
    """A journey in a list; `rule` and `version` are those in force, None where only runs are left."""
    return {
        "id": journey_id,
        "title": rule.title if rule else None,
        "version": version,
        "in_force": rule is not None,
        "trigger": {"event": rule.trigger.event, "when": rule.trigger.when} if rule else None,
        "entry": msgspec.to_builtins(rule.entry) if rule else None,
        "exit": rule.exit if rule else [],
        "runs": _statuses(counts),
    }


def whole_journey_value(
    journey_id: str,
    rule: JourneyRule | None,
    version: str | None,
    counts: Sequence[RunCount],
    /,
) -> dict[str, object]:
    """A journey with its steps, and for each version how many runs are and were at each."""
    steps = [_step(step) for step in all_steps(rule.steps)] if rule else []
    versions = list(dict.fromkeys([*([version] if version else []), *(each.version for each in reversed(counts))]))
    return journey_value(journey_id, rule, version, counts) | {
        "description": rule.description if rule else None,
        "steps": steps,
        "versions": [
            {
                "version": each,
                "in_force": each == version,
                "runs": _statuses(own := [count for count in counts if count.version == each]),
                "steps": _at_steps(own, rule if each == version else None),
            }
            for each in versions
        ],
    }


def _step(step: Step) -> dict[str, object]:
    return {"id": step.id, "kind": step.kind, "title": step.title}


def _statuses(counts: Sequence[RunCount]) -> dict[str, int]:
    found: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for each in counts:
        for status in STATUSES:
            if not each.step and each.outcome == status:
                found[status] += each.runs
    return found


def _at_steps(counts: Sequence[RunCount], rule: JourneyRule | None) -> list[dict[str, object]]:
    """In the order of the document where that is known."""
    ids = [step.id for step in all_steps(rule.steps)] if rule else []
    ids += sorted({each.step for each in counts if each.step} - set(ids))
    return [
        {
            "id": step,
            "waiting": sum(each.runs for each in counts if each.step == step and not each.outcome),
            "outcomes": {each.outcome: each.runs for each in counts if each.step == step and each.outcome},
        }
        for step in ids
    ]


def run_value(listed: ListedRun, /) -> dict[str, object]:
    """A run in a list."""
    run = listed.run
    return {
        "id": run.id,
        "journey": run.journey,
        "version": listed.version,
        "person": run.person,
        "event_id": render_evt(run.event_id),
        "status": run.status,
        "step": run.step or None,
        "started_at": render_time_short(run.started_ms),
        "moved_at": render_time_short(run.moment_ms),
        "due_at": None if run.due_ms is None else render_time_short(run.due_ms),
    }


def whole_run_value(listed: ListedRun, rule: JourneyRule | None, /) -> dict[str, object]:
    """A run with each of its steps, and what it waits for; `rule` is its version of the journey."""
    return run_value(listed) | {
        "waits": _waits(listed.run, rule),
        "depth": listed.run.depth,
        "steps": [_visit(visit) for visit in listed.run.visits],
    }


def _waits(run: Run, rule: JourneyRule | None) -> dict[str, object] | None:
    if run.status != "active":
        return None
    step = next((each for each in all_steps(rule.steps) if each.id == run.step), None) if rule else None
    awaited = step.wait_for if step else None
    return {
        "for": run.waiting,
        "until": None if run.due_ms is None else render_time_short(run.due_ms),
        "event": awaited.event if awaited else None,
        "when": awaited.when if awaited else None,
        "webhook": step.call.webhook if step and step.call else None,
        "delivery": f"{run.id}.{run.step}.{run.attempt}" if run.waiting == "reply" else None,
    }


def _visit(visit: Visit) -> dict[str, object]:
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
