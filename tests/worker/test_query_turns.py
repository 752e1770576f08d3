"""Whose query comes next: projects share time equally, age counts, and what cannot make it is known at once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.askers import Asker
from headrace.pipeline.giving_way import GivingWay
from headrace.pipeline.query_turns import Costs, Turns, Waiting


def waiting(owner: str, cost_s: float = 1.0, arrived_s: float = 0.0) -> Waiting:
    return Waiting(Asker(owner, "route"), cost_s, arrived_s)


def owners(turns: Turns[Waiting]) -> str:
    found = ""
    while (each := turns.take()) is not None:
        turns.took(each, each.cost_s)
        found += each.by.owner
    return found


def test_a_small_project_waits_for_one_query_of_a_large_one_and_not_for_all() -> None:
    turns = Turns[Waiting]()
    for number in range(6):
        turns.add(waiting("a", arrived_s=number))
    first = turns.take()
    assert first
    turns.took(first, 1)
    for number in (10, 11):
        turns.add(waiting("b", arrived_s=number))
    assert owners(turns) == "babaaaa"


def test_who_was_away_gets_nothing_for_it_and_who_took_longer_than_thought_pays_for_it() -> None:
    turns = Turns[Waiting]()
    for number in range(20):
        turns.add(waiting("a", arrived_s=number))
    for _ in range(10):
        each = turns.take()
        assert each
        turns.took(each, 1)
    for number in range(6):
        turns.add(waiting("b", arrived_s=20 + number))
    each = turns.take()
    assert each
    assert each.by.owner == "b"
    turns.took(each, 4)
    assert owners(turns).startswith("aaaa")


@settings(max_examples=60, database=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((0.1, 1.0, 3.0))), min_size=30, max_size=90))
def test_projects_that_always_have_something_waiting_get_the_same_time(asked: list[tuple[str, float]]) -> None:
    turns = Turns[Waiting]()
    left = {owner: [cost for who, cost in asked if who == owner] for owner in "abc"}
    for owner, costs in left.items():
        for number, cost_s in enumerate(costs):
            turns.add(waiting(owner, cost_s, number * 10.0))
    used = dict.fromkeys("abc", 0.0)
    while all(left.values()):
        each = turns.take()
        assert each
        used[each.by.owner] += each.cost_s
        left[each.by.owner].pop()
        turns.took(each, each.cost_s)
        assert max(used.values()) - min(used.values()) <= 2 * 3.0 + 1e-9


def test_a_cheap_query_passes_a_dear_one_that_came_shortly_before_it_and_no_other() -> None:
    turns = Turns[Waiting]()
    dear = waiting("a", 5.0, 0.0)
    cheap, late = waiting("a", 0.1, 2.0), waiting("a", 0.1, 6.0)
    for each in (dear, cheap, late):
        turns.add(each)
    assert [turns.take(), turns.take(), turns.take(), turns.take()] == [cheap, dear, late, None]


def test_what_would_have_to_wait_too_long_is_known_before_it_has_waited() -> None:
    turns = Turns[Waiting]()
    queue = [waiting("a", 2.0, number / 10) for number in range(5)]
    for each in queue:
        turns.add(each)
    assert [turns.ahead_s(each) for each in queue] == [0, 2, 4, 6, 8]
    assert turns.late(1.0, 2.0, 3.0) == queue[3:]
    assert turns.late(1.0, 1.0, 3.0) == queue[2:]
    assert turns.late(100.0, 2.0, 3.0) == queue
    small = waiting("b", 1.0, 1.0)
    assert turns.ahead_s(small) == 1.0, "the other project gets as much as it gets itself meanwhile"
    assert turns.remove(queue[0])
    assert not turns.remove(queue[0])
    assert turns.ahead_s(queue[1]) == 0
    assert len(turns) == 4


def test_what_is_not_ready_takes_no_turn_and_is_counted_with_what_is_ahead() -> None:
    turns = Turns[Waiting]()
    first, second = waiting("a", 2.0, 0.0), waiting("a", 1.0, 3.0)
    other = waiting("b", 1.0, 5.0)
    first.ready = other.ready = False
    for each in (first, second, other):
        turns.add(each)
    assert turns.ahead_s(second) == 3.0
    assert turns.queuing == 1
    assert turns.take() is second
    assert turns.take() is None
    assert turns.late(100.0, 1.0, 1.0) == [], "whoever waits for events to be stored is not waiting for queries"
    first.ready = True
    assert turns.late(100.0, 1.0, 1.0) == [first]
    assert turns.take() is first


def test_what_a_query_costs_is_learnt_by_project_and_route() -> None:
    costs = Costs()
    one, other = Asker("a", "count"), Asker("a", "list")
    costs.learn(one, 1.0)
    costs.learn(one, 2.0)
    assert costs.of(one) == 1.3
    assert costs.of(other) == costs.of(Asker("b", "count")) == 0.02


def test_queries_rest_while_writes_wait_and_no_longer() -> None:
    way = GivingWay(2)
    assert (way.rest, way.readers, way.pace) == (0, 2, 2)
    way.adapt(1.0, 0)
    assert way.rest == 0, "where none queues, queries are not what writes wait for"
    way.adapt(0.021, 1)
    assert (way.rest, way.readers, way.pace) == (0.5, 2, 2 / 1.5)
    way.adapt(0.05, 1)
    assert (way.rest, way.readers, way.pace) == (2.0, 1, 1 / 3), "a write that waited that long is felt"
    way.adapt(0.1, 1)
    assert way.rest == 3.0
    way.adapt(0.015, 1)
    assert way.rest == 3.0, "neither too long nor short"
    for _ in range(100):
        way.adapt(1.0, 9)
    assert way.rest == 8.0
    for _ in range(100):
        way.adapt(0.001, 9)
    assert 2.0 < way.rest < 4.0, "quick writes say that rests are long enough, and not that they are too long"
    for _ in range(150):
        way.adapt(0.0, 9)
    assert (way.rest, way.readers) == (0, 2)
    way.adapt(1.0, 1)
    for _ in range(20):
        way.adapt(1.0, 0)
    assert way.rest == 0


def test_no_more_are_let_in_than_get_their_turn_even_if_rests_become_long() -> None:
    way = GivingWay(2)
    assert way.reliable_pace(beside_many=False) == 2
    assert way.reliable_pace(beside_many=True) < 1 / 6, "rests have not begun, and may at any moment"
    for _ in range(10):
        way.adapt(0.021, 1)
        assert way.reliable_pace(beside_many=False) < 1 / 9
    assert (way.rest, way.pace) == (8.0, 1 / 9)
    assert way.reliable_pace(beside_many=False) < 1 / 9
