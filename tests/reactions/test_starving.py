"""Warnings about rules that other rules keep from counting, against what the reactions really make of events."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.event_facts import facts_of_event
from headrace.reactions.ruleset import RuleSet
from headrace.reactions.starving import starved
from tests.reactions.given import Machine, event

NAMES = ("visit", "visit.home", "order")
EVENTS = ("visit", "visit*", "visit.*", "order", "*")
FACT = {"id": "seen", "event": "visit", "fact_type": "seen"}


def warnings(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.path, each.detail) for each in starved(parse_document(msgspec.json.encode(document)))]


@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([None, "seen", "custom.visit"])), max_size=3),
    st.sampled_from(("custom.visit", "custom.visit*", "custom.*", "custom.order")),
)
def test_a_rule_is_said_to_miss_events_if_and_only_if_it_misses_some(
    facts: list[tuple[str, str | None]], counted: str
) -> None:
    rules: list[dict[str, Any]] = [
        {"id": f"f{index}", "event": name} | ({"fact_type": kind} if kind else {})
        for index, (name, kind) in enumerate(facts)
    ]
    document = {"facts": rules, "challenges": [{"id": "c", "fact": counted, "goal": 1}]}
    parsed = parse_document(msgspec.json.encode(document))
    running = RuleSet(parsed, "", {(kind, rule.id): number for number, (kind, rule) in enumerate(parsed.all(), 1)})

    def types(name: str, without: str = "") -> set[str]:
        happened = event(name)
        made = facts_of_event(running, happened.id, happened).facts
        return {fact.type for fact in made}

    matching = counted.removesuffix("*")

    def counts(kind: str) -> bool:
        return kind.startswith(matching) if counted.endswith("*") else kind == matching

    missed = [name for name in NAMES if counts(f"custom.{name}") and not any(map(counts, types(name)))]
    said = warnings(document)
    assert bool(missed) <= bool(said), "whatever is missed is said"
    if not any(about.endswith("*") for about, _ in facts):
        taken = [about for about, kind in facts if counts(f"custom.{about}") and kind is not None and not counts(kind)]
        assert bool(taken) == bool(said)


def test_the_warning_names_both_rules_and_says_whether_anything_is_left() -> None:
    counting = {"challenges": [{"id": "loyal", "fact": "custom.visit", "goal": 3}]}
    [(place, detail)] = warnings({"facts": [FACT]} | counting)
    assert place == "challenges[0].fact"
    assert detail == (
        "'loyal' counts 'custom.visit', but the fact rule 'seen' turns events 'visit' into 'seen', "
        "so it never counts anything"
    )
    [(_, detail)] = warnings({"facts": [FACT | {"when": "event.value == null"}]} | counting)
    assert detail.endswith("for which its condition holds into 'seen', so it does not count those")
    assert warnings({"facts": [FACT | {"event": "other"}]} | counting) == []


def test_a_badge_that_counts_facts_is_warned_of_too_and_one_that_can_never_be_earned() -> None:
    badge = {"id": "b", "fact": "custom.visit", "count": 3}
    assert [place for place, _ in warnings({"facts": [FACT], "badges": [badge]})] == ["badges[0].fact"]
    once = {"id": "c", "fact": "seen", "goal": 1}
    badges = [{"id": "b", "challenge": "c", "times": 2}]
    [(place, detail)] = warnings({"facts": [FACT], "challenges": [once], "badges": badges})
    assert (place, "never earned" in detail) == ("badges[0].times", True)
    assert warnings({"facts": [FACT], "challenges": [once | {"repeat": True}], "badges": badges}) == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_applying_says_so_with_the_line(machine: Machine, dry_run: bool) -> None:
    applied = machine.apply(
        "facts:\n  - {id: seen, event: visit, fact_type: seen}\nchallenges:\n  - {id: c, fact: custom.visit, goal: 1}\n",
        dry_run=dry_run,
    )
    assert [(each.path, each.line) for each in applied.warnings] == [("challenges[0].fact", 4)]
