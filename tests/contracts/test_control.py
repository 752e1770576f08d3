"""What control promises, on SQLite and on PostgreSQL 18: keys, projects, rules, offsets, and any text."""

import itertools
import json
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from headrace.control import database
from headrace.control import text as text_of
from headrace.control.api_keys import Keys
from headrace.control.database import reading, transact, writing
from headrace.control.keyring import Keyring
from headrace.control.leases import ControlLeases
from headrace.control.locks import lock_tenant
from headrace.control.offsets import ControlOffsets, move
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.control.scoreboard import Scoreboard
from headrace.control.tables import metadata
from headrace.control.tables.projects import projects
from headrace.model.errors import InvalidKey, InvalidRequest, NotFound, OtherRules
from headrace.model.event import StoredEvent, Tenant, event_id
from headrace.model.lease import Lease
from headrace.model.reaction_state import Caused, Needs
from headrace.model.rulebook import Application, Fired, PassedOver, RuleRow
from headrace.pipeline.applying_rules import apply_rules
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.ports.control import ControlConflict, ControlFailed, LeaseLost, Offsets
from headrace.ports.keys import KeyStore
from headrace.ports.reactions import ReactionStates
from headrace.ports.rules import PassedOverEvents, RuleHistory, RuleStore
from headrace.ports.scores import Scores
from tests.contracts.rivals import Rival, before
from tests.engine import NOW_MS

TENANT = Tenant("p", "live")
RULES = b"""
facts:
  - {id: buy, event: n, fact_type: purchase, fields: {who: properties.who}, points: 1}
challenges:
  - {id: buyer, fact: purchase, goal: 2, points: 5}
badges:
  - {id: gold, challenge: buyer, points: 7}
"""
EFFECTS = ["badge", "challenge", "fact", "points", "points", "points"]
MEANING = ("fact", "buy", "v1")


def names(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return sorted(connection.scalars(sa.select(projects.c.name)))


# Keys and projects


def test_a_key_is_found_by_its_secret_and_not_after_it_is_revoked(engine: Engine) -> None:
    keys: KeyStore = Keys(engine)
    key, secret = keys.create("shop", "live", "publishable", None, 5, 9, ["https://a.example"])
    assert keys.find(secret) == key
    assert keys.find(secret + "x") is None
    assert keys.list() == (key,)
    revoked = keys.revoke(key.prefix, 7)
    assert (revoked.id, revoked.revoked_at_ms) == (key.id, 7)
    assert keys.revoke(key.id, 8) == revoked
    keyring = Keyring(keys, "", lambda: 8)
    with pytest.raises(InvalidKey):
        keyring.check(secret)


@pytest.mark.parametrize("secret", ["", "\x00", "\ud800", "a\x00b", "é" * 512])
def test_a_secret_of_any_text_is_unknown_and_no_failure(engine: Engine, secret: str) -> None:
    assert Keys(engine).find(secret) is None
    with pytest.raises((NotFound, InvalidRequest)):
        Keys(engine).revoke(secret, 1)


def test_two_processes_make_one_new_project_at_once(engine: Engine, other: Engine) -> None:
    rivals: list[Rival] = []

    def meet() -> None:  # the project is there, and not committed
        rivals.append(Rival(lambda: Keys(other).create("shop", "live", "flux", None, 2)))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO keys", meet)
    Keys(engine).create("shop", "live", "flux", None, 1)
    rivals[0].result()
    assert names(engine) == ["shop"]
    assert len(Keys(engine).list()) == 2


# Rules


def test_rules_are_in_force_once_applied_and_keep_their_numbers(engine: Engine) -> None:
    rules: RuleStore = Rulebook(engine)
    assert (rules.current("p"), rules.rule_set_ids(), rules.timeline("p", 0)) == (None, {}, [])
    assert rules.apply(Application("p", "v1", '{"a":1}', [MEANING]), 1, lambda: 5)
    assert not rules.apply(Application("p", "v1", '{"a":1}', [MEANING]), 2, lambda: 6)
    assert rules.apply(Application("p", "v2", "{}", [MEANING, ("badge", "gold", "v2")]), 3, lambda: 7)
    found = rules.current("p")
    assert found is not None
    version, rows = found
    assert (version.version, version.document, version.applied_at_ms) == ("v2", "{}", 3)
    assert [(row.kind, row.rule_id, row.version) for row in rows] == [MEANING, ("badge", "gold", "v2")]
    assert rules.rule_set_ids() == {"p": version.id}
    assert [(after, each.version) for after, each, _ in rules.timeline("p", 0)] == [(5, "v1"), (7, "v2")]
    assert [(after, each.version) for after, each, _ in rules.timeline("p", 7)] == [(7, "v2")]
    looked: RuleHistory = Rulebook(engine)
    assert [each.version for each in looked.history("p", 9)] == ["v2", "v1"]
    assert looked.failures(9) == []


def test_the_text_that_was_sent_is_kept_with_each_version_and_the_newest_of_the_same_content(engine: Engine) -> None:
    rules: RuleStore = Rulebook(engine)
    history: RuleHistory = Rulebook(engine)
    for version, source in (
        ("v1", "# one"),
        ("v2", "# two"),
        ("v2", "# two, said better"),
        ("v1", "# back \x00 \ud7ff"),
    ):
        rules.apply(Application("p", version, "{}", [], source=source), 1, lambda: 0)
    rules.apply(Application("q", "v3", "{}", []), 1, lambda: 0)
    in_place = rules.current("p")
    assert in_place
    assert in_place[0].source == "# back \x00 \ud7ff"
    found = {each: history.applied("p", each) for each in ("v1", "v2", "v3")}
    assert found["v1"] == in_place[0]
    assert found["v2"]
    assert found["v2"].source == "# two, said better"
    assert found["v3"] is None


def test_rules_that_replace_others_than_those_in_force_are_refused_whole(engine: Engine, other: Engine) -> None:
    """Also if the others have been committed just before, after this change has looked."""
    rules: RuleStore = Rulebook(engine)
    assert rules.apply(Application("p", "v1", "{}", []), 1, lambda: 0, replaces=lambda version: version == "")
    rivals: list[Rival] = []

    def meet() -> None:
        change = partial(Rulebook(other).apply, Application("p", "v3", "{}", [MEANING]), 2, lambda: 0)
        rivals.append(Rival(lambda: change(replaces=lambda version: version == "v1")))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO rule_sets", meet)
    assert rules.apply(Application("p", "v2", "{}", []), 2, lambda: 0, replaces=lambda version: version == "v1")
    with pytest.raises(OtherRules, match="v2"):
        rivals[0].result()
    in_place = rules.current("p")
    assert in_place
    assert (in_place[0].version, in_place[1]) == ("v2", [])


def test_of_each_project_the_rules_that_failed_most_often_are_told(engine: Engine) -> None:
    history: RuleHistory = Rulebook(engine)
    for project, failures in (("p", (3, 1, 2)), ("another", (1,))):
        meanings = [("fact", f"r{number}", "v1") for number in range(len(failures))]
        Rulebook(engine).apply(Application(project, "v1", "{}", meanings), 1, lambda: 0)
        found = Rulebook(engine).current(project)
        assert found is not None
        tenant = Tenant(project, "live")
        states: ReactionStates = ControlReactionStates(engine)
        state = states.load(tenant, Needs([], [], {}))
        state.failures = {row.no: (count, "e", "w") for row, count in zip(found[1], failures, strict=True)}
        states.save(tenant, state)
    assert sorted(history.failures(2)) == [("another", "r0", 1), ("p", "r0", 3), ("p", "r2", 2)]


def test_events_that_a_rule_did_not_look_at_are_counted_and_listed_to_their_own_tenant(engine: Engine) -> None:
    Rulebook(engine).apply(Application("p", "v1", "{}", [MEANING]), 1, lambda: 0)
    history: PassedOverEvents = Rulebook(engine)
    [rule] = rows_of(engine)
    states: ReactionStates = ControlReactionStates(engine)
    for tenant, event_ids in ((TENANT, ["c", "a", "b"]), (Tenant("p", "test"), ["d"])):
        state = states.load(tenant, Needs([], [], {}))
        state.passed_over = [(rule.no, each, f"why {each}") for each in event_ids] + [(0, "z", "all")]
        states.save(tenant, state)
    assert history.passed_over(TENANT, rule.no, "", 2) == [PassedOver("a", "why a"), PassedOver("b", "why b")]
    assert history.passed_over(TENANT, rule.no, "b", 2) == [PassedOver("c", "why c")]
    assert history.passed_over(Tenant("p", "test"), rule.no, "", 9) == [PassedOver("d", "why d")]
    assert history.passed_over(TENANT, 0, "", 9) == [PassedOver("z", "all")]
    assert history.passed_over(Tenant("q", "live"), 0, "", 9) == []
    assert (history.passed_over_by_all("p"), history.passed_over_by_all("q")) == ({"live": 1, "test": 1}, {})
    assert [row.passed_over for row in rows_of(engine)] == [4]


def test_how_often_rules_fired_is_told_to_their_own_tenant_and_of_the_newest_event(engine: Engine) -> None:
    history: RuleHistory = Rulebook(engine)
    Rulebook(engine).apply(Application("p", "v1", "{}", [MEANING, ("badge", "gold", "v1")]), 1, lambda: 0)
    Rulebook(engine).apply(Application("q", "v1", "{}", [MEANING]), 1, lambda: 0)
    fact, badge = (row.no for row in rows_of(engine))
    states: ReactionStates = ControlReactionStates(engine)
    for tenant, found in (
        (TENANT, [(fact, "fact", "b"), (fact, "points", "b"), (badge, "badge", "b"), (fact, "fact", "c")]),
        (TENANT, [(fact, "fact", "a")]),
        (Tenant("p", "test"), [(fact, "fact", "d")]),
    ):
        state = states.load(tenant, Needs([], [], {}))
        for ordinal, (no, kind, event) in enumerate(found):
            state.cause(Caused(event, no, ordinal, 0, kind, "", 1, {}))
        states.save(tenant, state)
    assert history.fired(TENANT) == {fact: Fired(3, "c"), badge: Fired(1, "b")}
    assert history.fired(Tenant("p", "test")) == {fact: Fired(1, "d")}
    assert history.fired(Tenant("q", "live")) == {}


def rows_of(engine: Engine) -> list[RuleRow]:
    found = Rulebook(engine).current("p")
    assert found is not None
    return found[1]


@pytest.mark.parametrize("is_known", [False, True], ids=["new project", "known project"])
def test_of_two_documents_at_once_the_last_committed_is_in_force(engine: Engine, other: Engine, is_known: bool) -> None:
    if is_known:
        Rulebook(engine).apply(Application("p", "v0", "{}", []), 1, lambda: 0)
    rivals: list[Rival] = []

    def meet() -> None:
        rivals.append(Rival(lambda: Rulebook(other).apply(Application("p", "second", "{}", [MEANING]), 2, lambda: 0)))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO rule_sets", meet)
    assert Rulebook(engine).apply(Application("p", "first", "{}", [MEANING]), 1, lambda: 0)
    assert rivals[0].result()
    found = Rulebook(engine).current("p")
    assert found is not None
    assert (found[0].version, len(found[1])) == ("second", 1)


# Offsets


def test_the_position_is_the_greatest_committed(engine: Engine) -> None:
    offsets: Offsets = ControlOffsets(engine)
    assert offsets.position() == 0
    for committed, position in ((5, 5), (3, 5), (5, 5), (2**63 - 1, 2**63 - 1), (0, 2**63 - 1)):
        offsets.commit(committed)
        assert offsets.position() == position
    assert ControlOffsets(engine, "another").position() == 0


def test_two_first_commits_at_once_leave_the_greater(engine: Engine, other: Engine) -> None:
    with writing(engine) as connection:
        move(connection, "worker", 7)
        rival = Rival(lambda: ControlOffsets(other).commit(5))
        rival.wait_until_blocked(engine)
    rival.result()
    assert ControlOffsets(engine).position() == 7


# Reactions


def reactions_over(engine: Engine, lease: Lease | None = None) -> Reactions:
    return Reactions(ControlReactionStates(engine, lease), RuleTimelines(Rulebook(engine)))


def apply(engine: Engine) -> None:
    apply_rules(Rulebook(engine), "p", RULES, 1, last=lambda: 0, dry_run=False)


def stored(user: str, **fields: object) -> StoredEvent:
    position = next(positions)
    usual: dict[str, object] = {"project": "p", "mode": "live", "source": "flux", "name": "n", "timestamp_ms": NOW_MS}
    usual |= {"id": event_id(position, 7), "position": position, "user_id": user}
    return StoredEvent(**usual | fields)  # type: ignore[arg-type]


positions = itertools.count(NOW_MS << 20)
# What SQL, drivers or PostgreSQL could trip over, and what text.py escapes with.
USERS = ("u", "", "a\x00b", "\x00", "\x01", "\x01\x01\x00\x03ffff", "😀" * 255, "\x00" * 255, "'; --", "%s :x $1 \\")


def test_whatever_users_are_called_reactions_count_and_show_them(engine: Engine) -> None:
    apply(engine)
    reactions, scores = reactions_over(engine), Scoreboard(engine)
    for user in USERS:
        who = user or "anon"
        said = json.dumps({"who": who[:50]})
        events = [stored(user, anonymous_id="anon", properties=said) for _ in range(2)]
        assert reactions.replay(TENANT, events, force=False, dry_run=False).failed == [], ascii(user)
        assert reactions.replay(TENANT, events, force=False, dry_run=False).effects == []
        score = scores.participant(TENANT, who, [])
        assert score is not None
        assert (score.balance, [award.badge for award in score.awards]) == (2 + 5 + 7, ["gold"]), ascii(user)
        assert scores.participant(TENANT, who + "\x00", []) is None
        kept = reactions.effects(events[1])
        assert sorted(effect.kind for effect in kept) == EFFECTS
        assert {effect.participant for effect in kept} == {who}
        assert [effect.detail["fields"] for effect in kept if effect.kind == "fact"] == [{"who": who[:50]}]
    holders: Scores = scores
    assert {award.participant for award in holders.holders(TENANT, "gold", 50, 0)} == {user or "anon" for user in USERS}
    assert holders.holder_counts(TENANT) == {"gold": len(USERS)}


def test_participants_are_listed_in_the_order_of_their_bytes(engine: Engine) -> None:
    apply(engine)
    users = ["b", "B", "a", "é", "_", "z", "a\x00", "a\x01", "a\x02"]
    reactions_over(engine).replay(
        TENANT, [stored(user) for user in users for _ in range(2)], force=False, dry_run=False
    )
    listed = [award.participant for award in Scoreboard(engine).holders(TENANT, "gold", 50, 0)]
    assert listed == sorted(users, key=str.encode)


@pytest.mark.parametrize("statement", ["INSERT INTO reaction_progress", "INSERT INTO markers"])
@pytest.mark.parametrize("is_known", [False, True], ids=["new tenant", "known tenant"])
def test_two_processes_that_count_for_one_person_at_once_count_both(
    engine: Engine, other: Engine, is_known: bool, statement: str
) -> None:
    apply(engine)
    if is_known:
        reactions_over(engine).replay(TENANT, [stored("somebody else")], force=False, dry_run=False)
    rivals: list[Rival] = []

    def meet() -> None:  # the first has read what there is, and not yet written what it makes of that
        rivals.append(Rival(lambda: reactions_over(other).replay(TENANT, [stored("u")], force=False, dry_run=False)))
        rivals[0].wait_until_blocked(engine)

    before(engine, statement, meet)
    reactions_over(engine).replay(TENANT, [stored("u")], force=False, dry_run=False)
    rivals[0].result()
    assert Scoreboard(engine).holder_counts(TENANT) == {"gold": 1}, "two purchases complete the challenge"


def test_how_far_each_tenant_has_come_is_kept(engine: Engine) -> None:
    states: ReactionStates = ControlReactionStates(engine)
    assert states.progress() == (0, {})
    states.advance(9, {TENANT: 4}, [])
    assert states.progress() == (9, {TENANT: (4, True)})
    states.advance(2**62, {}, [TENANT])
    assert states.progress() == (2**62, {TENANT: (2**62, False)})
    for _ in range(2):
        states.count_attempt("e")
    assert (states.poisonous(2), states.poisonous(3)) == ({"e"}, set())


def test_reactions_that_have_passed_to_another_process_are_not_kept(engine: Engine, other: Engine) -> None:
    apply(engine)
    late = ControlLeases(engine).take("partition/0", "a")
    assert late is not None
    with writing(engine) as connection:
        connection.execute(text("UPDATE leases SET expires_at_ms = 1"))
    held = ControlLeases(other).take("partition/0", "a")
    with pytest.raises(LeaseLost):
        reactions_over(engine, late).replay(TENANT, [stored("u")], force=False, dry_run=False)
    with pytest.raises(LeaseLost):
        ControlReactionStates(engine, late).advance(9, {TENANT: 4}, [])
    assert Scoreboard(engine).participant(TENANT, "u", []) is None
    assert ControlReactionStates(engine).progress() == (0, {})
    assert reactions_over(other, held).replay(TENANT, [stored("u")], force=False, dry_run=False).effects


# Transactions


def test_what_is_read_is_one_snapshot(engine: Engine, other: Engine) -> None:
    Keys(engine).create("a", "live", "flux", None, 1)
    with reading(engine) as connection:
        asked = sa.select(sa.func.count()).select_from(projects)
        assert connection.scalar(asked) == 1
        Keys(other).create("b", "live", "flux", None, 1)
        assert connection.scalar(asked) == 1
    assert names(engine) == ["a", "b"]


def test_an_exception_in_a_transaction_takes_it_back(engine: Engine) -> None:
    def half(sql: str) -> None:
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO projects VALUES ('half', 1)"))
            connection.execute(text(sql))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half("INSERT INTO projects VALUES ('other half', 1)")
    with pytest.raises(ControlFailed, match="nowhere"):
        half("INSERT INTO nowhere VALUES (1)")
    assert names(engine) == []


@pytest.mark.parametrize("control_url", ["postgresql"], indirect=True)
def test_a_transaction_undone_by_a_deadlock_is_run_again(engine: Engine, other: Engine) -> None:
    two = [TENANT, Tenant("p", "test")]
    with writing(engine) as connection:
        for tenant in two:
            lock_tenant(connection, tenant)  # so that both are there
    runs: list[str] = []
    rivals: list[Rival] = []

    def lock(connection: sa.Connection, who: str, order: list[Tenant]) -> None:
        runs.append(who)
        lock_tenant(connection, order[0])
        if not rivals:
            rivals.append(Rival(lambda: transact(other, lambda connection: lock(connection, "other", two[::-1]))))
            rivals[0].wait_until_blocked(engine)
        lock_tenant(connection, order[1])

    transact(engine, lambda connection: lock(connection, "first", two))
    rivals[0].result()
    assert len(runs) == 3, "one of them was undone, and run again"


class _Undone(Exception):
    sqlstate = "40001"


def test_a_transaction_that_is_always_undone_fails_in_the_end(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LONGEST_PAUSE_S", 0)
    tries = itertools.count()

    def work(_connection: sa.Connection) -> None:
        next(tries)
        raise DBAPIError("commit", {}, _Undone("could not serialize access"))

    with pytest.raises(ControlConflict, match="could not serialize access"):
        transact(engine, work)
    assert next(tries) == 5


@pytest.mark.parametrize("control_url", ["postgresql"], indirect=True)
def test_control_works_again_when_the_server_has_dropped_its_connections(engine: Engine, other: Engine) -> None:
    Keys(engine).create("a", "live", "flux", None, 1)
    with other.connect() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        assert connection.execute(text(ended)).all()
    assert names(engine) == ["a"]


# Text


@pytest.mark.parametrize("control_url", ["postgresql"], indirect=True)
def test_every_text_column_of_postgresql_takes_any_length_and_compares_bytes(engine: Engine) -> None:
    inspector = sa.inspect(engine)
    found = {
        f"{table}.{column['name']}": (str(column["type"]), getattr(column["type"], "collation", None))
        for table in metadata.tables
        for column in inspector.get_columns(table)
        if isinstance(column["type"], sa.String)
    }
    assert set(found.values()) == {('TEXT COLLATE "C"', "C")}, found
    declared = {
        f"{column.table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.c
        if isinstance(column.type, sa.String)
    }
    assert declared == set(found)


any_text = st.text(st.one_of(st.characters(categories=None), st.sampled_from("\x00\x01\x02\x030af\ud800")))


@given(any_text)
def test_what_postgresql_refuses_is_escaped_and_comes_back(value: str) -> None:
    column = text_of.AnyText()
    bound = column.process_bind_param(value, None)  # type: ignore[arg-type]
    assert bound is not None
    assert "\x00" not in bound
    bound.encode()
    assert column.process_result_value(bound, None) == value  # type: ignore[arg-type]


@given(*[st.text(st.characters(categories=None, exclude_categories=["Cs"]))] * 2)
def test_escaping_keeps_the_order(left: str, right: str) -> None:
    column = text_of.AnyText()
    bound = [str(column.process_bind_param(each, None)) for each in (left, right)]  # type: ignore[arg-type]
    assert (left.encode() < right.encode()) == (bound[0].encode() < bound[1].encode())


@pytest.mark.parametrize("control_url", ["postgresql"], indirect=True)
def test_any_text_is_kept_and_found_on_postgresql(engine: Engine) -> None:
    for value in ("\x00", "a\x00\x01\ud800b", "x" * 2000):
        with writing(engine) as connection:
            connection.execute(sa.insert(projects).values(name=value, created_at_ms=1))
        with reading(engine) as connection:
            assert connection.scalar(sa.select(projects.c.name).where(projects.c.name == value)) == value
