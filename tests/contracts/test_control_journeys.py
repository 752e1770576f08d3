"""What every control database says about runs of journeys: kept, found, counted, moved and worked on alike."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from headrace.control.journey_runs import ControlJourneys, ControlJourneyWork
from headrace.control.journeys import prune_runs
from headrace.control.leases import ControlLeases
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.journeys import Answered, Emitted, JourneyVersion, Run, Visit
from headrace.model.reaction_state import Needs, State
from headrace.model.rulebook import Application
from headrace.ports.control import LeaseLost
from headrace.ports.reactions import StateChanged

LIVE, TEST, OTHER = Tenant("p", "live"), Tenant("p", "test"), Tenant("q", "live")


@pytest.fixture
def numbers(engine: sa.Engine) -> dict[str, int]:
    """The numbers of two versions of the journey `j`."""
    book = Rulebook(engine)
    for version in ("1", "2"):
        journey = JourneyVersion("j", version * 16, f'{{"v":{version}}}', {"w": "time", "f": "event"})
        book.apply(Application("p", version * 16, "{}", [("journey", "j", version * 16)], [journey]), 1, lambda: 0)
    _, rows = book.current("p") or (None, [])
    return {row.version[0]: row.no for row in rows}


def run(name: str, number: int, person: str = "u", **given: Any) -> Run:
    visits = (Visit("w", "wait", 1),)
    return Run(
        name, number, "j", person, "e", **({"step": "w", "waiting": "time", "due_ms": 50, "visits": visits} | given)
    )


def keep(engine: sa.Engine, tenant: Tenant, *runs: Run, emitted: tuple[Emitted, ...] = ()) -> None:
    states = ControlReactionStates(engine)
    state = states.load(tenant, Needs([], [], {}, (), [each.id for each in runs]))
    for each in runs:
        state.journeys.put(each)
    state.journeys.emitted += emitted
    states.save(tenant, state)


def test_runs_come_back_with_their_person_and_by_their_id_within_the_tenant(
    engine: sa.Engine, numbers: dict[str, int]
) -> None:
    one, ended = run("r1", numbers["1"], "ü/\x00"), run("r2", numbers["1"], status="done", due_ms=None, started_ms=9)
    keep(engine, LIVE, one, ended)
    states = ControlReactionStates(engine)
    loaded = states.load(LIVE, Needs([], ["u", "ü/\x00"], {}, ["u", "ü/\x00"]))
    assert list(loaded.journeys.runs.values()) == [one]
    [entries] = loaded.journeys.entries["u"].values()
    assert (entries.runs, entries.active, entries.last_ms) == (1, 0, 9)
    assert states.load(LIVE, Needs([], [], {}, (), ["r2"])).journeys.runs == {"r2": ended}
    for tenant in (TEST, OTHER):
        assert not states.load(tenant, Needs([], ["u"], {}, ["u"], ["r2"])).journeys.runs
    journeys = ControlJourneys(engine)
    assert journeys.get(LIVE, "r1").version == "1" * 16
    with pytest.raises(NotFound):
        journeys.get(TEST, "r1")


def test_who_saves_a_state_that_somebody_else_has_changed_is_refused(
    engine: sa.Engine, numbers: dict[str, int]
) -> None:
    states = ControlReactionStates(engine)
    one, other = (states.load(LIVE, Needs([], [], {})) for _ in range(2))
    one.journeys.put(run("r1", numbers["1"]))
    other.journeys.put(run("r2", numbers["1"]))
    states.save(LIVE, one)
    with pytest.raises(StateChanged):
        states.save(LIVE, other)
    assert [each.run.id for each in ControlJourneys(engine).listed(LIVE, "j", None, None, 9)] == ["r1"]


def test_counts_follow_runs_through_their_steps(engine: sa.Engine, numbers: dict[str, int]) -> None:
    first = run("r1", numbers["1"])
    keep(engine, LIVE, first, run("r2", numbers["1"], "v"))
    visits = (Visit("w", "wait", 1, 2, "waited"), Visit("e", "emit", 2, 2, "emitted"))
    done = msgspec.structs.replace(first, status="done", waiting="", due_ms=None, visits=visits)
    keep(engine, LIVE, done)
    counts = {(each.step, each.outcome): each.runs for each in ControlJourneys(engine).counts(LIVE)}
    assert counts == {("", "active"): 1, ("", "done"): 1, ("w", ""): 1, ("w", "waited"): 1, ("e", "emitted"): 1}
    assert ControlJourneys(engine).counts(TEST) == []


def test_runs_are_listed_the_latest_start_first_in_pages_and_by_status(
    engine: sa.Engine, numbers: dict[str, int]
) -> None:
    keep(engine, LIVE, *(run(f"r{n}", numbers["1"], started_ms=n // 2) for n in range(6)))
    keep(engine, LIVE, run("r3", numbers["1"], started_ms=1, status="failed", due_ms=None))
    journeys = ControlJourneys(engine)

    def ids(status: Any, before: tuple[int, str] | None, limit: int) -> list[str]:
        return [each.run.id for each in journeys.listed(LIVE, "j", status, before, limit)]

    assert ids(None, None, 3) == ["r5", "r4", "r3"]
    assert ids(None, (1, "r3"), 9) == ["r2", "r1", "r0"]
    assert (ids("failed", None, 9), ids("active", (2, "r4"), 9)) == (["r3"], ["r2", "r1", "r0"])


def test_runs_that_were_pruned_still_count_as_entered(engine: sa.Engine, numbers: dict[str, int]) -> None:
    ended = {"status": "done", "waiting": "", "due_ms": None}
    for n, started_ms in enumerate((5, 9, 7)):
        keep(engine, LIVE, run(f"r{n}", numbers["1"], started_ms=started_ms, moment_ms=20 + n, **ended))
    for before_ms, most, gone in ((21, 9, 1), (99, 1, 1), (99, 9, 1), (99, 9, 0)):
        with engine.begin() as connection:
            assert prune_runs(connection, before_ms, most) == gone
        found = ControlReactionStates(engine).load(LIVE, Needs([], ["u"], {}, ["u"])).journeys.entries["u"].values()
        assert (sum(each.runs for each in found), max(each.last_ms for each in found)) == (3, 9)
    assert ControlJourneys(engine).listed(LIVE, "j", None, None, 9) == []


def test_timers_are_found_in_order_and_the_first_of_each_tenant(engine: sa.Engine, numbers: dict[str, int]) -> None:
    work = ControlJourneyWork(engine, ControlLeases(engine, length_s=None))
    assert work.next_due() == {}
    keep(engine, LIVE, *(run(f"r{n}", numbers["1"], due_ms=due) for n, due in enumerate([70, 50, 60, None])))
    keep(engine, TEST, run("t", numbers["1"], due_ms=10))
    assert work.next_due() == {LIVE: 50, TEST: 10}
    assert work.due(LIVE, 60, 9) == [(50, "r1"), (60, "r2")]
    assert work.due(LIVE, 99, 1) == [(50, "r1")]


def test_what_is_emitted_waits_in_order_and_is_kept_once(engine: sa.Engine, numbers: dict[str, int]) -> None:
    work = ControlJourneyWork(engine, ControlLeases(engine, length_s=None))
    events = tuple(Emitted(key, "x", "u", "", '{"a":1}', "", 5) for key in ("b", "a", "b"))
    keep(engine, LIVE, run("r1", numbers["1"]), emitted=events)
    found = work.emits(9)
    assert [(tenant, emitted) for _, tenant, emitted in found] == [(LIVE, events[0]), (LIVE, events[1])]
    work.emitted([found[0][0]])
    assert work.emits(9) == found[1:]


def test_what_some_tenants_emitted_can_be_left_waiting(engine: sa.Engine, numbers: dict[str, int]) -> None:
    work = ControlJourneyWork(engine, ControlLeases(engine, length_s=None))
    for tenant, key in ((LIVE, "a"), (LIVE, "b"), (TEST, "c")):
        keep(engine, tenant, run(f"r{key}", numbers["1"]), emitted=(Emitted(key, "x", "u", "", "", "", 5),))
    assert [emitted.key for _, _, emitted in work.emits(2)] == ["a", "b"]
    assert [emitted.key for _, _, emitted in work.emits(2, [LIVE])] == ["c"]
    assert [emitted.key for _, _, emitted in work.emits(2, [TEST])] == ["a", "b"]
    assert work.emits(2, [LIVE, TEST]) == []


def test_replies_wait_for_one_tenant_at_a_time_until_they_are_done(engine: sa.Engine) -> None:
    work = ControlJourneyWork(engine, ControlLeases(engine, length_s=None))
    given = [Answered(f"k{n}", LIVE, "r1", n, n, '{"a":1}' if n else None, "why") for n in range(2)]
    with engine.begin() as connection:
        work.keep(connection, [*given, given[0]])
    assert work.waiting(9) == given
    with engine.begin() as connection:
        work.done(connection, ["k0"])
    assert work.waiting(9) == given[1:]


def test_versions_stay_for_runs_that_go_on(engine: sa.Engine, numbers: dict[str, int]) -> None:
    journeys = ControlJourneys(engine)
    assert journeys.running("p") == {}
    keep(engine, TEST, run("t", numbers["1"]))
    assert journeys.running("p") == {numbers["1"]: '{"v":1}'}
    assert journeys.find([numbers["2"], 99]) == {numbers["2"]: '{"v":2}'}
    assert journeys.awaited("p") == [(numbers["1"], "w", "time", 1)]
    assert journeys.awaited("q") == []


def test_runs_move_to_a_version_where_it_has_their_step_and_whoever_had_loaded_them_finds_out(
    engine: sa.Engine, numbers: dict[str, int]
) -> None:
    keep(engine, LIVE, run("r1", numbers["1"]), run("r2", numbers["1"], step="gone"))
    keep(engine, TEST, run("t", numbers["1"], waiting="reply", due_ms=None))
    states = ControlReactionStates(engine)
    late: State = states.load(LIVE, Needs([], [], {}, (), ["r1"]))
    book = Rulebook(engine)
    journey = JourneyVersion("j", "2" * 16, "{}", {"w": "time"})
    assert not book.apply(
        Application("p", "2" * 16, "{}", [("journey", "j", "2" * 16)], [journey], move=True), 1, lambda: 0
    )
    journeys = ControlJourneys(engine)
    assert journeys.get(LIVE, "r1").run == run("r1", numbers["2"])
    assert [journeys.get(LIVE, "r2").run.rule_no, journeys.get(TEST, "t").run.rule_no] == [numbers["1"]] * 2
    counts = {(each.version[0], each.step, each.outcome): each.runs for each in journeys.counts(LIVE)}
    assert counts == {("1", "", "active"): 1, ("2", "", "active"): 1, ("1", "w", ""): 1, ("2", "w", ""): 1}
    late.journeys.put(run("r1", numbers["1"], status="done"))
    with pytest.raises(StateChanged):
        states.save(LIVE, late)


def test_work_that_has_passed_to_another_process_is_refused(engine: sa.Engine) -> None:
    one, other = (ControlJourneyWork(engine, ControlLeases(engine, length_s=60)) for _ in range(2))
    check = one.claim("a")
    assert check is not None
    assert other.claim("b") is None
    with engine.begin() as connection:
        check(connection)
    with engine.begin() as connection:
        connection.exec_driver_sql("update leases set expires_at_ms = 0")
    assert other.claim("b") is not None
    with pytest.raises(LeaseLost), engine.begin() as connection:
        check(connection)
