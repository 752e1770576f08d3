"""Levels by points: in order, checked, and part of no rule's meaning."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import InvalidRules
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.document import Level, level_of
from tests.reactions.given import Machine

BRONZE, GOLD = {"id": "bronze", "points": 10}, {"id": "gold", "points": 100, "title": "Gold"}


@given(st.lists(st.integers(0, 50), unique=True, max_size=6).map(sorted), st.integers(-10, 60))
def test_a_balance_reaches_the_greatest_level_that_it_is_enough_for(thresholds: list[int], balance: int) -> None:
    levels = [Level(f"l{points}", points) for points in thresholds]
    reached, following = level_of(levels, balance)
    assert (reached.points if reached else None) == max((each for each in thresholds if each <= balance), default=None)
    assert (following.points if following else None) == min(
        (each for each in thresholds if each > balance), default=None
    )


@pytest.mark.parametrize(
    ("levels", "path"),
    [
        ([GOLD, BRONZE], "levels[1].points"),
        ([BRONZE, BRONZE | {"id": "other"}], "levels[1].points"),
        ([BRONZE, GOLD | {"id": "bronze"}], "levels[1].id"),
        ([{"id": "x"}], "levels[0]"),
        ([{"id": "x", "points": -1}], "levels[0].points"),
        ([{"id": "x", "points": 1, "goal": 1}], "levels[0]"),
    ],
)
def test_levels_are_in_the_order_of_their_points(levels: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(InvalidRules) as refused:
        parse_document(msgspec.json.encode({"levels": levels}))
    assert refused.value.problems[0].path == path


def test_applying_says_what_becomes_of_levels_and_nothing_starts_anew(machine: Machine) -> None:
    challenge = {"id": "c", "fact": "custom.visit", "goal": 1}
    machine.apply({"challenges": [challenge]})
    changed = machine.apply({"challenges": [challenge], "levels": [BRONZE, GOLD]})
    assert [(each.kind, each.id, each.change) for each in changed.changes] == [
        ("level", "bronze", "added"),
        ("level", "gold", "added"),
    ]
    changed = machine.apply({"challenges": [challenge], "levels": [BRONZE | {"points": 11}]})
    assert [(each.id, each.change, each.starts_anew) for each in changed.changes] == [
        ("bronze", "changed", False),
        ("gold", "removed", False),
    ]
