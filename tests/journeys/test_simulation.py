"""A simulation tells what happens in the order of time: events, timers, emitted events and replies."""

from typing import Any

import msgspec
import pytest

from headrace.model.event import Event
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.journeys import simulation as module
from headrace.reactions.journeys.simulation import Simulation
from tests.journeys.given import DAY_MS, HOUR_MS, START_MS

STEPS: list[dict[str, Any]] = [
    {"id": "w", "wait": "1h"},
    {"id": "f", "wait_for": {"event": "x", "timeout": "1d"}},
    {"id": "c", "call": {"webhook": "crm"}},
    {"id": "b", "branch": {"when": "steps.c.reply.ok == true", "then": [{"id": "e", "emit": {"event": "sent"}}]}},
]


def made(*journeys: dict[str, Any], replies: dict[str, bytes | None] | None = None) -> Simulation:
    return Simulation(parse_document(msgspec.json.encode({"journeys": list(journeys)})).journeys, replies)


def event(name: str, user: str, after_ms: int, **fields: Any) -> Event:
    return Event("p", "live", "flux", name, START_MS + after_ms, user_id=user, **fields)


def journey(name: str, trigger: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "trigger": {"event": trigger}, "steps": list(steps)}


def told(simulation: Simulation, *events: Event) -> list[tuple[int, str, str, str, str]]:
    return [(e.at_ms - START_MS, e.person, e.journey, e.what, e.step) for e in simulation.run(events)]


def test_everything_happens_in_the_order_of_time_whatever_the_order_of_the_events() -> None:
    both = (journey("j", "start", *STEPS), journey("k", "sent", {"id": "v", "wait": "1h"}))
    found = told(
        made(*both, replies={"crm": b'{"ok":true}'}),
        event("x", "u", HOUR_MS + 5),
        event("start", "v", HOUR_MS // 2),
        event("start", "u", 0),
    )
    assert found == [
        (0, "u", "j", "entered", ""),
        (0, "u", "j", "waits", "w"),
        (HOUR_MS // 2, "v", "j", "entered", ""),
        (HOUR_MS // 2, "v", "j", "waits", "w"),
        (HOUR_MS, "u", "j", "waited", "w"),
        (HOUR_MS, "u", "j", "waits", "f"),
        (HOUR_MS + 5, "u", "j", "happened", "f"),
        (HOUR_MS + 5, "u", "j", "waits", "c"),
        (HOUR_MS + 5, "u", "j", "replied", "c"),
        (HOUR_MS + 5, "u", "j", "then", "b"),
        (HOUR_MS + 5, "u", "j", "emitted", "e"),
        (HOUR_MS + 5, "u", "j", "done", ""),
        (HOUR_MS + 5, "u", "k", "entered", ""),
        (HOUR_MS + 5, "u", "k", "waits", "v"),
        (HOUR_MS * 3 // 2, "v", "j", "waited", "w"),
        (HOUR_MS * 3 // 2, "v", "j", "waits", "f"),
        (HOUR_MS * 2 + 5, "u", "k", "waited", "v"),
        (HOUR_MS * 2 + 5, "u", "k", "done", ""),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "j", "timed_out", "f"),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "j", "waits", "c"),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "j", "replied", "c"),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "j", "then", "b"),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "j", "emitted", "e"),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "j", "done", ""),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "k", "entered", ""),
        (HOUR_MS * 3 // 2 + DAY_MS, "v", "k", "waits", "v"),
        (HOUR_MS * 5 // 2 + DAY_MS, "v", "k", "waited", "v"),
        (HOUR_MS * 5 // 2 + DAY_MS, "v", "k", "done", ""),
    ]


def test_a_wait_says_what_for_and_a_failing_webhook_why() -> None:
    simulation = made(journey("j", "start", *STEPS), replies={"crm": None})
    details = {(e.what, e.step): e.detail for e in simulation.run([event("start", "u", 0)])}
    assert details["waits", "w"] == "until 2025-01-06T01:00:00.000Z"
    assert details["waits", "f"].startswith("for an event, until 2025-01-07T01:00:00")
    assert details["waits", "c"] == "for the reply"
    assert details["failed", "c"] == "the webhook fails, as it was told to"


def test_repeats_are_left_out_and_events_without_a_key_are_not() -> None:
    simulation = made(journey("j", "start", {"id": "w", "wait": "1h"}) | {"entry": {"at_most": 9}})
    events = [event("start", "u", 0, message_id="m"), event("start", "u", 1, message_id="m")]
    events += [event("start", "u", number, message_id="") for number in (2, 3)]
    found = [each for each in told(simulation, *events) if each[3] == "entered"]
    assert (len(found), simulation.left_out) == (3, 1)


def test_so_many_steps_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event("start", f"u{number}", number) for number in range(3)]
    rules = journey("j", "start", {"id": "w", "wait": "1h"})
    monkeypatch.setattr(module, "MAX_SIMULATED", 7)
    assert len(told(made(rules), *events)) == 12
    monkeypatch.setattr(module, "MAX_SIMULATED", 6)
    with pytest.raises(ValueError, match="more than 6 events and timers"):
        told(made(rules), *events)
