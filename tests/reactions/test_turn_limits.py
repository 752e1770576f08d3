"""What ends a turn, what a backlog of large events takes, and which rules are still needed."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headrace.model.effects import Outcome
from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent
from headrace.model.reaction_state import Needs
from headrace.pipeline import reaction_queue, reaction_turns
from headrace.pipeline import reactor as reactor_module
from headrace.pipeline.current_event import CurrentEventFile
from headrace.pipeline.rulesets import RuleTimelines
from headrace.reactions import event_facts, stage
from tests.reactions.given import TENANT, Machine, event, record_of

RULES = {
    "facts": [{"id": "visit", "event": "visit", "fact_type": "visited", "points": 1}],
    "challenges": [{"id": "often", "fact": "visited", "goal": 1, "repeat": True}],
}


def visits(count: int) -> list[StoredEvent]:
    return [event("visit", day=number) for number in range(count)]


def given(machine: Machine, *events: StoredEvent) -> None:
    records = [record_of(each) for each in events]
    machine.log.append(records)
    machine.store.insert(records)


def effects_by_step(machine: Machine) -> list[int]:
    """How many effects each turn causes."""
    found, before = [], 0
    while machine.reactor.step():
        [(now,)] = machine.rows("select count(*) from effects")
        found.append(now - before)
        before = now
    return [each for each in found if each]


@pytest.mark.parametrize(("module", "slow"), [(event_facts, "facts_of_event"), (stage, "react")])
def test_a_turn_ends_once_its_time_is_over_whether_finding_facts_or_moving_progress_takes_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, module: ModuleType, slow: str
) -> None:
    now_s = 0.0
    real = getattr(module, slow)

    def slowly(*arguments: Any, **options: Any) -> Any:
        nonlocal now_s
        now_s += 0.04
        return real(*arguments, **options)

    monkeypatch.setattr(module, slow, slowly)
    monkeypatch.setattr(reaction_turns, "time", SimpleNamespace(perf_counter=lambda: now_s))
    machine.apply(RULES)
    given(machine, *visits(10))
    assert effects_by_step(machine) == [9, 9, 9, 3], "three events, of three effects each, and a tenth of a second"


@pytest.mark.parametrize(("most", "effects"), [(9, [9, 9, 9, 3]), (8, [9, 9, 9, 3]), (10, [12, 12, 6]), (1, [3] * 10)])
def test_a_turn_ends_once_it_has_caused_so_many_effects(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, most: int, effects: list[int]
) -> None:
    monkeypatch.setattr(reaction_turns, "_TURN_EFFECTS", most)
    machine.apply(RULES)
    given(machine, *visits(10))
    assert effects_by_step(machine) == effects


def too_large(machine: Machine, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """The store gives at most so many of these events at once, and memory holds fewer than there are."""
    monkeypatch.setattr(reaction_queue, "_QUEUE_EVENTS", 5)
    monkeypatch.setattr(reactor_module, "_REFILL_EVENTS", 200)
    in_order = machine.store.in_order

    def limited(tenant: Any, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        if limit > most:
            raise InvalidRequest("They are too large.")
        return in_order(tenant, after, upto, limit)

    monkeypatch.setattr(machine.store, "in_order", limited)


@pytest.mark.parametrize("most", [199, 24, 3, 1])
def test_a_backlog_of_large_events_is_read_a_few_at_a_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    too_large(machine, monkeypatch, most)
    machine.apply(RULES)
    given(machine, *(many := visits(60)))
    machine.drain()
    assert (machine.points(), machine.completions("often")) == (60, 60)
    assert machine.reacted() == many[-1].position


def test_an_event_that_the_store_cannot_give_alone_stops_its_queue_and_is_not_skipped(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_large(machine, monkeypatch, 0)
    machine.apply(RULES)
    given(machine, *visits(60))
    with pytest.raises(InvalidRequest):
        machine.drain()
    monkeypatch.undo()
    machine.drain()
    assert machine.points() == 60


def test_rules_are_forgotten_only_when_every_event_that_they_judge_has_been_judged(machine: Machine) -> None:
    first = machine.apply(RULES)
    given(machine, *(before := visits(3)))
    second = machine.apply({**RULES, "challenges": []})
    given(machine, *(after := visits(2)))
    timelines = RuleTimelines(machine.rulebook)
    timelines.refresh()

    def versions(events: Sequence[StoredEvent]) -> set[str]:
        judging = [timelines.at(TENANT.project, each.position) for each in events]
        return {each.version if each else "" for each in judging}

    for position in (0, before[0].position, before[-1].position - 1):
        timelines.forget(position)
        assert (versions(before[1:]), versions(after)) == ({first.version}, {second.version})
    timelines.forget(before[-1].position)
    assert versions(after) == {second.version}


def test_the_events_that_a_rule_was_not_evaluated_for_are_counted_one_by_one(machine: Machine) -> None:
    machine.apply({"facts": [*RULES["facts"], {"id": "other", "event": "visit"}]})
    found = machine.rulebook.current(TENANT.project)
    assert found is not None
    numbers = {row.rule_id: row.no for row in found[1]}
    for saved, passed_over in ((("visit", "visit", "other"), (2, 1)), (("visit",), (3, 1))):
        state = machine.states.load(TENANT, Needs([], [], {}))
        state.passed_over = [(numbers[rule], each.id, "told to") for rule, each in zip(saved, visits(3), strict=False)]
        machine.states.save(TENANT, state)
        found = machine.rulebook.current(TENANT.project)
        assert found is not None
        assert tuple(row.passed_over for row in sorted(found[1], key=lambda row: row.no)) == passed_over


@pytest.mark.parametrize("failing", [{0}, {1, 2}, {3}, set(range(4)), set(range(400))])
def test_a_hook_hears_of_every_event_of_a_replay_once_and_in_order_also_of_those_that_fail(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, failing: set[int]
) -> None:
    machine.apply(RULES)
    events = visits(max(4, len(failing)))
    bad = {events[number].id for number in failing}
    real = stage.react

    def react(rules: Any, seen: Any, *rest: Any, **options: Any) -> Any:
        if seen.event_id in bad:
            raise ZeroDivisionError("told to")
        return real(rules, seen, *rest, **options)

    monkeypatch.setattr(stage, "react", react)
    told: list[str] = []
    failed: list[str] = []

    def hook(_transaction: object, some: Sequence[StoredEvent], outcome: Outcome) -> None:
        told.extend(each.id for each in some)
        failed.extend(event_id for event_id, _ in outcome.failed)

    outcome = machine.reactions.replay(TENANT, events, force=False, dry_run=False, before_commit=hook)
    assert told == [each.id for each in events]
    assert set(failed) == {event_id for event_id, _ in outcome.failed} == bad


def test_the_file_of_the_current_event_keeps_it_for_the_next_process_and_leaves_no_descriptor_open(
    tmp_path: Path,
) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for left in ("", "a" * 32, "b" * 32):
        file = CurrentEventFile(tmp_path / "current")
        assert file.left_behind() == left
        file.enter(chr(ord(left[:1] or "`") + 1) * 32)
        file.close()
    file = CurrentEventFile(tmp_path / "current")
    file.clear()
    assert file.left_behind() == ""
    file.close()
    assert len(list(Path("/dev/fd").iterdir())) == before
