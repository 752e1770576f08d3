"""What the Grants port promises, on both databases: each key once, no balance below zero unsaid, badges taken back for good."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from headrace.control.database import reading
from headrace.control.grants import MAX_BALANCE, ControlGrants
from headrace.control.ledger import ControlLedger
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.control.scoreboard import Scoreboard
from headrace.control.tables.ledger import balances, points
from headrace.model.errors import Conflict, NotFound
from headrace.model.event import StoredEvent, Tenant, event_id, first_position
from headrace.model.ledger import Grant
from headrace.pipeline.applying_rules import apply_rules
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.ports.ledger import Grants
from tests.contracts.rivals import Rival, before
from tests.engine import NOW_MS

TENANT, OTHER = Tenant("p", "live"), Tenant("p", "test")
_tenants = itertools.count()


def balance(engine: Engine, tenant: Tenant, name: str) -> int:
    page = ControlLedger(engine).entries(tenant, name, "", 1)
    [found] = [each for each in ControlLedger(engine).participants(tenant, "", 100).found if each.name == name]
    assert found.points == page.points, "the balance is the sum of the ledger"
    return found.points


requests = st.tuples(
    st.sampled_from(["k1", "k2", "k3", "k4", "\x00"]),
    st.builds(
        Grant,
        st.sampled_from(["u", "v/1"]),
        st.sampled_from([-30, -10, -1, 1, 10, 25]),
        st.sampled_from(["", "because"]),
        st.booleans().map(bool),
    ),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(asked=st.lists(requests, max_size=14))
def test_each_key_grants_once_and_no_balance_falls_below_zero_unless_allowed(
    engine: Engine, asked: list[tuple[str, Grant]]
) -> None:
    grants: Grants = ControlGrants(engine)
    tenant = Tenant(f"project-{next(_tenants)}", "live")
    made: dict[str, tuple[Grant, int]] = {}
    wanted = {"u": 0, "v/1": 0}
    for key, grant in asked:
        after = wanted[grant.participant] + grant.points
        if key in made:
            if made[key][0] != grant:
                with pytest.raises(Conflict, match="another grant"):
                    grants.grant(tenant, grant, key, NOW_MS)
                continue
            found = grants.grant(tenant, grant, key, NOW_MS + 5)
            assert (found.repeated, found.balance) == (True, made[key][1])
        elif grant.points < 0 and after < 0 and not grant.allow_negative:
            with pytest.raises(Conflict, match="cannot be deducted"):
                grants.grant(tenant, grant, key, NOW_MS)
        else:
            found = grants.grant(tenant, grant, key, NOW_MS)
            assert (found.repeated, found.balance) == (False, after)
            made[key] = grant, after
            wanted[grant.participant] = after
    names = {each.name for each in ControlLedger(engine).participants(tenant, "", 100).found}
    assert {name: balance(engine, tenant, name) for name in names} == {name: wanted[name] for name in names}
    assert ControlLedger(engine).entries(tenant, None, "", 100).total == len(made)


def test_a_key_belongs_to_its_project_and_mode(engine: Engine) -> None:
    grants = ControlGrants(engine)
    for tenant in (TENANT, OTHER, Tenant("q", "live")):
        assert not grants.grant(tenant, Grant("u", 5), "key", NOW_MS).repeated
    assert balance(engine, TENANT, "u") == 5


def test_a_balance_stays_within_what_every_client_reads_exactly(engine: Engine) -> None:
    grants = ControlGrants(engine)
    grants.grant(TENANT, Grant("u", MAX_BALANCE), "1", NOW_MS)
    with pytest.raises(Conflict, match="must stay between"):
        grants.grant(TENANT, Grant("u", 1), "2", NOW_MS)
    grants.grant(TENANT, Grant("v", -MAX_BALANCE, allow_negative=True), "3", NOW_MS)
    with pytest.raises(Conflict, match="must stay between"):
        grants.grant(TENANT, Grant("v", -1, allow_negative=True), "4", NOW_MS)


@pytest.mark.parametrize("same_key", [True, False])
def test_two_deductions_at_once_never_both_find_enough(engine: Engine, other: Engine, same_key: bool) -> None:
    ControlGrants(engine).grant(TENANT, Grant("u", 10), "begin", NOW_MS)
    rivals: list[Rival] = []

    def deduct() -> bool | str:
        try:
            return ControlGrants(other).grant(TENANT, Grant("u", -7), "a" if same_key else "b", NOW_MS).repeated
        except Conflict as refused:
            return str(refused)

    def meet() -> None:
        if not rivals:
            rivals.append(Rival(deduct))
            rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO points", meet)
    assert ControlGrants(engine).grant(TENANT, Grant("u", -7), "a", NOW_MS).balance == 3
    found = rivals[0].result()
    assert found is True if same_key else "has 3 points" in str(found)
    assert balance(engine, TENANT, "u") == 3


RULES = b"""
badges:
  - {id: first, fact: custom.visit, count: 1, points: 5}
  - {id: second, fact: custom.visit, count: 2}
  - {id: both, badges: [first, second], points: 50}
"""


class Visits:
    def __init__(self, engine: Engine) -> None:
        apply_rules(Rulebook(engine), "p", RULES, 1, last=lambda: 0, dry_run=False)
        self._reactions = Reactions(ControlReactionStates(engine), RuleTimelines(Rulebook(engine)))
        self._positions = itertools.count(first_position(NOW_MS))

    def visit(self, user: str = "u") -> None:
        position = next(self._positions)
        event = StoredEvent(
            "p", "live", "flux", "visit", NOW_MS, user_id=user, id=event_id(position, 1), position=position
        )
        self._reactions.replay(TENANT, [event], force=False, dry_run=False)


def held(engine: Engine) -> set[str]:
    score = Scoreboard(engine).participant(TENANT, "u", [])
    assert score is not None
    return {award.badge for award in score.awards}


def test_a_badge_taken_back_is_held_no_more_counts_for_no_other_and_is_not_earned_again(engine: Engine) -> None:
    visits, grants = Visits(engine), ControlGrants(engine)
    visits.visit()
    assert held(engine) == {"first"}
    revoked = grants.revoke(TENANT, "first", "u", "it was a robot", NOW_MS)
    assert (revoked.reason, revoked.repeated) == ("it was a robot", False)
    for _ in range(3):
        visits.visit()
    assert held(engine) == {"second"}, "without the first, both are not held either"
    assert balance(engine, TENANT, "u") == 5, "its points stay, and are not paid again"
    again = grants.revoke(TENANT, "first", "u", "another reason", NOW_MS + 9)
    assert (again.reason, again.revoked_at_ms, again.repeated) == ("it was a robot", NOW_MS, True)
    assert [each.participant for each in grants.revocations(TENANT, "first", 9, 0)] == ["u"]
    assert grants.revocations(OTHER, "first", 9, 0) == []
    assert Scoreboard(engine).holder_counts(TENANT) == {"second": 1}
    assert Scoreboard(engine).holders(TENANT, "first", 9, 0) == []


@pytest.mark.parametrize(
    ("tenant", "badge", "user"), [(OTHER, "first", "u"), (TENANT, "both", "u"), (TENANT, "first", "v")]
)
def test_what_nobody_holds_cannot_be_taken_back(engine: Engine, tenant: Tenant, badge: str, user: str) -> None:
    Visits(engine).visit()
    with pytest.raises(NotFound, match="does not hold"):
        ControlGrants(engine).revoke(tenant, badge, user, "why", NOW_MS)


def test_a_badge_taken_back_while_an_event_is_judged_counts_for_no_other(engine: Engine, other: Engine) -> None:
    visits = Visits(engine)
    visits.visit()
    taken: list[Any] = []

    def take_back() -> None:
        if not taken:
            taken.append(ControlGrants(other).revoke(TENANT, "first", "u", "why", NOW_MS))

    states: Callable[..., Any] = ControlReactionStates.load

    def load(self: ControlReactionStates, *given: Any) -> Any:
        found = states(self, *given)
        take_back()
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ControlReactionStates, "load", load)
        visits.visit()
    assert held(engine) == {"second"}


def test_balances_are_those_of_the_ledger_whatever_wrote_it(engine: Engine) -> None:
    visits, grants = Visits(engine), ControlGrants(engine)
    for number, user in enumerate(["u", "v", "u", "v", "u"]):
        visits.visit(user)
        grants.grant(TENANT, Grant(user, number - 2, allow_negative=True), str(number), NOW_MS)
    with reading(engine) as connection:
        sums = connection.execute(
            sa.select(points.c.participant_no, sa.func.sum(points.c.points)).group_by(points.c.participant_no)
        )
        kept = connection.execute(sa.select(balances.c.participant_no, balances.c.balance))
        assert sorted((no, int(together)) for no, together in sums) == sorted(map(tuple, kept))
