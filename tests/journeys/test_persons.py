"""Runs belong to persons, whichever of the ids has started them; and what becomes of them once they have ended."""

from typing import Any

import pytest

from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.model.journeys import Answered, Run
from headrace.pipeline.people import PeopleAdmin
from tests.journeys.given import DAY_MS, HOUR_MS
from tests.journeys.machine import TENANT, Machine

FOR_X: dict[str, Any] = {"id": "f", "wait_for": {"event": "x", "timeout": "1h"}}
CALL: dict[str, Any] = {"id": "c", "call": {"webhook": "crm"}}


def rules(*steps: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"journeys": [{"id": "j", "trigger": {"event": "start"}, "steps": list(steps)} | given]}


def statuses(machine: Machine) -> list[str]:
    return [run.status for run in machine.runs()]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_awaited_event_of_another_id_of_the_person_moves_the_run(machine: Machine, is_restarted: bool) -> None:
    machine.apply(rules(FOR_X))
    machine.send("start", "anon")
    machine.identify("u", "anon")
    if is_restarted:
        machine.settle()
        machine.restart()
    machine.send("x", "u")
    machine.settle()
    assert [visit.outcome for visit in machine.runs()[0].visits] == ["happened"]


def test_an_exit_event_of_another_id_of_the_person_ends_the_run(machine: Machine) -> None:
    machine.apply(rules(FOR_X, exit=["bye"]))
    machine.identify("u", "anon")
    machine.send("start", "u")
    machine.send("bye", "anon")
    machine.settle()
    assert statuses(machine) == ["exited"]


def test_an_event_of_somebody_else_moves_nothing(machine: Machine) -> None:
    machine.apply(rules(FOR_X, exit=["bye"]))
    machine.identify("u", "anon")
    machine.identify("v", "other")
    machine.send("start", "anon")
    machine.send("x", "v")
    machine.send("bye", "other")
    machine.settle()
    assert statuses(machine) == ["active"]


def test_a_person_enters_once_under_all_ids_and_again_each_for_itself_once_they_are_apart(machine: Machine) -> None:
    machine.apply(rules(FOR_X))
    machine.send("start", "anon")
    machine.identify("u", "anon")
    machine.send("start", "u")
    machine.send("start", "anon")
    machine.settle()
    assert [run.person for run in machine.runs()] == ["anon"]
    people = ControlPeople(machine.engine), ControlPeopleStates(machine.engine)
    PeopleAdmin(*people, machine.states, machine.reactions).part(TENANT, "u", "anon")
    machine.send("start", "u")
    machine.send("start", "anon")
    machine.settle()
    assert sorted(run.person for run in machine.runs()) == ["anon", "u"]


def test_runs_are_listed_by_any_id_of_their_person(machine: Machine) -> None:
    machine.apply(rules(FOR_X))
    for each in ("anon", "u", "v"):
        machine.send("start", each)
    machine.identify("u", "anon")
    machine.settle()
    for asked in ("u", "anon"):
        found = machine.journeys.listed(TENANT, "j", None, None, 10, asked)
        assert sorted((each.run.person, each.person) for each in found) == [("anon", "u"), ("u", "u")]
    assert [each.person for each in machine.journeys.listed(TENANT, "j", None, None, 10, "v")] == ["v"]
    assert machine.journeys.listed(TENANT, "j", None, None, 10, "nobody") == []


def test_ended_runs_are_deleted_after_a_while_and_entry_limits_still_count_them(machine: Machine) -> None:
    machine.apply(rules(FOR_X, entry={"per": "3d"}))
    machine.send("start", "u")
    machine.tick(HOUR_MS)
    machine.send("start", "v")
    machine.settle()
    machine.tick(DAY_MS)
    assert not machine.timers.prune()  # none has ended a day ago
    machine.tick(HOUR_MS)
    assert machine.timers.prune()
    machine.now_ms += HOUR_MS
    assert machine.timers.prune()
    assert not machine.timers.prune()
    assert machine.runs() == []
    machine.restart()
    machine.send("start", "u")
    machine.settle()
    assert machine.runs() == []
    machine.tick(3 * DAY_MS)
    machine.send("start", "u")
    machine.settle()
    assert statuses(machine) == ["active"]
    assert sum(each.runs for each in machine.journeys.counts(TENANT) if not each.step) == 3


def answer(machine: Machine, run: Run, attempt: int, reply: str | None) -> None:
    answered = Answered(f"k{machine.now_ms}", TENANT, run.id, attempt, machine.now_ms, reply, "500")
    with machine.engine.begin() as connection:
        machine.work.keep(connection, [answered])
    machine.timers.on_reply()
    machine.settle()
    machine.now_ms += 1


def test_a_dead_call_that_is_sent_again_and_answered_lets_its_run_go_on(machine: Machine) -> None:
    machine.apply(rules(CALL, FOR_X))
    machine.send("start")
    machine.settle()
    answer(machine, machine.runs()[0], 1, None)
    assert statuses(machine) == ["failed"]
    answer(machine, machine.runs()[0], 1, None)
    assert statuses(machine) == ["failed"]
    answer(machine, machine.runs()[0], 1, '{"ok":true}')
    [run] = machine.runs()
    assert [(visit.step, visit.outcome) for visit in run.visits] == [("c", "failed"), ("c", "replied"), ("f", "")]
    assert run.visits[1].reply == '{"ok":true}'
    answer(machine, run, 1, '{"ok":false}')  # and only the first reply counts
    assert machine.runs() == [run]


def test_the_reply_to_a_call_does_not_count_once_its_run_was_retried(machine: Machine) -> None:
    machine.apply(rules(CALL))
    machine.send("start")
    machine.settle()
    answer(machine, machine.runs()[0], 1, None)
    machine.changes.steer(TENANT, machine.runs()[0].id, "retry", machine.now_ms)
    answer(machine, machine.runs()[0], 1, "{}")
    assert statuses(machine) == ["active"]
    answer(machine, machine.runs()[0], 2, None)
    answer(machine, machine.runs()[0], 1, "{}")
    assert statuses(machine) == ["failed"]
