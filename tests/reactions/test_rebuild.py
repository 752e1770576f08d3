"""A rebuild brings the ledger to what the rules in force give, says so beforehand, and changes nothing the second time."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from headrace.control.settlement import Settlement
from headrace.model.errors import Unavailable
from headrace.model.filters import Filters, Selection
from headrace.model.ledger import Correction
from headrace.model.rehearsal import Rehearsed
from headrace.model.replay_job import ReplayJob
from headrace.replay.rebuild import Rebuild
from tests.contracts.test_control_participants import KeptMessages
from tests.reactions.given import TENANT, Machine, event, record_of


def rules(fact: int, challenge: int, *badges: dict[str, Any], fact_type: str = "purchase") -> dict[str, Any]:
    counted = {"id": "two", "fact": fact_type, "goal": 2, "points": challenge}
    return {
        "facts": [{"id": "buy", "event": "order", "fact_type": fact_type, "points": fact}],
        "challenges": [counted],
        "badges": list(badges),
    }


GOLD: dict[str, Any] = {"id": "gold", "challenge": "two", "points": 3}


def given(machine: Machine, document: dict[str, Any]) -> None:
    """Two orders of one participant and one of another, stored and reacted to."""
    orders = [event("order"), event("order", day=1), event("order", "v")]
    machine.store.insert([record_of(each) for each in orders])
    machine.apply(document)
    machine.react(*orders)


def rebuild(machine: Machine) -> ReplayJob:
    job = machine.start_job(Selection(None, Filters(), None), force=False, rebuild=True)
    machine.work(lambda _: None)
    return machine.jobs.get(TENANT, job.id)


def rebuilt(machine: Machine) -> list[tuple[str, str, int, int]]:
    """(participant, rule, points, credited) of what rebuilds have booked."""
    return machine.rows(
        "select p.name, r.rule_id, t.points, t.credited from points t join rules r on r.no = t.rule_no "
        "join participants p on p.no = t.participant_no where t.kind = 'rebuilt'"
    )


def balances(machine: Machine) -> dict[str, int]:
    return dict(machine.rows("select p.name, b.balance from balances b join participants p on p.no = b.participant_no"))


def test_what_rules_pay_now_is_booked_as_corrections_and_once(machine: Machine) -> None:
    given(machine, rules(5, 10, GOLD))
    assert balances(machine) == {"u": 5 + 5 + 10 + 3, "v": 5}
    machine.apply(rules(8, 4))  # and the badge is gone
    foreseen: Rehearsed = machine.rehearse()
    assert (foreseen.corrections, foreseen.corrected_points) == (4, 6 - 6 - 3 + 3)
    assert (foreseen.effects, foreseen.suppressed) == (0, 3 * 2 + 2), "each has happened, with its points"
    job = rebuild(machine)
    assert (job.status, job.corrections, job.corrected_points) == ("done", 4, 0)
    assert rebuilt(machine) == [("u", "buy", 6, 0), ("u", "gold", -3, 0), ("u", "two", -6, 0), ("v", "buy", 3, 0)]
    assert balances(machine) == {"u": 8 + 8 + 4, "v": 8}
    again = rebuild(machine)
    assert (again.status, again.corrections, again.corrected_points) == ("done", 0, 0)
    assert len(rebuilt(machine)) == 4


def test_what_an_earlier_version_paid_is_counted_and_only_challenges_use_up_a_credit(machine: Machine) -> None:
    given(machine, rules(5, 10, GOLD))
    machine.apply(rules(5, 10, GOLD, fact_type="bought"))  # all three are new versions
    foreseen = machine.rehearse()
    assert (foreseen.effects, foreseen.points, foreseen.corrections) == (5, 0, 0)
    job = rebuild(machine)
    assert (job.status, job.corrected_points) == ("done", 0)
    assert job.effects == 3 + 1 + 1, "of the new versions; and nothing is paid for them"
    assert balances(machine) == {"u": 23, "v": 5}
    assert [each for each in rebuilt(machine) if each[1] != "two"] == []
    assert rebuild(machine).effects == 0
    assert balances(machine) == {"u": 23, "v": 5}


def test_webhooks_are_told_of_each_correction_and_of_no_credit(machine: Machine) -> None:
    outbox = KeptMessages()
    machine.rebuild = Rebuild(Settlement(machine.engine, outbox), machine.reactions.payers, lambda: 1)  # pyright: ignore[reportArgumentType]
    given(machine, rules(5, 10))
    machine.apply(rules(8, 10, fact_type="bought"))
    rebuild(machine)
    assert outbox.messages == []
    machine.apply(rules(9, 10, fact_type="bought"))
    rebuild(machine)
    told = [msgspec.json.decode(each.data) for each in outbox.messages]
    assert sorted((each["participant"], each["rule"], each["points"]) for each in told) == [
        ("u", "buy", 2),
        ("v", "buy", 1),
    ]


def test_a_dry_run_is_refused_if_rules_are_applied_while_it_looks_for_corrections(machine: Machine) -> None:
    given(machine, rules(5, 10))
    machine.apply(rules(8, 10))
    foresee = machine.rebuild.foresee

    def foresee_late(*args: Any) -> Iterator[Sequence[Correction]]:
        for page in foresee(*args):
            machine.apply(rules(9, 10))
            yield page

    machine.rebuild.foresee = foresee_late  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="repeat it"):
        machine.rehearse()
