"""When a delivery is tried again."""

import itertools
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.delivery.retries import LONGEST_MS, asked_pause_ms, next_try_ms

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


def schedule(chance: float, asked_ms: int = 0) -> list[int]:
    """Milliseconds after the first try at which it is tried again."""
    now_ms, tries, found = NOW_MS, 1, list[int]()
    while again_ms := next_try_ms(tries, now_ms, NOW_MS + DAY_MS, asked_ms, chance):
        found.append(again_ms - NOW_MS)
        now_ms, tries = again_ms, tries + 1
    return found


def test_the_first_pauses_are_seconds_and_the_later_ones_hours() -> None:
    assert schedule(0.5)[:6] == [5_000, 20_000, 65_000, 200_000, 605_000, 1_820_000]
    assert 10 <= len(schedule(0.5)) <= 16


@given(st.floats(0, 1))
def test_it_is_tried_over_a_whole_day_and_at_its_end(chance: float) -> None:
    times = schedule(chance)
    assert times[-1] == DAY_MS
    assert times == sorted(set(times))
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= LONGEST_MS * 1.25


def test_chance_moves_each_pause_a_quarter_either_way() -> None:
    assert [next_try_ms(1, NOW_MS, NOW_MS + DAY_MS, 0, chance) - NOW_MS for chance in (0, 0.5, 1)] == [3750, 5000, 6250]


def test_after_its_time_it_is_not_tried_again() -> None:
    assert next_try_ms(1, NOW_MS, NOW_MS, 0, 0.5) == 0
    assert next_try_ms(1, NOW_MS, NOW_MS + 1, 0, 0.5) == NOW_MS + 1


@given(st.integers(1, 10**6), st.integers(0, DAY_MS), st.integers(0, DAY_MS), st.floats(0, 1))
def test_no_try_is_before_now_or_after_its_time(tries: int, left_ms: int, asked_ms: int, chance: float) -> None:
    again_ms = next_try_ms(tries, NOW_MS, NOW_MS + left_ms, asked_ms, chance)
    assert again_ms == 0 if left_ms == 0 else NOW_MS < again_ms <= NOW_MS + left_ms


def test_a_receiver_may_ask_for_a_longer_pause_but_not_for_a_shorter_one() -> None:
    assert next_try_ms(1, NOW_MS, NOW_MS + DAY_MS, 60_000, 0.5) == NOW_MS + 60_000
    assert next_try_ms(4, NOW_MS, NOW_MS + DAY_MS, 60_000, 0.5) == NOW_MS + 135_000


@pytest.mark.parametrize(
    ("header", "pause_ms"),
    [
        *(("120", 120_000), (" 1 ", 1000), ("0", 0), ("999999999999999999999", 3_600_000), ("7200", 3_600_000)),
        *((formatdate(NOW_MS / 1000 + 90, usegmt=True), 90_000), (formatdate(NOW_MS / 1000 - 90, usegmt=True), 0)),
        *(
            ("", 0),
            ("-5", 0),
            ("1.5", 0),
            ("soon", 0),
            ("٣", 0),
            ("Fri, 99 Jan 2026 00:00:00 GMT", 0),
            ("\xff" * 100, 0),
        ),
    ],
)
def test_a_receiver_asks_with_seconds_or_a_date_for_an_hour_at_most(header: str, pause_ms: int) -> None:
    assert asked_pause_ms(header, NOW_MS) == pause_ms


@given(st.text(max_size=60))
def test_any_header_asks_for_something_within_bounds(header: str) -> None:
    assert 0 <= asked_pause_ms(header, NOW_MS) <= 3_600_000
