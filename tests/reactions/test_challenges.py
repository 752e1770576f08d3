"""A challenge alone: what counts when, what an event adds, and what lies just inside and outside of its limits."""

from decimal import Decimal
from typing import Any

import pytest

from headrace.model.reaction_state import State
from headrace.reactions.challenges import Challenge
from headrace.reactions.document import ChallengeRule, Measure, Window
from headrace.reactions.facts import Fact
from tests.reactions.given import DAY_MS

DATES = Window(from_="2025-01-06", to="2025-01-12")
START_MS = 1_736_121_600_000  # 2025-01-06, a Monday
END_MS = START_MS + 7 * DAY_MS - 1


def challenge(**rule: Any) -> Challenge:
    return Challenge(ChallengeRule(id="c", fact="f", **({"goal": 3} | rule)), 1)


def add(challenge: Challenge, state: State, at_ms: int, **fields: Any) -> int:
    bucket = challenge.bucket(at_ms)
    assert bucket is not None
    return challenge.count([Fact("f", "f", fields=fields)], "u", bucket, state)


@pytest.mark.parametrize("measure", ["count", Measure(sum="x"), Measure(distinct="x")])
def test_what_was_reached_within_fixed_dates_still_counts_after_them(measure: Any) -> None:
    counted, state = challenge(measure=measure, window=DATES), State()
    add(counted, state, END_MS, x=1)
    assert counted.value(state, "u", START_MS - 1) == 0
    assert [counted.value(state, "u", END_MS + later) for later in (0, 1, 400 * DAY_MS)] == [1, 1, 1]


def test_a_streak_within_fixed_dates_is_0_once_they_are_over() -> None:
    streak, state = challenge(measure="streak", window=DATES), State()
    add(streak, state, END_MS - DAY_MS)
    add(streak, state, END_MS)
    assert streak.value(state, "u", END_MS) == 2
    after = streak.value(state, "u", END_MS + 1)
    assert isinstance(after, Decimal), "a number like any other, so that it can be shown"
    assert after == 0
    assert streak.current_bucket(END_MS + 1) is None, "so nothing needs to be loaded"


def test_fixed_dates_take_their_first_and_last_millisecond_and_none_beside_them() -> None:
    counted = challenge(window=DATES)
    assert [counted.bucket(at_ms) for at_ms in (START_MS - 1, START_MS, END_MS, END_MS + 1)] == [None, 0, 0, None]


@pytest.mark.parametrize(
    ("measure", "fields"),
    [
        (Measure(sum="x"), {}),
        (Measure(sum="x"), {"x": "much"}),
        (Measure(distinct="x"), {}),
        (Measure(sum="x"), {"x": -1}),
    ],
)
def test_an_event_without_an_amount_or_a_value_completes_nothing_and_changes_nothing(
    measure: Any, fields: dict[str, Any]
) -> None:
    summed, state = challenge(measure=measure, repeat=isinstance(measure, Measure) and measure.sum is not None), State()
    add(summed, state, START_MS, x=2)
    before = (dict(state.standings), {key: dict(held) for key, held in state.buckets.items()})
    times = add(summed, state, START_MS, **fields)
    assert (times, type(times)) == (0, int)
    assert (state.standings, state.buckets) == before
    assert add(summed, state, START_MS, x=1) == (measure.sum is not None), "and what comes after it counts as usual"


def test_a_value_of_zero_is_an_amount() -> None:
    summed, state = challenge(measure=Measure(sum="x")), State()
    assert add(summed, state, START_MS, x=0) == 0
    assert state.buckets == {(1, "u"): {0: "0"}}


def test_a_streak_counts_until_the_end_of_the_day_after_its_last() -> None:
    streak, state = challenge(measure="streak"), State()
    add(streak, state, START_MS)
    add(streak, state, START_MS + DAY_MS)
    days = [streak.value(state, "u", START_MS + each) for each in (DAY_MS, 2 * DAY_MS, 3 * DAY_MS - 1, 3 * DAY_MS)]
    assert days == [2, 2, 2, 0]
