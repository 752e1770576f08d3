"""Erasing a person from control, on SQLite and on PostgreSQL 18: what is left is what was there before they came."""

import threading
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control import tables
from headrace.control.erasing import ControlErasures
from headrace.control.forgetting import ControlForgetting
from headrace.control.grants import ControlGrants
from headrace.control.journeys import save_runs
from headrace.control.tables.erasures import erasures as table_of_erasures
from headrace.control.tables.journeys import run_counts
from headrace.control.tables.ledger import grants
from headrace.control.tables.projects import projects
from headrace.control.tables.reactions import reaction_progress
from headrace.control.tables.rules import firings, overruns, rules
from headrace.model.entries import ErasedEvent
from headrace.model.erasure import MAX_UNFINISHED, OpenErasure
from headrace.model.errors import Conflict, NotFound, Unavailable
from headrace.model.event import Tenant, event_id, position_of, render_evt, tail_of
from headrace.model.journeys import Run, RunState, Visit
from headrace.model.ledger import Grant, hidden_key

TENANT = Tenant("p", "live")
OTHER_MODE = Tenant("p", "test")
BESIDE = ("erasures", "erased", "reaction_progress", "alembic_version", "run_counts", "retention", "tenants")


def ids_of(name: str) -> list[str]:
    return [name, f"anon-{name}"]


def events_of(number: int) -> list[str]:
    return [event_id((1_736_899_200_000 + number * 100 + index) << 20, 7) for index in range(3)]


def add_person(connection: sa.Connection, tenant: Tenant, name: str, number: int) -> None:
    """A row of each table that keeps anything of people."""
    own = {"project": tenant.project, "mode": tenant.mode}
    events = events_of(number)

    def put(table: str, **values: Any) -> None:
        connection.execute(sa.insert(tables.metadata.tables[table]).values(values))

    for index, each in enumerate(ids_of(name)):
        put("participants", no=number + index, name=each, whole_no=number, **own)
        put("shares", participant_no=number + index, rule_no=1, completions=1, corrected=0)
        put("former_runs", participant_no=number + index, rule_no=1, journey="j", runs=1, last_ms=1)
        put("person_ids", no=number + index, id=each, person_no=number, known=not index, traits="{}", **own)
        put("person_terms", term=f"{each}@x.se", id_no=number + index, **own)
        put("group_members", group_no=1, id_no=number + index, joined_ms=1)
        put("balances", participant_no=number + index, balance=5, **own)
        put("standings", participant_no=number + index, rule_no=1, completions=1, best="1", rank=1.0)
        put("buckets", participant_no=number + index, rule_no=1, bucket=index, value="1")
        put("awards", participant_no=number + index, badge="b", rule_no=1, event_id=events[0], at_ms=1)
    put("person_joins", kept_no=number, other_no=number + 1, kind="identify", position=1, undone=False)
    for index, each in enumerate(events):
        put("markers", event_id=each, counted="1")
        who = number if index else 0
        put(
            "effects",
            event_id=each,
            rule_no=1,
            ordinal=0,
            generation=0,
            kind="fact",
            participant_no=who,
            at_ms=1,
            detail="{}",
        )
        put("points", event_id=each, rule_no=1, ordinal=0, participant_no=number, points=1, at_ms=1)
        put("passed_over", rule_no=0, event_id=each, why=name, **own)
        put("passed_over", rule_no=1, event_id=each, why=name, **own)
        connection.execute(sa.update(rules).where(rules.c.no == 1).values(passed_over=rules.c.passed_over + 1))
        put("attempts", event_id=each, attempts=1)
    run = Run(f"run-{number}", 1, "j", name, events[0], user_id=name, step="s", visits=(Visit("s", "wait", 1),))
    state = RunState()
    state.runs[run.id] = run
    state.before[run.id] = None
    save_runs(connection, tenant, {name: number}, state)
    put("emits", no=number, key=f"run-{number}.s", emitted=msgspec.json.encode(emitted(name)).decode(), **own)
    put("replies", key=f"call-{number}", run_id=run.id, attempt=1, at_ms=1, reply=name, problem="", **own)
    hook = 1 if tenant.mode == "live" else 2
    for key in (
        render_evt(events[1]),
        f"{render_evt(events[2])}_1_0_0",
        f"run-{number}:call",
        f"entry_{number:032x}_0",
    ):
        put(
            "deliveries",
            webhook_no=hook,
            key=key,
            topic="event",
            body=name,
            reply_to="",
            status="waiting",
            created_at_ms=1,
            due_at_ms=1,
            give_up_at_ms=2,
            tries=0,
            attempts="[]",
            problem="",
        )
    entry = f"{number:032x}"
    put("points", event_id=entry, rule_no=0, ordinal=0, participant_no=number, points=2, at_ms=1, kind="granted")
    put("grants", key=f"key-{name}", entry_id=entry, request=name, balance=2, **own)


def emitted(name: str) -> dict[str, Any]:
    return {"key": "k", "name": "n", "user_id": name, "anonymous_id": "", "properties": "", "context": "", "at_ms": 1}


@pytest.fixture
def peopled(engine: Engine) -> Engine:
    """A project with bob in it, and somebody of alice's name in its other mode."""
    with engine.begin() as connection:

        def put(table: str, **values: Any) -> None:
            connection.execute(sa.insert(tables.metadata.tables[table]).values(values))

        put("projects", name="p", created_at_ms=1)
        told = {"failures": 0, "failed_event": "", "failed_why": "", "passed_over": 0}
        put("rules", no=1, project="p", kind="fact", rule_id="r", version="1", **told)
        for number, mode in ((1, "live"), (2, "test")):
            put(
                "person_groups",
                no=number,
                project="p",
                mode=mode,
                type="g",
                key="g",
                traits="{}",
                first_ms=1,
                last_ms=1,
            )
            put(
                "webhooks",
                no=number,
                project="p",
                mode=mode,
                id="h",
                url="u",
                topics=",event,",
                filters="{}",
                status="enabled",
                reason="",
                secret="",
                former_secret="",
                overlap_until_ms=0,
                position=0,
                is_full=False,
                failing_since_ms=0,
                problem="",
                created_at_ms=1,
            )
        add_person(connection, TENANT, "bob", 1000)
        add_person(connection, OTHER_MODE, "alice", 3000)
    return engine


def snapshot(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        return {
            name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for name, table in tables.metadata.tables.items()
            if name not in BESIDE
        }


def listed_events(number: int) -> list[ErasedEvent]:
    return [ErasedEvent(position_of(each), tail_of(each), b"k" * 16) for each in events_of(number)]


def erase(engine: Engine, *, twice: bool) -> str:
    """Alice, each step as often as a crash would have it done."""
    erasures, forgetting = ControlErasures(engine), ControlForgetting(engine)
    erasure_id = erasures.request(TENANT, "alice", 5)[0].id
    assert erasures.placed(erasure_id, 7) is not None
    times = 2 if twice else 1
    for _ in range(times):
        erasures.know(erasure_id, ids_of("alice"))
        erasures.list_events(
            erasure_id, listed_events(2000), place="events", in_log_after=listed_events(2000)[0].position
        )
        assert forgetting.detach(open_one(erasures))
    found = open_one(erasures)
    assert (found.status, list(found.participants)) == ("detached", [2000, 2001])
    for _ in range(times):
        forgetting.forget_events(found, events_of(2000))
        forgetting.forget_participants(found)
        forgetting.forget_deliveries(found)
        erasures.know(erasure_id, [])
        forgetting.overwrite()
        erasures.finish([erasure_id], 9)
    return erasure_id


def open_one(erasures: ControlErasures) -> OpenErasure:
    [found] = erasures.open()
    return found


@pytest.mark.parametrize(("twice", "at_once"), [(False, 1000), (True, 1000), (True, 1)])
def test_what_is_left_is_what_was_there_before_and_the_receipt_counts_the_rest(
    peopled: Engine, twice: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.control.forgetting._AT_ONCE", at_once)
    monkeypatch.setattr("headrace.control.erasing._AT_ONCE", at_once)
    before = snapshot(peopled)
    with peopled.begin() as connection:
        add_person(connection, TENANT, "alice", 2000)
    erasure_id = erase(peopled, twice=twice)
    after = snapshot(peopled)
    hidden = [row for row in after["grants"] if row not in before["grants"]]
    after["grants"] = before["grants"]
    assert after == before
    assert len(hidden) == 1
    assert "alice" not in repr(hidden)
    receipt = ControlErasures(peopled).get(TENANT, erasure_id)
    assert (receipt.status, receipt.finished_at_ms) == ("done", 9)
    assert {place: count for place, count in receipt.removed.items() if count} == {
        "events": 3,
        "log_entries": 2,
        "ids": 2,
        "memberships": 2,
        "facts": 3,
        "progress": 2,
        "badges": 2,
        "points_entries": 4,
        "journey_runs": 1,
        "journey_messages": 2,
        "deliveries": 4,
        "grants": 1,
    }
    with peopled.connect() as connection:
        counts = connection.execute(sa.select(run_counts.c.mode, run_counts.c.runs)).all()
        assert {mode: {count for each, count in counts if each == mode} for mode in ("live", "test")} == {
            "live": {1},
            "test": {1},
        }
        assert "alice" not in repr(connection.execute(sa.select(table_of_erasures)).all())
        kept = sa.select(grants.c.request, grants.c.entry_id, grants.c.balance)
        used = connection.execute(kept.where(grants.c.key == hidden_key("key-alice"))).one()
        assert tuple(used) == ("", "", 0), "that the key was used stays, and nothing of what for"


def test_what_went_wrong_with_an_erased_persons_event_is_no_longer_said_and_of_others_it_is(peopled: Engine) -> None:
    hers, his = events_of(2000)[0], events_of(1000)[0]
    with peopled.begin() as connection:
        add_person(connection, TENANT, "alice", 2000)
        told = {"version": "1", "failures": 1, "passed_over": 0, "kind": "fact"}
        for no, event, project in ((2, hers, "p"), (3, his, "p"), (4, hers, "q")):
            if project == "q":
                connection.execute(sa.insert(projects).values(name="q", created_at_ms=1))
            values = {"no": no, "project": project, "rule_id": f"r{no}", "failed_event": event, "failed_why": "alice"}
            connection.execute(sa.insert(rules).values(values | told))
        for mode, no, event in (("live", 1, hers), ("live", 2, his), ("test", 1, hers)):
            fired = {"fired": 3, "last_event": event}
            connection.execute(sa.insert(firings).values(mode=mode, rule_no=no, **fired))
            held = {"events": 2, "first_ms": 1, "is_aside": True, "why": "alice"}
            connection.execute(sa.insert(overruns).values(project="p", mode=mode, rule_no=no, event_id=event, **held))
    erase(peopled, twice=False)
    with peopled.connect() as connection:
        failed = sa.select(rules.c.no, rules.c.failed_event, rules.c.failed_why).order_by(rules.c.no)
        assert [tuple(each) for each in connection.execute(failed.where(rules.c.no > 1))] == [
            (2, "", ""),
            (3, his, "alice"),
            (4, hers, "alice"),
        ]
        found = sa.select(overruns.c.mode, overruns.c.rule_no, overruns.c.why, overruns.c.events)
        assert sorted(map(tuple, connection.execute(found))) == [
            ("live", 1, "", 2),
            ("live", 2, "alice", 2),
            ("test", 1, "alice", 2),
        ]
        told_of = sa.select(firings.c.mode, firings.c.rule_no, firings.c.fired, firings.c.last_event)
        assert sorted(map(tuple, connection.execute(told_of))) == [
            ("live", 1, 3, ""),
            ("live", 2, 3, his),
            ("test", 1, 3, hers),
        ]


def test_a_grant_with_the_key_of_an_erased_person_is_refused(peopled: Engine) -> None:
    with peopled.begin() as connection:
        add_person(connection, TENANT, "alice", 2000)
    erase(peopled, twice=False)
    with pytest.raises(Conflict):
        ControlGrants(peopled).grant(TENANT, Grant("alice", 2, "", False), "key-alice", 10)
    assert not ControlGrants(peopled).grant(TENANT, Grant("alice", 2, "", False), "another", 10).repeated


def test_a_person_with_ids_that_the_erasure_does_not_know_is_not_cut_in_two(peopled: Engine) -> None:
    before = snapshot(peopled)
    erasures = ControlErasures(peopled)
    erasure_id = erasures.request(TENANT, "bob", 5)[0].id
    erasures.placed(erasure_id, 7)
    assert not ControlForgetting(peopled).detach(open_one(erasures))
    assert snapshot(peopled) == before
    erasures.know(erasure_id, ids_of("bob"))
    assert ControlForgetting(peopled).detach(open_one(erasures))


@pytest.mark.parametrize(("reacted", "noted"), [(None, 7), (3, 7), (50, 50)])
def test_no_restart_reacts_again_to_what_came_before_the_command(
    peopled: Engine, reacted: int | None, noted: int
) -> None:
    own = {"project": "p", "mode": "live"}
    if reacted is not None:
        with peopled.begin() as connection:
            row = own | {"position": reacted, "behind": False, "version": 4}
            connection.execute(sa.insert(reaction_progress).values(row))
            connection.execute(sa.insert(reaction_progress).values(row | {"mode": "test"}))
    erasures = ControlErasures(peopled)
    erasure_id = erasures.request(TENANT, "nobody", 5)[0].id
    erasures.placed(erasure_id, 7)
    assert ControlForgetting(peopled).detach(open_one(erasures))
    with peopled.connect() as connection:
        found = connection.execute(sa.select(reaction_progress).order_by(reaction_progress.c.mode)).all()
    assert [(row.mode, row.position) for row in found] == [("live", noted)] + [("test", reacted)] * (len(found) - 1)
    assert (found[0].version > 4) == (reacted is not None)


def test_a_request_is_repeated_until_it_has_a_place_and_is_another_afterwards(engine: Engine) -> None:
    erasures = ControlErasures(engine)
    first, is_new = erasures.request(TENANT, "u", 5)
    again, is_new_again = erasures.request(TENANT, "u", 6)
    assert (is_new, is_new_again, again.id) == (True, False, first.id)
    assert erasures.request(OTHER_MODE, "u", 6)[1]
    assert erasures.request(TENANT, "v", 6)[1]
    placed = erasures.placed(first.id, 10)
    assert placed is not None
    assert placed.position == 10
    again_placed = erasures.placed(first.id, 11)
    assert again_placed is not None
    assert again_placed.position == 10, "a command that is read again stands where it was read first"
    assert erasures.request(TENANT, "u", 7)[1]
    assert erasures.placed("erasure_unknown", 3) is None


def test_receipts_are_of_one_project_and_mode_and_listed_newest_first(engine: Engine) -> None:
    erasures = ControlErasures(engine)
    made = [erasures.request(TENANT, f"u{number}", number)[0] for number in range(5)]
    erasures.request(OTHER_MODE, "u", 9)
    assert erasures.listed(TENANT, "", 3) == made[:1:-1]
    assert erasures.listed(TENANT, made[2].id, 3) == made[1::-1]
    assert erasures.get(TENANT, made[0].id) == made[0]
    with pytest.raises(NotFound):
        erasures.get(OTHER_MODE, made[0].id)


def test_so_many_unfinished_erasures_are_enough(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_UNFINISHED == 1000
    monkeypatch.setattr("headrace.control.erasing.MAX_UNFINISHED", 2)
    erasures = ControlErasures(engine)
    erasures.request(TENANT, "a", 1)
    erasures.request(TENANT, "b", 1)
    with pytest.raises(Unavailable, match="unfinished"):
        erasures.request(TENANT, "c", 1)
    assert erasures.request(OTHER_MODE, "c", 1)[1]


def test_two_that_ask_for_the_same_person_at_once_ask_for_one_erasure(engine: Engine, other: Engine) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda each=each: made.append(ControlErasures(each).request(TENANT, "u", 1)[0].id))
        for each in (engine, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
