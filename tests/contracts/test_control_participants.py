"""What control promises of participants that follow a merge, on SQLite and on PostgreSQL 18."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control.grants import ControlGrants
from headrace.control.ledger import ControlLedger
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.control.scoreboard import Scoreboard
from headrace.control.tables.ledger import points
from headrace.model.event import StoredEvent, Tenant
from headrace.model.ledger import Grant
from headrace.model.person import Statement
from headrace.model.reaction_state import Caused
from headrace.model.webhook import Call, Message, key_of_entry
from headrace.people import applying
from headrace.pipeline.applying_rules import apply_rules
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.reactions import event_facts, regrouping
from tests.reactions.given import event

TENANT, TEST = Tenant("p", "live"), Tenant("p", "test")
ODD = "é/%\x00\x01'\u2028😀"
RULES = {
    "facts": [{"id": "buy", "event": "order", "fact_type": "purchase", "points": 1}],
    "challenges": [{"id": "three", "fact": "purchase", "goal": 3, "points": 10}],
    "badges": [{"id": "gold", "challenge": "three", "points": 5}],
}


class Control:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.states = ControlReactionStates(engine)
        self.reactions = Reactions(self.states, RuleTimelines(Rulebook(engine)))
        self.people_states = ControlPeopleStates(engine)
        text = msgspec.json.encode(RULES)
        apply_rules(Rulebook(engine), TENANT.project, text, 1, last=lambda: 0, dry_run=False)

    def order(self, user: str, times: int, tenant: Tenant = TENANT) -> None:
        events = [event("order", user, mode=tenant.mode) for _ in range(times)]
        self.reactions.replay(tenant, events, force=False, dry_run=False)

    def merge(self, kept: str, other: str, tenant: Tenant = TENANT) -> StoredEvent:
        """As a turn of the reactor does."""
        by = event("alias", kept, mode=tenant.mode)
        people = self.people_states.load(tenant, applying.needs([Statement(kept, (), "alias", other)]))
        applying.apply(people, Statement(kept, (), "alias", other), by.timestamp_ms, by.position)
        ids = (kept, *(each for each in people.ids if each != kept))
        rules = self.reactions.rules_in_force(tenant.project)
        state = self.states.load(tenant, event_facts.needs(rules, [], whole=ids))
        regrouping.merge(rules, state, event_facts.facts_of_event(rules, by.id, by), ids)
        self.states.save(tenant, state, 0, lambda made: self.people_states.save(made, tenant, people))
        return by

    def part(self, one: str, other: str, tenant: Tenant = TENANT) -> None:
        PeopleAdmin(ControlPeople(self.engine), self.people_states, self.states, self.reactions).part(
            tenant, one, other
        )

    def has(self, name: str, tenant: Tenant = TENANT) -> tuple[str, int, int, list[str]]:
        """(who it is, points, completions, badges)."""
        score = Scoreboard(self.engine).participant(tenant, name, [])
        assert score is not None
        whole = score.state.participant(name)
        completions = sum(each.completions for each in score.state.standings.values())
        assert ControlLedger(self.engine).entries(tenant, name, "", 100).points == score.balance
        return whole, score.balance, completions, [award.badge for award in score.awards]


def test_a_merge_and_its_undoing_within_one_tenant(engine: Engine) -> None:
    control = Control(engine)
    for tenant in (TENANT, TEST):
        control.order(ODD, 2, tenant)
        control.order("a", 1, tenant)
    by = control.merge(ODD, "a")
    assert control.has("a") == control.has(ODD) == (ODD, 3 + 10 + 5, 1, ["gold"])
    effects = [(caused.kind, caused.ordinal, caused.participant) for caused, *_ in control.states.effects(by.id)]
    assert effects == [
        *(("challenge", 2, ODD), ("points", 3, ODD)),
        *(("badge", 2, ODD), ("points", 3, ODD)),
    ]
    assert control.has(ODD, TEST) == (ODD, 2, 0, [])
    board = ControlLedger(engine).leaderboard(TENANT, None, None, 10, 0, around="a")
    assert board is not None
    assert [(row.participant, row.scores["points"]) for row in board.rows] == [(ODD, 18)]
    control.part("a", ODD)
    assert (control.has("a"), control.has(ODD)) == (("a", 1, 0, []), (ODD, 2, 0, []))
    control.order("a", 2)
    control.merge(ODD, "a")
    assert control.has("a") == (ODD, 5 + 10 + 5, 1, ["gold"])


def test_two_who_have_both_earned_it_have_it_once_and_each_again(engine: Engine) -> None:
    control = Control(engine)
    control.order("u", 3)
    control.order("a", 4)
    assert (control.has("u")[1], control.has("a")[1]) == (18, 19)
    control.merge("u", "a")
    assert control.has("u") == ("u", 7 + 10 + 5, 1, ["gold"])
    assert Scoreboard(engine).holder_counts(TENANT) == {"gold": 1}
    listed = ControlLedger(engine).participants(TENANT, "", 10)
    assert [(each.name, each.points, each.badges) for each in listed.found] == [("u", 22, 1)]
    control.part("u", "a")
    assert control.has("u") == ("u", 18, 1, ["gold"])
    assert control.has("a") == ("a", 19, 1, ["gold"])
    assert Scoreboard(engine).holder_counts(TENANT) == {"gold": 2}


def test_webhooks_are_told_of_what_a_merge_and_its_undoing_book(engine: Engine) -> None:
    control = Control(engine)
    outbox = KeptMessages()
    control.states = ControlReactionStates(engine, None, outbox)
    control.order("u", 3)
    control.order("a", 3)
    by = control.merge("u", "a")
    entries = [(each.key, msgspec.json.decode(each.data)) for each in outbox.messages]
    assert sorted((data["participant"], data["points"], data["entry"], data["rule"]) for _, data in entries) == [
        ("u", -10, "merged", "three"),
        ("u", -5, "merged", "gold"),
    ]
    with engine.connect() as connection:
        rows = connection.execute(sa.select(points).where(points.c.kind == "merged")).all()
    assert {key for key, _ in entries} == {key_of_entry(by.id, row.rule_no, row.ordinal) for row in rows}
    outbox.messages.clear()
    control.part("u", "a")
    told = [msgspec.json.decode(each.data) for each in outbox.messages]
    assert sorted((data["points"], data["rule"]) for data in told) == [(5, "gold"), (10, "three")]


class KeptMessages:
    """An outbox that keeps what it is told of the ledger."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, transaction: object, tenant: Tenant, messages: Sequence[Message], /) -> None:
        self.messages += messages

    def effects(self, transaction: object, tenant: Tenant, effects: Sequence[Caused], /) -> None: ...

    def call(self, transaction: object, tenant: Tenant, calls: Sequence[Call], /) -> None: ...


def test_grants_beside_merges_and_undoings_lose_no_point(engine: Engine) -> None:
    control = Control(engine)
    control.order("u", 1)
    control.order("a", 1)
    grants, failed = ControlGrants(engine), list[BaseException]()

    def granting(name: str) -> None:
        for number in range(20):
            grants.grant(TENANT, Grant(name, 1), f"{name}{number}", 1)

    def merging() -> None:
        for _ in range(5):
            control.merge("u", "a")
            control.part("u", "a")
        control.merge("u", "a")

    _together(failed, lambda: granting("u"), lambda: granting("a"), merging)
    assert not failed
    assert control.has("u")[1] == control.has("a")[1] == 2 + 40


def _together(failed: list[BaseException], *works: Callable[[], Any]) -> None:
    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
