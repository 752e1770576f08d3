"""Each effect once: whatever is delivered again, replayed, or cut off in the middle."""

from typing import Any

import msgspec
import pytest

from headrace.model.entries import Kind, Record
from headrace.model.event import StoredEvent, Tenant
from headrace.reactions import stage
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.ruleset import RuleSet
from tests.reactions.given import TENANT, Crash, Machine, event

RULES = """
facts:
  - {id: visit, event: visit, fact_type: visited, points: 1}
challenges:
  - {id: often, fact: visited, goal: 2, repeat: true, points: 10}
badges:
  - {id: regular, fact: visited, count: 3, points: 100}
"""


@pytest.fixture
def visits(machine: Machine) -> list[StoredEvent]:
    machine.apply(RULES)
    return [event("visit", day=day) for day in range(4)]


def state(machine: Machine) -> tuple[int, int, set[str]]:
    return machine.points(), machine.completions("often"), machine.badges()


ONCE = (4 + 20 + 100, 2, {"regular"})


def test_what_is_delivered_again_counts_and_causes_nothing_again(machine: Machine, visits: list[StoredEvent]) -> None:
    machine.react(*visits)
    before = machine.rows("select * from effects")
    with machine.engine.begin() as connection:  # as if the log's place had been written down, and the tenant's had not
        connection.exec_driver_sql("update offsets set position = 0")
        connection.exec_driver_sql("update reaction_progress set position = 0")
    machine.restart()
    machine.drain()
    assert state(machine) == ONCE
    assert machine.rows("select * from effects") == before


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_crash_keeps_all_of_a_transaction_or_nothing(machine: Machine, visits: list[StoredEvent], dies: str) -> None:
    machine.states.dies = dies
    with pytest.raises(Crash):
        machine.react(*visits)
    machine.restart()
    assert state(machine) == (ONCE if dies == "after" else (0, 0, set()))
    assert machine.reacted() == (visits[-1].position if dies == "after" else 0)
    machine.drain()
    assert state(machine) == ONCE


def fired(machine: Machine) -> dict[str, int]:
    found = machine.rulebook.fired(TENANT)
    return {
        each: found[machine.number(each)].count
        for each in ("visit", "often", "regular")
        if machine.number(each) in found
    }


FIRED = {"visit": 4, "often": 2, "regular": 1}


@pytest.mark.parametrize("dies", ["before", "after"])
def test_how_often_each_rule_fired_is_counted_with_the_effects_and_so_once(
    machine: Machine, visits: list[StoredEvent], dies: str
) -> None:
    machine.states.dies = dies
    with pytest.raises(Crash):
        machine.react(*visits)
    machine.restart()
    assert fired(machine) == (FIRED if dies == "after" else {})
    machine.drain()
    machine.replay(*visits)
    assert fired(machine) == FIRED
    last = {no: each.last_event for no, each in machine.rulebook.fired(TENANT).items()}
    assert last == {
        machine.number("visit"): visits[3].id,
        machine.number("often"): visits[3].id,
        machine.number("regular"): visits[2].id,
    }
    machine.replay(visits[0], force=True)
    assert fired(machine) == {**FIRED, "visit": 5}
    assert machine.rulebook.fired(TENANT)[machine.number("visit")].last_event == visits[3].id, "the newest stays"
    assert machine.rulebook.fired(Tenant(TENANT.project, "test")) == {}
    counted = dict(machine.rows("select rule_no, count(*) from effects where kind != 'points' group by rule_no"))
    assert {no: each.count for no, each in machine.rulebook.fired(TENANT).items()} == counted


def test_a_replay_suppresses_what_was_caused_and_counts_nothing_again(
    machine: Machine, visits: list[StoredEvent]
) -> None:
    machine.react(*visits)
    outcome = machine.replay(*visits)
    assert (outcome.effects, outcome.suppressed) == ([], 4 * 2 + 2 * 2 + 2)
    assert state(machine) == ONCE


def test_force_causes_effects_in_a_new_generation_and_counts_nothing_again(
    machine: Machine, visits: list[StoredEvent]
) -> None:
    machine.react(*visits)
    for generation in (1, 2):
        outcome = machine.replay(*visits, force=True)
        assert [effect.generation for effect in outcome.effects] == [generation] * 14
        assert outcome.suppressed == 0
    assert state(machine) == ONCE


def test_a_dry_run_says_what_a_replay_then_does_and_keeps_nothing(machine: Machine, visits: list[StoredEvent]) -> None:
    machine.apply({})
    machine.react(*visits)
    machine.apply(RULES)
    dry = machine.replay(*visits, dry_run=True)
    assert state(machine) == (0, 0, set())
    assert machine.rows("select * from participants") == []
    assert machine.replay(*visits) == dry
    assert len(dry.effects) == 14
    assert state(machine) == ONCE


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Events that cannot be reacted to, by id: it fails when all has been done for them but to keep it."""
    ids: set[str] = set()
    real = stage.react

    def react(rules: RuleSet, seen: EventFacts, *rest: Any, **options: Any) -> Any:
        done = real(rules, seen, *rest, **options)
        if seen.event_id in ids:
            raise ZeroDivisionError("told to")
        return done

    monkeypatch.setattr(stage, "react", react)
    return ids


@pytest.mark.parametrize("which", [[0], [1, 2], [3], [0, 1, 2, 3]])
def test_an_event_that_cannot_be_reacted_to_holds_up_no_other_and_leaves_nothing(
    machine: Machine, visits: list[StoredEvent], bad: set[str], which: list[int]
) -> None:
    bad |= {visits[number].id for number in which}
    machine.react(*visits)
    assert machine.reacted() == visits[-1].position
    assert [bool(machine.rows(f"select * from effects where event_id = '{one.id}'")) for one in visits] == [
        one.id not in bad for one in visits
    ]
    assert machine.reactor.failed_events == len(which)
    assert state(machine)[1] == (4 - len(which)) // 2
    bad.clear()
    machine.replay(*visits)
    assert state(machine) == ONCE


def test_where_everything_fails_not_each_event_is_tried(
    machine: Machine, visits: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control is locked meanwhile, and its way out is another set of rules."""
    tries = 0

    def react(*_: Any, **__: Any) -> Any:
        nonlocal tries
        tries += 1
        raise ZeroDivisionError("told to")

    monkeypatch.setattr(stage, "react", react)
    many = [event("visit", day=number / 1000) for number in range(1000)]
    outcome = machine.replay(*many)
    assert [failed for failed, _ in outcome.failed] == [one.id for one in many]
    assert tries < 500


def test_a_replay_names_the_events_that_it_could_not_react_to(
    machine: Machine, visits: list[StoredEvent], bad: set[str]
) -> None:
    bad.add(visits[1].id)
    outcome = machine.replay(*visits)
    assert outcome.failed == [(visits[1].id, "ZeroDivisionError: told to")]
    assert {effect.event_id for effect in outcome.effects} == {one.id for one in visits} - bad
    bad.clear()
    machine.replay(visits[1])
    assert state(machine) == ONCE


def test_what_the_database_cannot_hold_holds_up_no_other_event(
    machine: Machine, visits: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = msgspec.structs.replace(visits[1], timestamp_ms=2**70)  # sqlite3 raises an OverflowError
    outcome = machine.replay(visits[0], huge, *visits[2:])
    assert [failed for failed, _ in outcome.failed] == [huge.id]
    machine.replay(visits[1])
    assert state(machine) == ONCE


def test_rules_that_an_older_version_took_and_this_one_refuses_can_be_replaced(
    machine: Machine, visits: list[StoredEvent]
) -> None:
    with machine.engine.begin() as connection:
        connection.exec_driver_sql("""update rule_sets set document = replace(document, '"goal":2', '"goal":0')""")
    machine.restart()
    machine.react(visits[0])
    assert machine.effects(visits[0]) == [("fact", "default-fact")], "events go on without rules"
    machine.apply(RULES.replace("points: 1}", "points: 5}"))
    machine.react(*visits[1:])
    assert machine.effects(visits[1])[0] == ("fact", "visit")


def test_a_new_version_of_a_fact_rule_pays_for_an_event_what_earlier_ones_have_not(machine: Machine) -> None:
    def paid_after(points: int) -> int:
        machine.apply({"facts": [{"id": "buy", "event": "order", "fact_type": f"worth-{points}", "points": points}]})
        machine.replay(order)
        return machine.points()

    order = event("order")
    assert [paid_after(points) for points in (5, 8, 2, 10)] == [5, 8, 8, 10]


def test_an_erased_event_is_nothing_to_the_reactor(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not the command that erased it."""
    read: list[int] = []
    monkeypatch.setattr(machine.holds, "read", lambda position, _payload: read.append(position))
    machine.apply(RULES)
    erased, command = event("visit"), event("visit")
    machine.reactor.step()
    records = [Record(erased.position, 7, b"", Kind.ERASED), Record(command.position, 7, b"{}", Kind.ERASURE)]
    machine.reactor.read(records, command.position)
    machine.drain()
    assert read == [command.position]
    assert machine.reacted() == command.position
    assert machine.points() == 0


def test_what_an_event_of_nobody_causes_is_kept_for_no_participant_and_pays_nothing(machine: Machine) -> None:
    machine.apply(RULES)
    nobodys = event("visit", "")
    machine.react(nobodys)
    assert machine.effects(nobodys) == [("fact", "visit")]
    assert machine.rows("select participant_no from effects") == [(0,)], "a number that nobody gets"
    assert machine.rows("select * from participants") == []
    assert machine.points() == 0
