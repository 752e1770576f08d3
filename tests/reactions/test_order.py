"""Late and out-of-order events lead to the same progress, completions, badges and points as those in order."""

import itertools
import random
from pathlib import Path

import msgspec
import pytest

from headrace.model.event import StoredEvent, first_position
from tests.reactions.given import Machine, event

_later = itertools.count(
    first_position(2_000_000_000_000)
)  # after those of `event`, and after every time that events happen at

RULES = """
facts:
  - {id: buy, event: order, fact_type: purchase, fields: {amount: properties.amount, item: properties.item}}
challenges:
  - {id: count, fact: purchase, goal: 3, repeat: true, points: 1}
  - {id: sum, fact: purchase, measure: {sum: amount}, goal: 2.1, repeat: true, points: 1}
  - {id: distinct, fact: purchase, measure: {distinct: item}, goal: 3}
  - {id: streak, fact: custom.visit, measure: streak, goal: 2, repeat: true, points: 1, time_zone: Europe/Berlin}
  - {id: day, fact: purchase, goal: 2, window: {per: day}, repeat: true, points: 1}
  - {id: week, fact: purchase, measure: {sum: amount}, goal: 3, window: {per: week}, repeat: true, points: 1}
  - {id: month, fact: purchase, goal: 6, window: {per: month}}
  - {id: lately, fact: purchase, measure: {sum: amount}, goal: 2.8, window: {days: 3}}
  - {id: hours, fact: purchase, measure: {distinct: item}, goal: 2, window: {hours: 2}}
  - {id: fixed, fact: purchase, goal: 2, window: {from: 2025-01-07, to: 2025-01-08}, time_zone: Europe/Berlin}
badges:
  - {id: streaker, challenge: streak, times: 2}
  - {id: shopper, fact: purchase, count: 5}
  - {id: both, badges: [streaker, shopper], points: 10}
"""
STATE = (
    "select rule_id, completions, best from standings s join rules r on r.no = s.rule_no",
    "select rule_id, bucket, value from buckets b join rules r on r.no = b.rule_no",
    "select badge from awards",
    "select sum(points) from points",
)


def happened() -> list[StoredEvent]:
    orders = [(0, 0.7, "a"), (0.5, 0.7, "b"), (1, 0.7, "a"), (1.04, 0.7, "c"), (3, 1.5, 7), (8, 2, 7.0), (-7, 0.1, "d")]
    visits = [0, 1, 2, 3.99, 6, 7, 20]
    return [event("order", day=day, amount=amount, item=item) for day, amount, item in orders] + [
        event("visit", day=day) for day in visits
    ]


@pytest.fixture
def in_order(machine: Machine) -> tuple[list[StoredEvent], list[object]]:
    machine.apply(RULES)
    events = happened()
    machine.react(*sorted(events, key=lambda one: one.timestamp_ms))
    return events, [machine.rows(sql) for sql in STATE]


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_arrival_gives_the_same_state(
    in_order: tuple[list[StoredEvent], list[object]], tmp_path: Path, template: Path, seed: int
) -> None:
    events, state = in_order
    (tmp_path / "other").mkdir()
    other = Machine(tmp_path / "other", template)
    other.apply(RULES)
    order = random.Random(seed)
    order.shuffle(events)
    cuts = sorted(order.sample(range(len(events)), 4))
    for start, end in itertools.pairwise([0, *cuts, len(events)]):
        other.react(*(msgspec.structs.replace(each, position=next(_later)) for each in events[start:end]))
    assert [other.rows(sql) for sql in STATE] == state
    other.close()


def test_the_state_in_order_is_what_the_rules_say(in_order: object, machine: Machine) -> None:
    completed = {row[0]: row[1] for row in machine.rows(STATE[0])}
    assert completed == {
        "count": 2,  # seven purchases
        "sum": 3,  # 4 × 0.7 + 1.5 + 2 + 0.1 = 6.4, in steps of 2.1
        "distinct": 1,
        "streak": 2,  # the visit late on day 3 in UTC is on day 4 in Berlin: runs of 3, 1, 2 and 1 days
        "day": 2,
        "week": 1,
        "month": 1,
        "lately": 1,
        "hours": 1,
        "fixed": 1,
    }
    assert machine.badges() == {"streaker", "shopper", "both"}


def test_ten_times_0_7_is_7(machine: Machine) -> None:
    machine.apply({"facts": RULES_OF_SUM["facts"], "challenges": RULES_OF_SUM["challenges"]})
    machine.react(*(event("order", amount=0.7) for _ in range(9)))
    assert machine.completions("seven") == 0
    machine.react(event("order", amount=0.7))
    assert machine.completions("seven") == 1


RULES_OF_SUM = {
    "facts": [{"id": "buy", "event": "order", "fact_type": "purchase", "fields": {"amount": "properties.amount"}}],
    "challenges": [{"id": "seven", "fact": "purchase", "measure": {"sum": "amount"}, "goal": 7}],
}


@pytest.mark.parametrize("amount", [-1, "7", True, None, 1e16, [7]])
def test_what_is_no_amount_adds_nothing(machine: Machine, amount: object) -> None:
    machine.apply(RULES_OF_SUM)
    machine.react(event("order", amount=amount))
    assert machine.completions("seven") == 0
    machine.react(event("order", amount=7))
    assert machine.completions("seven") == 1


def test_a_streak_is_of_days_in_its_time_zone(machine: Machine) -> None:
    machine.apply(
        {"challenges": [{"id": "s", "fact": "custom.visit", "measure": "streak", "goal": 2, "time_zone": "Asia/Tokyo"}]}
    )
    machine.react(event("visit", day=0.1), event("visit", day=0.5))
    assert machine.completions("s") == 0
    machine.react(event("visit", day=0.7))  # the next day has begun in Tokyo
    assert machine.completions("s") == 1


def test_completions_stop_at_a_number_that_databases_hold(machine: Machine) -> None:
    [challenge] = RULES_OF_SUM["challenges"]
    small = {"goal": 1e-6, "repeat": True, "points": 1_000_000}
    machine.apply({"facts": RULES_OF_SUM["facts"], "challenges": [challenge | small]})
    machine.react(event("order", amount=1e15), event("order", amount=1e15), event("order", amount=1))
    assert machine.completions("seven") == 10**9
    assert machine.points() == 10**9 * 1_000_000
    assert machine.reactor.failed_events == 0


def test_a_streak_goes_on_over_a_change_of_clocks(machine: Machine) -> None:
    rule = {"id": "s", "fact": "custom.visit", "measure": "streak", "goal": 3, "time_zone": "Europe/Berlin"}
    machine.apply({"challenges": [rule | {"repeat": True}]})
    # Clocks went ahead at 2025-03-30 01:00 UTC, 83 days after the first, and back at 2025-10-26 01:00 UTC, after 293.
    # 00:30 and 23:30 by the clock of Berlin, so a day apart by its dates and 23 or 25 hours by the sun.
    spring = [day - 1 + 23.5 / 24 for day in (82, 83)] + [83 + 22.5 / 24]
    machine.react(*(event("visit", "spring", day) for day in spring))
    autumn = [day - 1 + 22.5 / 24 for day in (292, 293)] + [293 + 23.5 / 24]
    machine.react(*(event("visit", "autumn", day) for day in reversed(autumn)))
    assert [machine.completions("s", user) for user in ("spring", "autumn")] == [1, 1]


def test_a_day_of_25_hours_is_one_day(machine: Machine) -> None:
    rule = {"id": "d", "fact": "custom.visit", "goal": 2, "window": {"per": "day"}, "time_zone": "Europe/Berlin"}
    machine.apply({"challenges": [rule]})
    machine.react(event("visit", "one", 292 + 22 / 24), event("visit", "one", 293 + 22.9 / 24))  # 00:00 and 23:54
    machine.react(event("visit", "two", 291 + 22 / 24), event("visit", "two", 292 + 22 / 24))  # midnight to midnight
    assert [machine.completions("d", user) for user in ("one", "two")] == [1, 0]
