"""Timers, emitted events and replies over a real control database: in order, once, and under the lease."""

from typing import Any

import pytest

from headrace.control.journey_runs import ControlJourneyWork
from headrace.control.leases import ControlLeases
from headrace.model.entries import Entry
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import Event, Tenant, encode
from headrace.model.journeys import Answered
from headrace.model.reaction_state import State
from headrace.ports.control import LeaseLost
from tests.journeys.given import DAY_MS, HOUR_MS, START_MS
from tests.journeys.machine import TENANT, Machine
from tests.reactions.given import Crash


def rules(*steps: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"journeys": [{"id": "j", "trigger": {"event": "start"}, "steps": list(steps)} | given]}


def emit(name: str) -> dict[str, Any]:
    return {"id": name, "emit": {"event": name}}


WAIT: dict[str, Any] = {"id": "w", "wait": "1h"}
FOR_X: dict[str, Any] = {"id": "f", "wait_for": {"event": "x", "timeout": "1h"}}


def test_a_timer_waits_for_events_that_were_received_before_it(machine: Machine) -> None:
    machine.apply(rules(FOR_X))
    machine.send("start")
    machine.settle()
    machine.now_ms += HOUR_MS - 1
    machine.send("x")
    machine.now_ms += 10
    wanted: list[int] = []
    machine.timers._want = wanted.append
    assert not machine.timers.step()
    assert wanted == [machine.log.last()]
    machine.settle()
    assert [visit.outcome for visit in machine.runs()[0].visits] == ["happened"]


def test_after_a_downtime_timers_fire_in_the_order_of_time_and_each_once(machine: Machine) -> None:
    machine.apply(rules(WAIT, emit("one"), {"id": "v", "wait": "3h"}, emit("two")))
    for number in range(30):
        machine.send("start", f"u{number % 15}{number}")
        machine.tick(20 * 60_000)
    machine.restart()
    machine.tick(2 * DAY_MS)
    emitted = [event.timestamp_ms for event in machine.emitted()]
    assert len(emitted) == 60
    late = [each for each in emitted if each > START_MS + 10 * HOUR_MS]
    assert late == sorted(late)
    assert all(run.status == "done" for run in machine.runs())


@pytest.mark.parametrize("where", ["fire", "fired", "emit", "before intake", "after intake", "emitted"])
def test_a_crash_anywhere_emits_each_event_once(machine: Machine, where: str) -> None:
    machine.apply(rules(WAIT, emit("one")))
    machine.send("start")
    machine.settle()
    machine.now_ms += HOUR_MS
    machine.dies = where
    with pytest.raises(Crash):
        machine.settle()
    machine.restart()
    machine.settle()
    assert [event.name for event in machine.emitted()] == ["one"]
    assert [run.status for run in machine.runs()] == ["done"]


def test_an_event_starts_a_version_once_and_forced_again_as_the_limits_allow(machine: Machine) -> None:
    machine.apply(rules(WAIT, entry={"at_most": 2}))
    start = machine.send("start")
    machine.settle()
    for force, wanted in ((False, 1), (True, 2), (True, 2)):
        machine.replay(start, force=force)
        assert len(machine.runs()) == wanted


def test_a_run_finishes_on_its_version_when_the_journey_is_gone(machine: Machine) -> None:
    machine.apply(rules(FOR_X, emit("one"), exit=["stop"]))
    machine.send("start")
    machine.send("start", "v")
    machine.settle()
    machine.apply({"facts": []})
    machine.restart()
    machine.send("x")
    machine.send("stop", "v")
    machine.settle()
    assert sorted(run.status for run in machine.runs()) == ["done", "exited"]
    assert [event.name for event in machine.emitted()] == ["one"]


def test_events_that_wait_while_a_journey_changes_still_reach_its_runs(machine: Machine) -> None:
    machine.apply(rules(FOR_X))
    machine.send("start")
    machine.send("x")
    machine.apply(rules(WAIT))
    machine.settle()
    assert [visit.outcome for visit in machine.runs()[0].visits] == ["happened"]


def test_moved_runs_go_on_by_the_new_version(machine: Machine) -> None:
    machine.apply(rules(WAIT, emit("old")))
    machine.send("start")
    machine.settle()
    applied = machine.apply(rules(WAIT, emit("new")), move=True)
    assert [(each.id, each.runs, each.moves) for each in applied.journeys] == [("j", 1, 1)]
    machine.tick(HOUR_MS)
    assert [event.name for event in machine.emitted()] == ["new"]


def test_a_journey_reads_what_earlier_events_said_of_the_person_also_in_the_same_batch(machine: Machine) -> None:
    branch = {"when": "person.traits.vip", "then": [emit("yes")], "else": [emit("no")]}
    machine.apply(rules({"id": "b", "branch": branch}))
    machine.send("start", "v")
    machine.identify("u", vip=True)
    machine.send("start")
    machine.settle()
    assert sorted((event.name, event.user_id) for event in machine.emitted()) == [("no", "v"), ("yes", "u")]


def test_a_reply_moves_the_run_that_waits_for_it_once(machine: Machine) -> None:
    call = {"id": "c", "call": {"webhook": "crm"}}
    machine.apply(rules(call, emit("one")))
    machine.send("start")
    machine.settle()
    [run] = machine.runs()
    for key, attempt in (("late", 7), ("k", 1), ("again", 1)):
        with machine.engine.begin() as connection:
            machine.work.keep(connection, [Answered(key, TENANT, run.id, attempt, machine.now_ms, "{}", "")])
        machine.timers.on_reply()
        machine.settle()
    assert [event.name for event in machine.emitted()] == ["one"]
    assert machine.rows("select count(*) from replies") == [(0,)]


def test_who_has_lost_the_lease_moves_no_run(machine: Machine) -> None:
    machine.apply(rules(WAIT))
    machine.send("start")
    machine.settle()
    mine, other = (ControlJourneyWork(machine.engine, ControlLeases(machine.engine, length_s=60)) for _ in range(2))
    machine.timers._work = mine
    check = mine.claim("a")
    with machine.engine.begin() as connection:
        connection.exec_driver_sql("update leases set expires_at_ms = 0")
    assert check is not None
    assert other.claim("b") is not None
    machine.now_ms += HOUR_MS
    with pytest.raises(LeaseLost):
        machine.timers.step()
    assert machine.runs()[0].status == "active"


def test_an_operator_cancels_a_run_and_retries_only_a_failed_one(machine: Machine) -> None:
    machine.apply(rules(WAIT))
    machine.send("start")
    machine.settle()
    [run] = machine.runs()
    with pytest.raises(InvalidRequest, match="Only a failed run"):
        machine.changes.steer(TENANT, run.id, "retry", machine.now_ms)
    assert machine.changes.steer(TENANT, run.id, "cancel", machine.now_ms).status == "cancelled"
    machine.tick(DAY_MS)
    assert machine.runs()[0].status == "cancelled"
    with pytest.raises(NotFound):
        machine.changes.steer(TENANT, "run_x", "cancel", machine.now_ms)


def test_a_project_without_journeys_writes_nothing_about_them(machine: Machine) -> None:
    machine.apply({"facts": [{"id": "f", "event": "start"}]})
    machine.send("start")
    machine.settle()
    for table in ("runs", "run_counts", "emits", "replies", "journeys", "leases"):
        assert machine.rows(f"select count(*) from {table}") == [(0,)]


def test_timers_that_cannot_be_fired_for_one_tenant_delay_no_other(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.apply(rules(WAIT, emit("one")))
    test = Event("p", "test", "flux", "start", machine.now_ms, user_id="u")
    machine.log.append([Entry(encode(test))])
    machine.send("start")
    machine.settle()
    change = machine.changes.change

    def fail(tenant: Tenant, *given: Any) -> State:
        if tenant.mode == "live":
            raise ValueError("a fault of ours")
        return change(tenant, *given)

    machine.now_ms += 2 * HOUR_MS
    monkeypatch.setattr(machine.changes, "change", fail)
    assert machine.timers.step()
    with pytest.raises(ValueError, match="ours"):  # once the other has had its turn
        machine.settle()
    statuses = "select mode, status from runs"
    assert machine.rows(statuses) == [("live", "active"), ("test", "done")]
    monkeypatch.undo()
    machine.settle()
    assert machine.rows(statuses) == [("live", "done"), ("test", "done")]


def test_many_timers_events_and_replies_are_worked_off_in_several_steps_in_the_order_of_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.pipeline.timers._AT_ONCE", 2)
    monkeypatch.setattr("headrace.pipeline.timers._EMITS_AT_ONCE", 2)
    call = {"id": "c", "call": {"webhook": "crm"}}
    machine.apply(rules(WAIT, emit("one"), {"id": "v", "wait": "30m"}, emit("two"), call, emit("three")))
    for number in range(5):
        machine.send("start", f"u{number}")
        machine.tick(60_000)
    machine.tick(2 * HOUR_MS)
    times = [event.timestamp_ms for event in machine.emitted()]
    assert len(times) == 10
    assert (machine.timers.fired, machine.timers.emitted) == (10, 10)
    by_name = {name: [e.user_id for e in machine.emitted() if e.name == name] for name in ("one", "two")}
    users = [f"u{number}" for number in range(5)]
    assert by_name == {"one": users, "two": users}
    with machine.engine.begin() as connection:
        for run in machine.runs():
            machine.work.keep(connection, [Answered(run.id, TENANT, run.id, 1, machine.now_ms, "{}", "")])
    machine.timers.on_reply()
    machine.settle()
    assert [event.name for event in machine.emitted()[10:]] == ["three"] * 5
    assert machine.timers.step() is False


def test_a_process_without_the_lease_does_nothing_and_takes_over_what_the_other_has_left(machine: Machine) -> None:
    machine.apply(rules(WAIT, emit("one")))
    machine.send("start")
    machine.settle()
    work = ControlJourneyWork(machine.engine, ControlLeases(machine.engine, length_s=60))
    assert ControlJourneyWork(machine.engine, ControlLeases(machine.engine, length_s=60)).claim("another")
    machine.timers._work = work
    machine.now_ms += HOUR_MS
    assert not machine.timers.step()
    assert machine.runs()[0].status == "active"
    with machine.engine.begin() as connection:
        connection.exec_driver_sql("update leases set expires_at_ms = 0")
        machine.timers._due.take(TENANT)  # the run may be the other's
    machine.settle()
    assert [event.name for event in machine.emitted()] == ["one"]


def test_how_long_the_first_timer_has_waited_is_known(machine: Machine) -> None:
    machine.apply(rules(WAIT))
    assert machine.timers.lag_ms() == 0
    machine.send("start")
    machine.settle()
    machine.now_ms += HOUR_MS
    assert machine.timers.lag_ms() == 0
    machine.now_ms += 7
    assert machine.timers.lag_ms() == 7
    machine.settle()
    assert machine.timers.lag_ms() == 0


def test_what_waits_for_reactions_of_one_tenant_delays_no_other(machine: Machine) -> None:
    machine.apply(rules(WAIT, emit("one")))
    machine.log.append([Entry(encode(Event("p", "test", "flux", "start", machine.now_ms, user_id="u")))])
    machine.send("start")
    machine.settle()
    machine.now_ms += HOUR_MS - 1
    machine.send("x")
    machine.now_ms += 10
    reacted = machine.timers._reacted
    machine.timers._reacted = lambda tenant: machine.log.last() if tenant.mode == "test" else reacted(tenant)
    assert machine.timers.step()
    assert machine.rows("select mode, status from runs") == [("live", "active"), ("test", "done")]


def test_a_call_that_is_answered_as_it_is_made_lets_its_run_go_on(machine: Machine) -> None:
    """The outbox answers a call of a webhook that is not there, within the transaction of the call, and announces nothing."""
    machine.apply(rules({"id": "c", "call": {"webhook": "crm"}}, emit("one")))
    machine.send("start", "u")
    machine.settle()
    [run] = machine.runs()
    with machine.engine.begin() as connection:
        machine.work.keep(connection, [Answered("k", TENANT, run.id, 1, machine.now_ms, "{}", "")])
    machine.settle()
    assert machine.emitted() == []
    machine.send("start", "v")
    machine.settle()
    assert [event.user_id for event in machine.emitted()] == ["u"]


def test_between_two_timers_the_thread_sleeps_just_until_the_next(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(machine.timers.loop, "wait_for", lambda _condition, seconds: rests.append(seconds))
    machine.apply(rules({"id": "w", "wait": "90s"}, emit("one")))
    machine.timers._turn()
    machine.send("start")
    machine.settle()
    machine.timers._turn()
    machine.now_ms += 90_001
    machine.send("x")  # and nobody has reacted to it
    machine.now_ms += 1
    machine.timers._reacted = lambda _tenant: 0
    machine.timers._turn()
    assert rests == [3600.0, 90.0, 1.0]


def test_an_event_at_which_the_process_ended_again_and_again_is_passed_over_beside_journeys_too(
    machine: Machine,
) -> None:
    machine.apply(rules(emit("one")))
    bad = machine.send("start", "u")
    machine.send("start", "v")
    for _ in range(2):
        machine.current.died_at = bad.id
        machine.reactor._turns.recover()
    machine.settle()
    assert [event.user_id for event in machine.emitted()] == ["v"]


def test_a_journey_has_fired_once_for_each_run_whatever_the_run_does(machine: Machine) -> None:
    machine.apply(rules(WAIT, emit("one")))
    machine.send("start")
    machine.settle()
    machine.tick(HOUR_MS)
    assert [run.status for run in machine.runs()] == ["done"]
    assert [fired.count for fired in machine.rulebook.fired(TENANT).values()] == [1]
