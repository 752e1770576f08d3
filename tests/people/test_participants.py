"""What the participants of rules have come to together, once they are one person; and apart again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.control.scoreboard import Scoreboard
from headrace.model.reaction_state import State
from headrace.model.scores import MAX_LISTED, Score
from headrace.pipeline.rulesets import load_rules
from headrace.reactions import merging
from headrace.reactions.challenges import Challenge
from headrace.reactions.facts import Fact
from headrace.reactions.rules import parse_rules
from tests.reactions.given import DAY_MS, TENANT, Machine, event

RULES: dict[str, Any] = {
    "facts": [
        {"id": "buy", "event": "order", "fact_type": "purchase", "fields": {"amount": "properties.amount"}, "points": 1}
    ],
    "challenges": [
        {"id": "once", "fact": "purchase", "goal": 2, "points": 10},
        {"id": "often", "fact": "purchase", "goal": 2, "repeat": True, "points": 3},
        {"id": "spent", "fact": "purchase", "measure": {"sum": "amount"}, "goal": 100},
    ],
    "badges": [{"id": "gold", "challenge": "once", "points": 5}],
}


@pytest.fixture
def machine(tmp_path: Any, template: Any) -> Machine:
    return Machine(tmp_path, template)


def score(machine: Machine, *names: str) -> tuple[Score, dict[str, Challenge]]:
    """As the participant view reads it."""
    rules = load_rules(machine.rulebook, TENANT.project)
    board = Scoreboard(machine.engine)
    now_ms = event("now", day=1).timestamp_ms
    spans = [
        (each.no, *each.span(bucket))
        for each in rules.challenges
        if (bucket := each.current_bucket(now_ms)) is not None
    ]
    parts = [(each, found) for each in board.known(TENANT, names) if (found := board.participant(TENANT, each, spans))]
    return merging.merged(rules, names[0], parts, MAX_LISTED), {each.rule.id: each for each in rules.challenges}


def shown(machine: Machine, *names: str) -> dict[str, Any]:
    found, challenges = score(machine, *names)
    now_ms = event("now", day=1).timestamp_ms
    return {
        "progress": {id_: str(each.value(found.state, names[0], now_ms)) for id_, each in challenges.items()},
        "completions": {id_: found.state.standing(each.no, names[0]).completions for id_, each in challenges.items()},
        "badges": [award.badge for award in found.awards],
        "points": found.balance,
    }


def test_progress_badges_and_points_of_two_are_one_persons_and_nothing_counts_twice(machine: Machine) -> None:
    machine.apply(RULES)
    machine.react(
        *(event("order", "u", amount=0.7) for _ in range(3)), *(event("order", "a", amount=1) for _ in range(2))
    )
    assert shown(machine, "u", "a") == {
        "progress": {"once": "5", "often": "5", "spent": "4.1"},
        "completions": {"once": 1, "often": 2, "spent": 0},
        "badges": ["gold"],
        "points": 5 + 10 + 2 * 3 + 5,
    }


def test_each_of_them_has_their_own_again(machine: Machine) -> None:
    machine.apply(RULES)
    machine.react(*(event("order", "u", amount=0.7) for _ in range(3)), event("order", "a", amount=1))
    assert shown(machine, "u")["progress"] == {"once": "3", "often": "3", "spent": "2.1"}
    assert shown(machine, "a") == {
        "progress": {"once": "1", "often": "1", "spent": "1"},
        "completions": {"once": 0, "often": 0, "spent": 0},
        "badges": [],
        "points": 1,
    }


def challenge(**rule: Any) -> Challenge:
    document = parse_rules({"challenges": [{"id": "c", "fact": "custom.f", **rule}]})
    return Challenge(document.challenges[0], 1)


_moves = st.lists(st.tuples(st.sampled_from("uva"), st.integers(0, 12), st.integers(0, 5)), max_size=25)


@given(
    _moves,
    st.sampled_from(
        [
            {"goal": 3},
            {"goal": 3, "measure": {"distinct": "item"}},
            {"goal": 9, "measure": {"sum": "item"}},
            {"goal": 3, "measure": "streak"},
            {"goal": 2, "window": {"per": "week"}},
            {"goal": 2, "window": {"days": 3}},
        ]
    ),
)
def test_buckets_together_are_those_of_one_who_did_it_all(
    moves: list[tuple[str, int, int]], rule: dict[str, Any]
) -> None:
    one = challenge(**rule)
    apart, together = State(), State()
    for number, (who, day, item) in enumerate(moves):
        fact = Fact(f"fact_{number}", "custom.f", fields={"item": item})
        bucket = one.bucket(day * DAY_MS)
        assert bucket is not None
        one.count([fact], who, bucket, apart)
        one.count([fact], "person", bucket, together)
    parts = [apart.buckets.get((1, who), {}) for who in "uva"]
    assert one.together(parts) == together.buckets.get((1, "person"), {})
