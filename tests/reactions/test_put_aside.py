"""A rule that is too costly for one event after the other is put aside, by name, until a document is applied."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from headrace.model.event import StoredEvent, Tenant, event_id, first_position
from headrace.model.reaction_state import Overrun, State
from headrace.reactions.document import Document, FactRule
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.facts import Failure
from headrace.reactions.overruns import Limits, follow
from headrace.reactions.ruleset import RuleSet
from tests.reactions.given import Crash, Machine, event

COSTLY = {"id": "costly", "event": "order", "when": "size(event.properties.l) > 0", "fact_type": "costly", "points": 1}
OTHER = {"id": "other", "event": "order", "fact_type": "other", "points": 100}
RULES: dict[str, Any] = {"facts": [COSTLY, OTHER]}
LARGE, SMALL = [1] * 3000, [1]
LIVE, TEST = Tenant("p", "live"), Tenant("p", "test")


@pytest.fixture(autouse=True)
def hasty(machine: Machine) -> None:
    """Three events in a row are enough."""
    machine.limits = Limits(3, 0)
    machine.restart()
    machine.apply(RULES)


def orders(*lists: list[int], mode: Any = "live") -> list[StoredEvent]:
    return [event("order", l=each, mode=mode) for each in lists]


def aside(machine: Machine) -> list[tuple[str, str]]:
    """(mode, event) of each rule that is put aside; the only one that can be is `costly`."""
    return [(each.mode, each.event_id) for each in machine.overruns.put_aside("p")]


def test_a_rule_too_costly_for_events_in_a_row_is_put_aside_with_the_event_and_the_others_go_on(
    machine: Machine,
) -> None:
    sent = orders(LARGE, LARGE, LARGE, SMALL, SMALL)
    with capture_logs() as logs:
        machine.react(*sent)
    assert aside(machine) == [("live", sent[2].id)]
    [line] = [line for line in logs if line["event"] == "rule_put_aside"]
    assert (line["rule"], line["event_id"], line["mode"]) == ("costly", sent[2].id, "live")
    assert machine.points() == 5 * 100, "the small events after it are not evaluated by the rule"
    listed = machine.rulebook.passed_over(LIVE, machine.number("costly"), "", 9)
    assert [each.event_id for each in listed] == [each.id for each in sent], "a replay can make up for all of them"
    assert re.search(r"put aside at evt_.*too large", listed[4].why)


def test_one_event_within_the_budget_ends_the_row(machine: Machine) -> None:
    machine.react(*orders(LARGE, LARGE, SMALL, LARGE, LARGE))
    assert aside(machine) == []
    machine.react(event("visit"), *orders(SMALL, LARGE, LARGE))
    assert aside(machine) == []
    assert machine.rows("select events from overruns") == [(2,)]


def test_events_that_the_rule_is_not_about_do_not_end_the_row(machine: Machine) -> None:
    for _ in range(3):
        machine.react(event("visit"), *orders(LARGE))
    assert len(aside(machine)) == 1


def test_a_burst_of_large_events_ends_no_rule(machine: Machine) -> None:
    machine.limits = Limits(3, 60_000)
    machine.restart()
    machine.react(*orders(*[LARGE] * 20))
    assert aside(machine) == []
    later = first_position(1_893_456_000_000 + 365 * 86_400_000)
    [last] = orders(LARGE)
    machine.react(msgspec.structs.replace(last, position=later, id=event_id(later, 7)))
    assert len(aside(machine)) == 1


def test_one_mode_puts_no_rule_aside_for_the_other(machine: Machine) -> None:
    machine.react(*orders(LARGE, LARGE, LARGE, mode="test"), *orders(SMALL))
    assert [mode for mode, _ in aside(machine)] == ["test"]
    assert machine.points() == 4 * 100 + 1


@pytest.mark.parametrize("changed", [True, False])
def test_applying_a_document_brings_the_rule_back_mended_or_not(machine: Machine, changed: bool) -> None:
    machine.react(*orders(LARGE, LARGE, LARGE))
    document = {"facts": [COSTLY | {"title": "in other words"}, OTHER]} if changed else RULES
    assert machine.apply(document).applied
    assert aside(machine) == []
    machine.react(*orders(SMALL))
    assert machine.points() == 4 * 100 + 1
    assert not machine.apply(document).applied, "nothing is aside any more"


def test_a_rule_is_brought_back_whatever_the_reactor_remembers(machine: Machine) -> None:
    machine.react(*orders(LARGE, LARGE, LARGE, SMALL))
    real: Callable[..., Any] = machine.states.load
    machine.states.load = lambda *given: (machine.apply(RULES), real(*given))[1]  # type: ignore[method-assign]
    machine.react(*orders(SMALL))
    assert (aside(machine), machine.points()) == ([], 5 * 100 + 1)


def test_a_replay_makes_up_for_the_events_meanwhile(machine: Machine) -> None:
    sent = orders(LARGE, LARGE, LARGE, SMALL, SMALL)
    machine.react(*sent)
    machine.replay(*sent)
    assert machine.points() == 5 * 100 + 2, "each event within its own bound"
    assert len(aside(machine)) == 1, "a replay judges stored events and says nothing of new ones"


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_crash_at_any_event_puts_the_rule_aside_at_the_same_one(machine: Machine, dies: str, at: int) -> None:
    sent = orders(LARGE, LARGE, LARGE, SMALL, SMALL)
    machine.react(*sent[:at])
    machine.states.dies = dies
    with pytest.raises(Crash):
        machine.react(*sent[at:])
    machine.restart()
    machine.drain()
    assert aside(machine) == [("live", sent[2].id)]
    assert machine.points() == 5 * 100
    [(passed_over,)] = machine.rows("select passed_over from rules where rule_id = 'costly'")
    assert passed_over == 5


def test_in_one_turn_or_in_many_the_same_events_are_judged_without_the_rule(machine: Machine) -> None:
    machine.react(*orders(SMALL, LARGE, LARGE, LARGE, SMALL, SMALL))
    assert machine.points() == 6 * 100 + 1


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(0, 8))
def test_a_rule_is_put_aside_as_a_count_of_the_latest_row_says(
    costly: list[bool], enough: int, at_least_ms: int
) -> None:
    rules = RuleSet(Document(facts=[FactRule(id="f", event="e")]), "", {("fact", "f"): 1})
    held: dict[int, Overrun] = {}
    for index, each in enumerate(costly):
        position = first_position(1000 + index)
        seen = EventFacts(event_id(position, 1), "", 0, [], [], True, about=[1] if held else ())
        if each or (held and held[1].is_aside):
            seen = msgspec.structs.replace(seen, failures=[Failure(1, "large", too_costly=True)])
        follow(rules, seen, held, Limits(enough, at_least_ms), State())
        row, put = 0, False
        for one in costly[: index + 1]:
            row = 0 if not one and not put else row + (not put)
            put = put or (row >= enough and row - 1 >= at_least_ms)
        assert (1 in held, held[1].events if held else 0, bool(held) and held[1].is_aside) == (row > 0, row, put)
