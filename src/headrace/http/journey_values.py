"""Journeys and runs as the native routes show them, with details from their documents."""

from collections.abc import Sequence

import msgspec

from headrace.dialects.native_journeys import run_value, statuses, visit_value
from headrace.model.journeys import ListedRun, Run, RunCount
from headrace.model.times import render_time_short
from headrace.reactions.journeys.document import JourneyRule, Step, all_steps


def journey_value(
    journey_id: str, rule: JourneyRule | None, version: str | None, counts: Sequence[RunCount], /
) -> dict[str, object]:
    """A journey in a list. rule, version: those in force; None if only runs are left."""
    return {
        "id": journey_id,
        "title": rule.title if rule else None,
        "version": version,
        "in_force": rule is not None,
        "trigger": {"event": rule.trigger.event, "when": rule.trigger.when} if rule else None,
        "entry": msgspec.to_builtins(rule.entry) if rule else None,
        "exit": rule.exit if rule else [],
        "runs": statuses(counts),
    }


def whole_journey_value(
    journey_id: str,
    rule: JourneyRule | None,
    version: str | None,
    counts: Sequence[RunCount],
    /,
) -> dict[str, object]:
    """A journey with its steps, and for each version the number of runs that are and were at each step."""
    steps = [_step(step) for step in all_steps(rule.steps)] if rule else []
    versions = list(dict.fromkeys([*([version] if version else []), *(each.version for each in reversed(counts))]))
    return journey_value(journey_id, rule, version, counts) | {
        "description": rule.description if rule else None,
        "steps": steps,
        "versions": [
            {
                "version": each,
                "in_force": each == version,
                "runs": statuses(own := [count for count in counts if count.version == each]),
                "steps": _at_steps(own, rule if each == version else None),
            }
            for each in versions
        ],
    }


def _step(step: Step) -> dict[str, object]:
    return {"id": step.id, "kind": step.kind, "title": step.title}


def _at_steps(counts: Sequence[RunCount], rule: JourneyRule | None) -> list[dict[str, object]]:
    """In document order, if that is known."""
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


def whole_run_value(listed: ListedRun, rule: JourneyRule | None, /) -> dict[str, object]:
    """A run with each of its steps, and what it waits for. rule: its version of the journey."""
    return run_value(listed) | {
        "waits": _waits(listed.run, rule),
        "depth": listed.run.depth,
        "steps": [visit_value(visit) for visit in listed.run.visits],
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
