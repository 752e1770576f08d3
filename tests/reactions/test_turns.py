"""Each project in its turn: fairness, backlogs, restarts, rules that change while events wait, and events that kill."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from headrace.control.reaction_states import ControlReactionStates
from headrace.model.entries import Record
from headrace.model.event import StoredEvent, Tenant
from headrace.model.lease import Lease
from headrace.model.reaction_state import State
from headrace.pipeline import reaction_queue, reaction_turns
from headrace.pipeline import reactor as reactor_module
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.ports.control import LeaseLost
from headrace.reactions import stage
from tests.reactions.given import Machine, event, record_of

RULES = {
    "facts": [{"id": "visit", "event": "visit", "fact_type": "visited", "points": 1}],
    "challenges": [{"id": "often", "fact": "visited", "goal": 2, "repeat": True}],
}
LIVE, TEST = Tenant("p", "live"), Tenant("p", "test")


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn takes some ten events, and a queue holds thirty."""
    monkeypatch.setattr(reaction_turns, "_TURN_EVENTS", 10)
    monkeypatch.setattr(reaction_queue, "_QUEUE_EVENTS", 30)
    monkeypatch.setattr(reactor_module, "_REFILL_EVENTS", 20)


def visits(count: int, user: str = "u", mode: Any = "live") -> list[StoredEvent]:
    return [event("visit", user, day=number, mode=mode) for number in range(count)]


def given(machine: Machine, *events: StoredEvent) -> None:
    """Append and store events, and react to none of them."""
    records = [record_of(each) for each in events]
    machine.log.append(records)
    machine.store.insert(records)


def balance(machine: Machine, mode: str = "live") -> int:
    asked = f"select coalesce(sum(points), 0) from points t join participants p on p.no = t.participant_no where mode = '{mode}'"
    return machine.rows(asked)[0][0]


def test_commands_among_the_events_are_passed_over(machine: Machine) -> None:
    machine.apply(RULES)
    first, between, second, after = visits(4)
    commands = [Record(each.position, 7, b"no event", kind) for each, kind in ((between, 1), (after, 200))]
    machine.log.append([record_of(first), commands[0], record_of(second), commands[1]])
    machine.drain()
    assert balance(machine) == 2
    assert machine.reactor.reacted_by_all() == after.position


def test_a_project_with_much_to_react_to_delays_no_other(machine: Machine, short_turns: None) -> None:
    machine.apply(RULES)
    given(machine, *visits(200))
    for _ in range(3):
        machine.reactor.step()
    few = visits(3, mode="test")
    given(machine, *few)
    turns = 0
    while machine.reactor.reacted(TEST) < few[-1].position:
        machine.reactor.step()
        turns += 1
    assert turns <= 3
    assert balance(machine, "test") == 3
    assert balance(machine) < 100, "the other is far from done"
    machine.drain()
    assert balance(machine) == 200


def test_many_newcomers_do_not_keep_the_others_waiting(machine: Machine, short_turns: None) -> None:
    machine.apply(RULES)
    given(machine, *visits(60))
    for _ in range(40):
        given(machine, *visits(1, mode="test"))  # a newcomer at each step
        machine.reactor.step()
    assert balance(machine) == 60


def test_a_backlog_larger_than_memory_is_reacted_to_once_and_in_order(
    machine: Machine, short_turns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.apply(RULES)
    order: list[str] = []
    real = stage.react

    def react(rules: Any, facts: Any, *rest: Any, **options: Any) -> Any:
        order.append(facts.event_id)
        return real(rules, facts, *rest, **options)

    monkeypatch.setattr(stage, "react", react)
    many = visits(300)
    given(machine, *many)
    machine.drain()
    assert order == [each.id for each in many]
    assert (balance(machine), machine.completions("often")) == (300, 150)
    assert machine.reacted() == many[-1].position


@pytest.mark.parametrize("steps", [1, 2, 5, 9, 14])
def test_what_waits_survives_a_restart_after_the_log_was_trimmed(
    machine: Machine, short_turns: None, steps: int
) -> None:
    machine.apply(RULES)
    given(machine, *visits(150), *visits(20, mode="test"))
    for _ in range(steps):
        machine.reactor.step()
    machine.reactor._advance(now=True)
    machine.log.records = [each for each in machine.log.records if each.position > machine.reactor.committed()]
    machine.restart()
    machine.drain()
    assert (balance(machine), balance(machine, "test")) == (150, 20)


def test_a_restart_at_any_step_reacts_to_each_event_once(machine: Machine, short_turns: None) -> None:
    machine.apply(RULES)
    given(machine, *visits(120), *visits(40, mode="test"))
    for _ in itertools.takewhile(lambda _: balance(machine) < 120, range(100)):
        machine.reactor.step()
        machine.restart()
    machine.drain()
    assert (balance(machine), balance(machine, "test")) == (120, 40)


def test_events_are_judged_by_the_rules_in_force_when_they_were_acknowledged(
    machine: Machine, short_turns: None
) -> None:
    machine.apply(RULES)
    given(machine, *visits(100))
    machine.apply({})
    given(machine, *visits(7))
    machine.apply({"facts": [RULES["facts"][0] | {"id": "dear", "points": 1000}]})
    given(machine, *visits(2))
    machine.reactor.step()
    machine.restart()  # the earlier rules are still known to a new process
    machine.drain()
    assert balance(machine) == 100 + 2000


def test_two_who_change_one_persons_progress_at_once_lose_nothing_of_it(machine: Machine) -> None:
    machine.apply(RULES)
    others = visits(3)
    given(machine, *others)
    machine.drain()
    machine.apply(
        {
            "facts": [RULES["facts"][0] | {"fact_type": "seen"}],
            "challenges": [{"id": "often", "fact": "seen", "goal": 1, "repeat": True}],
        }
    )
    elsewhere = Reactions(ControlReactionStates(machine.engine), RuleTimelines(machine.rulebook))
    real: Callable[..., None] = machine.states.save
    left = others[:2]

    def save(tenant: Tenant, state: State, /, *rest: Any) -> None:
        if left:  # another process is faster, twice
            elsewhere.replay(tenant, [left.pop()], force=False, dry_run=False)
        real(tenant, state, *rest)

    machine.states.save = save  # type: ignore[method-assign]
    machine.replay(others[2])
    assert machine.completions("often") == 3


def test_an_event_at_which_two_processes_ended_is_passed_over_and_listed(machine: Machine) -> None:
    machine.apply(RULES)
    bad, *good = visits(4)
    for _ in range(2):
        machine.current.died_at = bad.id
        machine.restart()
        machine.reactor.step()
    machine.restart()
    given(machine, bad, *good)
    machine.drain()
    assert balance(machine) == 3
    [listed] = machine.rulebook.passed_over(LIVE, 0, "", 9)
    assert listed.event_id == bad.id
    assert "2 processes" in listed.why
    assert machine.rulebook.passed_over(TEST, 0, "", 9) == []
    machine.replay(bad)
    assert balance(machine) == 4, "a replay makes up for it"


def test_lag_is_that_of_the_event_that_waits_longest_and_not_of_the_pause_before_it(machine: Machine) -> None:
    machine.apply(RULES)
    before, first, second = visits(3)
    machine.react(before)
    given(machine, first, second)
    machine.reactor.read(machine.log.read(before.position, 9, 9), second.position)
    assert machine.reactor.lags() == [(LIVE, first.position, 2)]


def test_an_event_at_which_one_process_ended_is_reacted_to(machine: Machine) -> None:
    machine.apply(RULES)
    once = visits(2)
    machine.current.died_at = once[0].id
    machine.restart()
    given(machine, *once)
    machine.drain()
    assert balance(machine) == 2


def test_an_event_is_not_given_up_because_the_reactions_have_passed_to_another_process(machine: Machine) -> None:
    machine.apply(RULES)
    machine.states._lease = Lease("partition/0", "somebody else", 1)
    given(machine, *visits(3))
    with pytest.raises(LeaseLost):
        machine.drain()
    assert (machine.reactor.failed_events, balance(machine)) == (0, 0)
    machine.states._lease = None
    machine.drain()
    assert balance(machine) == 3


def test_what_was_just_stored_is_not_read_from_the_log_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.apply(RULES)
    records = [record_of(each) for each in visits(3)]
    machine.log.append(records)
    machine.recent.put(0, records)
    monkeypatch.setattr(machine.log, "read", lambda *_: pytest.fail("the log was read"))
    machine.drain()
    assert balance(machine) == 3


def test_a_portion_that_follows_another_position_is_left_to_the_log(machine: Machine) -> None:
    machine.apply(RULES)
    records = [record_of(each) for each in visits(6)]
    machine.log.append(records)
    machine.recent.put(records[0].position, records[1:3])  # the first one would be lost
    machine.recent.put(records[1].position, records[2:])
    machine.drain()
    assert balance(machine) == 6
    machine.recent.put(0, records)  # all of them would count twice
    machine.drain()
    assert balance(machine) == 6


def test_what_is_not_visible_yet_waits_although_its_portion_is_here(machine: Machine) -> None:
    machine.apply(RULES)
    first, second = [record_of(each) for each in visits(2)]
    machine.log.append([first])
    machine.recent.put(0, [first, second])
    machine.drain()
    assert balance(machine) == 1
    machine.log.append([second])
    machine.drain()
    assert balance(machine) == 2
