"""What the participants of rules have come to together, once they are one person; and apart again."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headrace.control.database import transact
from headrace.control.grants import ControlGrants
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.scoreboard import Scoreboard
from headrace.model.event import StoredEvent
from headrace.model.ledger import Grant
from headrace.model.person import Statement
from headrace.model.reaction_state import State
from headrace.model.scores import Score
from headrace.people import applying
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.rulesets import load_rules
from headrace.reactions import merging
from headrace.reactions.challenges import Challenge
from headrace.reactions.facts import Fact
from headrace.reactions.rules import parse_rules
from tests.reactions.given import DAY_MS, TENANT, Machine, event


def score(machine: Machine, name: str) -> tuple[Score, dict[str, Challenge]]:
    """As the participant view reads it."""
    rules = load_rules(machine.rulebook, TENANT.project)
    now_ms = event("now", day=1).timestamp_ms
    spans = [
        (each.no, *each.span(bucket))
        for each in rules.challenges
        if (bucket := each.current_bucket(now_ms)) is not None
    ]
    found = Scoreboard(machine.engine).participant(TENANT, name, spans)
    assert found is not None
    merging.add_up(rules, found.state, found.state.participant(name))
    return found, {each.rule.id: each for each in rules.challenges}


def shown(machine: Machine, name: str) -> dict[str, Any]:
    found, challenges = score(machine, name)
    now_ms, whole = event("now", day=1).timestamp_ms, found.state.participant(name)
    return {
        "progress": {id_: str(each.value(found.state, whole, now_ms)) for id_, each in challenges.items()},
        "completions": {id_: found.state.standing(each.no, whole).completions for id_, each in challenges.items()},
        "badges": [award.badge for award in found.awards],
        "points": found.balance,
    }


def identify(user: str, anonymous: str) -> StoredEvent:
    said = event("Identify", user)
    return msgspec.structs.replace(said, source="segment", type="identify", anonymous_id=anonymous)


def part(machine: Machine, one: str, other: str) -> None:
    engine = machine.engine
    people = ControlPeople(engine), ControlPeopleStates(engine)
    PeopleAdmin(*people, machine.states, machine.reactions, lambda: 1).part(TENANT, one, other)


def effects(machine: Machine, kind: str) -> list[str]:
    return [row[0] for row in machine.rows(f"select event_id from effects where kind = '{kind}'")]


GOAL_OF_5 = {
    "facts": [{"id": "buy", "event": "order", "fact_type": "purchase"}],
    "challenges": [{"id": "five", "fact": "purchase", "goal": 5, "points": 10}],
    "badges": [{"id": "gold", "challenge": "five", "points": 5}],
}


def test_three_events_of_one_id_and_two_of_the_other_make_five(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", "anon") for _ in range(3)), identify("u", "anon"), event("order", "u"))
    assert effects(machine, "challenge") == []
    fifth = event("order", "u")
    machine.react(fifth, event("order", "u"), event("order", "anon"))
    assert effects(machine, "challenge") == effects(machine, "badge") == [fifth.id]
    for each in ("u", "anon"):
        assert shown(machine, each) == {
            "progress": {"five": "7"},
            "completions": {"five": 1},
            "badges": ["gold"],
            "points": 15,
        }


def test_a_merge_that_reaches_the_goal_completes_it_by_its_own_event(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    before = [*(event("order", "anon") for _ in range(3)), *(event("order", "u") for _ in range(2))]
    joined = identify("u", "anon")
    machine.react(*before, joined)
    assert effects(machine, "challenge") == effects(machine, "badge") == [joined.id]
    assert (shown(machine, "u")["points"], shown(machine, "anon")["badges"]) == (15, ["gold"])


def test_an_undone_merge_takes_back_what_only_both_together_had_earned(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", "anon") for _ in range(3)), identify("u", "anon"))
    machine.react(*(event("order", "u") for _ in range(2)))
    part(machine, "u", "anon")
    for each, progress in (("u", "2"), ("anon", "3")):
        nothing = {"progress": {"five": progress}, "completions": {"five": 0}, "badges": [], "points": 0}
        assert shown(machine, each) == nothing
    machine.react(*(event("order", "u") for _ in range(3)))  # and each may earn it
    assert (shown(machine, "u")["points"], shown(machine, "anon")["points"]) == (15, 0)


def test_an_undone_merge_leaves_each_with_what_it_has_earned_by_itself(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", each) for each in ("anon", "u") for _ in range(5)))
    machine.react(identify("u", "anon"))
    assert shown(machine, "u") == {
        "progress": {"five": "10"},
        "completions": {"five": 1},
        "badges": ["gold"],
        "points": 15,
    }
    machine.apply({"facts": GOAL_OF_5["facts"]})  # even if the rules have gone in between
    part(machine, "u", "anon")
    assert (shown(machine, "u")["points"], shown(machine, "anon")["points"]) == (15, 15)
    assert (shown(machine, "u")["badges"], shown(machine, "anon")["badges"]) == (["gold"], ["gold"])


def test_a_badge_that_was_taken_back_from_one_id_is_taken_back_from_the_person(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", each) for each in ("anon", "u") for _ in range(5)))
    ControlGrants(machine.engine).revoke(TENANT, "gold", "anon", "a cheat", 1)
    machine.react(identify("u", "anon"))
    assert shown(machine, "u")["badges"] == []
    part(machine, "u", "anon")
    assert (shown(machine, "u")["badges"], shown(machine, "anon")["badges"]) == (["gold"], [])


def test_points_granted_to_any_id_are_the_persons(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    grants = ControlGrants(machine.engine)
    grants.grant(TENANT, Grant("anon", 7), "first", 1)
    machine.react(identify("u", "anon"))
    assert grants.grant(TENANT, Grant("u", -6), "second", 1).balance == 1
    assert grants.grant(TENANT, Grant("anon", 2), "third", 1).balance == 3
    part(machine, "u", "anon")
    assert (shown(machine, "u")["points"], shown(machine, "anon")["points"]) == (-6, 9)


def test_an_id_that_comes_later_counts_for_the_person_it_was_joined_to(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", "u") for _ in range(3)))
    machine.react(identify("u", "anon"))  # nothing of it is known to the rules
    machine.restart()
    machine.react(*(event("order", "anon") for _ in range(2)))
    assert shown(machine, "u")["points"] == shown(machine, "anon")["points"] == 15


def join_people_alone(machine: Machine, user: str, anonymous: str) -> None:
    """As a version did that knew people and did not join what they had earned."""
    joined = Statement(user, (anonymous,), "identify")
    states = ControlPeopleStates(machine.engine)
    state = states.load(TENANT, applying.needs([joined]))
    applying.apply(state, joined, 1, 1)
    transact(machine.engine, lambda connection: states.save(connection, TENANT, state))


def test_ids_that_were_joined_before_that_cost_others_no_correction(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", each) for each in ("x", "y", "u") for _ in range(5)), identify("x", "y"))
    join_people_alone(machine, "u", "anon")
    machine.react(event("order", "anon"), event("order", "x"), identify("x", "z"))
    assert (shown(machine, "x")["points"], shown(machine, "u")["points"]) == (15, 15)
    part(machine, "x", "y")
    assert (shown(machine, "x")["points"], shown(machine, "y")["points"]) == (15, 15)


def test_ids_that_were_joined_before_participants_followed_their_persons_earn_nothing_twice(machine: Machine) -> None:
    machine.apply(GOAL_OF_5)
    machine.react(*(event("order", "u") for _ in range(5)))
    join_people_alone(machine, "u", "anon")
    machine.react(event("order", "anon"), identify("u", "third"))
    assert (shown(machine, "u")["points"], shown(machine, "u")["completions"]) == (15, {"five": 1})
    assert len(effects(machine, "challenge")) == len(effects(machine, "badge")) == 1
    part(machine, "u", "anon")
    assert (shown(machine, "u")["points"], shown(machine, "anon")["points"]) == (15, 0)


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


@given(
    _moves,
    st.sampled_from(
        [
            {"goal": 3},
            {"goal": 2, "repeat": True},
            {"goal": 3, "measure": {"distinct": "item"}},
            {"goal": 2.5, "measure": {"sum": "item"}, "repeat": True},
            {"goal": 3, "measure": "streak"},
            {"goal": 2, "measure": "streak", "repeat": True},
            {"goal": 4, "measure": "streak", "freezes": 2},
            {"goal": 2, "window": {"per": "week"}, "repeat": True},
            {"goal": 2, "window": {"days": 3}},
            {"goal": 2, "window": {"days": 3}, "measure": {"distinct": "item"}},
        ]
    ),
)
def test_an_outcome_is_the_standing_that_counting_has_led_to(
    moves: list[tuple[str, int, int]], rule: dict[str, Any]
) -> None:
    one, state = challenge(**rule), State()
    for number, (_, day, item) in enumerate(moves):
        bucket = one.bucket(day * DAY_MS)
        assert bucket is not None
        one.count([Fact(f"fact_{number}", "custom.f", fields={"item": item})], "u", bucket, state)
    found, held = one.outcome(state.buckets.get((1, "u"), {})), state.standing(1, "u")
    assert (found.completions, one.size(found.best)) == (held.completions, one.size(held.best))
