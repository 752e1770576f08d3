"""An event and the journeys of its person: who enters, who goes on, and in which order."""

from typing import Any

import pytest

from headrace.model.journeys import Run
from headrace.reactions.journeys.machine import Machine, Moved
from headrace.reactions.journeys.program import Journey
from tests.journeys.given import DAY_MS, START_MS, Together, journey, seen

WAIT: dict[str, Any] = {"id": "w", "wait": "1d"}


def entered(together: Together, *moments: int) -> list[bool]:
    return [("entered", "j") in together.react(seen("start", START_MS + each)) for each in moments]


@pytest.mark.parametrize(
    ("entry", "moments", "wanted"),
    [
        ("once", [0, 2 * DAY_MS], [True, False]),
        ({"per": "7d"}, [0, 7 * DAY_MS - 1, 7 * DAY_MS], [True, False, True]),
        ({"at_most": 2}, [0, 1, 2, DAY_MS], [True, True, False, True]),
    ],
)
def test_entry_limits(entry: Any, moments: list[int], wanted: list[bool]) -> None:
    assert entered(Together(journey(WAIT, entry=entry)), *moments) == wanted


def test_limits_are_each_persons_own() -> None:
    together = Together(journey(WAIT))
    assert together.react(seen("start", user="u")) == together.react(seen("start", user="v")) == [("entered", "j")]


def test_a_timer_that_is_due_fires_before_an_event_that_came_later() -> None:
    waits = [WAIT, {"id": "f", "wait_for": {"event": "x", "timeout": "1d"}}]
    together = Together(journey(*waits))
    together.react(seen("start"))
    assert together.react(seen("x", START_MS + DAY_MS - 1)) == []
    assert together.react(seen("x", START_MS + DAY_MS)) == [("moved", "j")]
    [run] = together.runs()
    assert [(visit.step, visit.outcome) for visit in run.visits] == [("w", "waited"), ("f", "happened")]


def test_timers_fire_in_the_order_of_time_those_that_others_set_among_them() -> None:
    together = Together(
        journey({"id": "a", "wait": "1h"}, {"id": "b", "wait": "1h"}, {"id": "ab", "emit": {"event": "second"}}),
        journey({"id": "c", "wait": "3h"}, {"id": "d", "emit": {"event": "third"}}, name="k"),
        journey({"id": "e", "wait": "90m"}, {"id": "f", "emit": {"event": "first"}}, name="l"),
    )
    together.set.by_no = dict(enumerate(together.set.current, 1))
    for number, each in enumerate(together.set.current, 1):
        each.no = number
    together.moves._knows = together.set.by_no
    together.react(seen("start"))
    assert together.moves.fire(together.runs(), START_MS + 2 * DAY_MS) == 4
    assert [each.name for each in together.state.emitted] == ["first", "second", "third"]


def test_a_replayed_event_starts_a_new_version_for_who_has_been_through_another() -> None:
    before, after = journey(WAIT), journey(WAIT, {"id": "more", "wait": "1d"})
    after.no = 2
    together = Together(before)
    first = seen("start")
    assert together.react(first) == [("entered", "j")]
    together.set.current = [after]
    together.set.learn([after])
    together.moves._knows = together.set.by_no
    assert together.react(seen("start", START_MS + 1)) == []
    assert together.react(first, replayed=True) == [("entered", "j")]
    assert together.react(first, replayed=True) == []


def test_a_run_at_a_step_that_is_not_there_fails_alone() -> None:
    together = Together(journey(WAIT, {"id": "f", "wait_for": {"event": "x", "timeout": "1d"}}, entry={"at_most": 2}))
    together.react(seen("start"))
    together.react(seen("start", START_MS + 1))
    first = together.runs()[0]
    broken = type(first)(**{name: getattr(first, name) for name in first.__struct_fields__} | {"step": "gone"})
    together.state.runs[first.id] = broken
    together.moves.fire(together.runs(), START_MS + 2 * DAY_MS)
    assert sorted(run.status for run in together.runs()) == ["active", "failed"]


def test_so_many_timers_fire_at_most_the_earliest_first() -> None:
    together = Together(journey(WAIT, {"id": "v", "wait": "1d"}, entry={"at_most": 3}))
    for moment in (2, 0, 1):
        together.react(seen("start", START_MS + moment))
    assert together.moves.fire(together.runs(), START_MS + 9 * DAY_MS, most=2) == 2
    assert [run.step for run in together.runs()] == ["v", "v", "w"]
    assert together.moves.fire(together.runs(), START_MS + DAY_MS + 1) == 0
    assert together.moves.fire(together.runs(), START_MS + DAY_MS + 2) == 1


def test_a_replayed_event_fires_no_timer_and_moves_no_run_that_is_past_it() -> None:
    together = Together(journey(WAIT))
    together.react(seen("start"))
    assert together.react(seen("other", START_MS + 9 * DAY_MS), replayed=True) == []
    assert [run.status for run in together.runs()] == ["active"]


def test_a_fault_of_ours_fails_the_run_alone_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    together = Together(journey(WAIT, entry={"at_most": 2}))
    together.react(seen("start"))
    together.react(seen("start", START_MS + 1))
    first = together.runs()[0]
    fire = Machine.fire

    def fail(machine: Machine, one: Journey, run: Run) -> Moved:
        if run.id == first.id:
            raise ZeroDivisionError("ours")
        return fire(machine, one, run)

    monkeypatch.setattr(Machine, "fire", fail)
    assert together.moves.fire(together.runs(), START_MS + 2 * DAY_MS) == 2
    assert [run.status for run in together.runs()] == ["failed", "done"]
    assert together.runs()[0].visits[-1].why == "ZeroDivisionError: ours"
