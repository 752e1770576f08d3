"""A rebuild, and its dry run, where several ids are one person."""

from typing import Any

import pytest

from tests.people.test_participants import identify
from tests.reactions.given import Machine, event, record_of
from tests.reactions.test_rebuild import balances, rebuild

GOLD: dict[str, Any] = {"id": "gold", "challenge": "five", "points": 3}


def rules(fact: int, challenge: int, *badges: dict[str, Any], fact_type: str = "purchase") -> dict[str, Any]:
    return {
        "facts": [{"id": "buy", "event": "order", "fact_type": fact_type, "points": fact}],
        "challenges": [{"id": "five", "fact": fact_type, "goal": 5, "points": challenge}],
        "badges": list(badges),
    }


OLD = rules(5, 10, GOLD)


@pytest.mark.parametrize(
    ("old", "new", "corrections", "corrected", "balance"),
    [
        (OLD, rules(5, 10, GOLD, fact_type="bought"), 0, 0, 8 * 5 + 10 + 3),  # new versions, which have been paid for
        (
            OLD,
            rules(6, 11, GOLD, fact_type="bought"),
            0,
            0,
            8 * 6 + 11 + 3,
        ),  # … and pay the rest when they are replayed
        (OLD, rules(4, 9, fact_type="bought"), 3, -8 - 1 - 3, 8 * 4 + 9),
        (OLD, rules(7, 10, GOLD), 1, 16, 8 * 7 + 10 + 3),  # the same versions
        (rules(5, 10), OLD, 0, 0, 8 * 5 + 10 + 3),  # a badge that the replay gives, once
    ],
)
def test_a_dry_run_foresees_of_joined_ids_what_the_rebuild_then_does(
    machine: Machine, old: dict[str, Any], new: dict[str, Any], corrections: int, corrected: int, balance: int
) -> None:
    # The fifth order, which completes the challenge, is of the id that the person does not go by.
    ids = ["anon", "u", "anon", "u", "anon", "u", "anon", "u"]
    events = [identify("u", "anon"), *(event("order", each, day=1 + day) for day, each in enumerate(ids))]
    machine.store.insert([record_of(each) for each in events])
    machine.apply(old)
    machine.react(*events)
    machine.apply(new)
    foreseen = machine.rehearse()
    job = rebuild(machine)
    assert (job.status, job.corrections, job.corrected_points) == ("done", corrections, corrected)
    assert (foreseen.corrections, foreseen.corrected_points) == (corrections, corrected)
    assert (foreseen.effects, foreseen.failed) == (job.effects, 0)
    assert {each.participant for each in foreseen.first_corrections} <= {"u"}
    assert sum(balances(machine).values()) == balance
