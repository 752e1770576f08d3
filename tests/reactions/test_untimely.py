"""How far an event's own time may be from its receipt for a challenge to count it."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.model.errors import InvalidRules
from headrace.model.event import StoredEvent, received_ms_of
from tests.reactions.given import DAY_MS, Machine, event


def at(days_ahead: float, user: str = "u") -> StoredEvent:
    """An event whose own time is so many days after its receipt."""
    happened = event("visit", user)
    return msgspec.structs.replace(happened, timestamp_ms=received_ms_of(happened.id) + int(days_ahead * DAY_MS))


def rules(**bounds: Any) -> dict[str, Any]:
    return {"challenges": [{"id": "c", "fact": "custom.visit", "goal": 1, "repeat": True, "points": 1} | bounds]}


def test_a_visitor_cannot_mint_a_years_streak(machine: Machine) -> None:
    machine.apply({"challenges": [{"id": "c", "fact": "custom.visit", "measure": "streak", "goal": 3}]})
    machine.react(*(at(day) for day in range(365)))
    assert machine.completions("c") == 0, "today and tomorrow are two days"
    [(failures, why)] = machine.rows("select failures, failed_why from rules")
    assert failures == 363
    assert why == "its time is 364 days after it was received; the rule takes at most 1d"


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    days=st.lists(st.floats(-40, 40, allow_nan=False), min_size=1, max_size=8),
    ahead=st.sampled_from([None, ("0s", 0.0), ("36h", 1.5), ("30d", 30.0)]),
    back=st.sampled_from([None, ("0d", 0.0), ("60m", 1 / 24), ("7d", 7.0)]),
)
def test_events_count_within_the_bounds_and_no_others(
    machine: Machine, days: list[float], ahead: tuple[str, float] | None, back: tuple[str, float] | None
) -> None:
    bounds = ({"ahead": ahead[0]} if ahead else {}) | ({"back": back[0]} if back else {})
    machine.apply(rules(**bounds))
    points = machine.points()
    sent = [at(each, "who") for each in days]
    machine.react(*sent)
    most, least = ahead[1] if ahead else 1.0, -back[1] if back else float("-inf")

    def counts(happened: StoredEvent) -> bool:
        off_ms = happened.timestamp_ms - received_ms_of(happened.id)
        return least * DAY_MS <= off_ms <= most * DAY_MS

    assert machine.points() - points == sum(map(counts, sent))
    machine.replay(*sent)
    assert machine.points() - points == sum(map(counts, sent)), "a replay finds the same"


def test_bounds_are_part_of_what_a_rule_means_and_the_default_is_no_other_rule(machine: Machine) -> None:
    machine.apply(rules())
    assert machine.apply(rules(ahead="1d")).changes == []
    assert [each.starts_anew for each in machine.apply(rules(ahead="2d")).changes] == [True]


@pytest.mark.parametrize("bad", ["", "1", "d", "1w", "-1d", "1.5d", 1, "9999999d"])
def test_a_bound_that_is_no_duration_is_refused_with_its_place(machine: Machine, bad: object) -> None:
    with pytest.raises(InvalidRules) as refused:
        machine.apply(rules(back=bad))
    assert refused.value.problems[0].path == "challenges[0].back"
