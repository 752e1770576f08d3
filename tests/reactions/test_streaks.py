"""Streaks with freezes, against the set of days that they are made of, whatever order these come in."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import InvalidRules
from headrace.model.reaction_state import State
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.challenges import Challenge
from headrace.reactions.document import ChallengeRule
from headrace.reactions.facts import Fact
from tests.reactions.given import DAY_MS, Machine, event

FIRST = 20_000  # some day, counted from 1970


def longest(days: set[int], freezes: int) -> int:
    """The most days within a stretch that begins and ends with one of them and misses at most so many."""
    return max(
        (
            sum(first <= day <= last for day in days)
            for first in days
            for last in days
            if sum(day not in days for day in range(first, last + 1)) <= freezes and first <= last
        ),
        default=0,
    )


def unbroken(days: set[int], freezes: int, today: int) -> int:
    """As `longest`, of those that are not over: up to today, which may still come."""
    past = {day for day in days if day <= today}
    upto = today if today in past else today - 1
    return max(
        (
            sum(first <= day for day in past)
            for first in past
            if sum(day not in past for day in range(first, upto + 1)) <= freezes
        ),
        default=0,
    )


def streak(freezes: int, goal: int = 4) -> Challenge:
    return Challenge(ChallengeRule(id="c", fact="f", measure="streak", goal=goal, freezes=freezes), 1)


@given(
    order=st.lists(st.integers(FIRST, FIRST + 25), max_size=25),
    freezes=st.integers(0, 5),
    goal=st.integers(1, 8),
    today=st.integers(FIRST, FIRST + 30),
)
def test_a_streak_is_the_longest_stretch_with_so_many_days_missing_in_any_order(
    order: list[int], freezes: int, goal: int, today: int
) -> None:
    challenge, state = streak(freezes, goal), State()
    times = 0
    for seen, day in enumerate(order, 1):
        times += challenge.count([Fact("f", "f")], "u", day, state)
        days = set(order[:seen])
        assert times == (longest(days, freezes) >= goal)
        assert int(state.standing(1, "u").best) == longest(days, freezes)
    # Whatever is today, days to come are no part of it.
    days = {day for day in order if day <= today}
    assert challenge.value(_of(challenge, order, today), "u", today * DAY_MS) == unbroken(days, freezes, today)


def _of(challenge: Challenge, order: list[int], today: int) -> State:
    state = State()
    for day in order:
        if day <= today:
            challenge.count([Fact("f", "f")], "u", day, state)
    return state


def test_a_missed_day_breaks_a_streak_only_once_the_freezes_are_used_up(machine: Machine) -> None:
    rule = {"id": "c", "fact": "custom.visit", "measure": "streak", "goal": 5, "freezes": 2, "points": 9}
    machine.apply({"challenges": [rule]})
    machine.react(*(event("visit", day=day) for day in (9, 0, 1, 3)), event("visit", "v", 0))
    assert machine.completions("c") == 0
    machine.react(event("visit", day=6))
    assert machine.completions("c") == 0, "days 2, 4 and 5 are missing"
    machine.react(event("visit", day=4))
    assert (machine.completions("c"), machine.points()) == (1, 9), "0, 1, 3, 4, 6: days 2 and 5 are missing"
    machine.restart()
    machine.react(event("visit", day=7))
    assert machine.completions("c") == 1


@pytest.mark.parametrize(
    "rule",
    [{"measure": "count"}, {"measure": "streak", "repeat": True}, {"measure": "streak", "freezes": 31}],
)
def test_only_a_streak_that_does_not_repeat_has_freezes_and_not_more_than_a_month_of_them(rule: dict[str, Any]) -> None:
    challenge = {"id": "c", "fact": "custom.visit", "goal": 5, "freezes": 2} | rule
    with pytest.raises(InvalidRules) as refused:
        parse_document(msgspec.json.encode({"challenges": [challenge]}))
    assert refused.value.problems[0].path == "challenges[0].freezes"


def test_a_streak_without_freezes_means_what_it_did(machine: Machine) -> None:
    rule = {"id": "c", "fact": "custom.visit", "measure": "streak", "goal": 5}
    machine.apply({"challenges": [rule]})
    assert machine.apply({"challenges": [rule | {"freezes": 0}]}).changes == []
    assert [each.starts_anew for each in machine.apply({"challenges": [rule | {"freezes": 1}]}).changes] == [True]
