"""The audit on both databases: what a transaction does is recorded with it, and with nothing else."""

from itertools import product

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control.api_keys import Keys
from headrace.control.audit import ControlAudit
from headrace.control.database import transact
from headrace.control.tables.projects import projects
from headrace.model.audit import (
    OUTCOMES,
    Actor,
    AuditFilters,
    Deed,
    Entry,
    add_detail,
    doing,
    person_mark,
)
from headrace.model.event import Tenant
from headrace.ports.control import ControlConflict, ControlFailed
from tests.contracts.rivals import Rival

SHOP = Tenant("shop", "live")
ALL = 2**62
EVERYTHING = AuditFilters()
ADMIN = Actor(kind="key", key_id="key_1", prefix="adm_live_abc", name="deploy", address="203.0.113.7")


def deed(action: str = "apply_rules", at_ms: int = 1000, **more: object) -> Deed:
    return Deed(**{"actor": ADMIN, "action": action, "at_ms": at_ms, "project": "shop", "mode": "live"} | more)  # type: ignore[arg-type]


def listed(engine: Engine, filters: AuditFilters = EVERYTHING, tenant: Tenant | None = None) -> list[Entry]:
    return ControlAudit(engine).page(tenant, filters, ALL, 1000)


def add_project(name: str) -> object:
    return lambda connection: connection.execute(sa.insert(projects).values(name=name, created_at_ms=1))


def names(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(sa.select(projects.c.name)))


def test_a_transaction_records_what_it_does(engine: Engine) -> None:
    with doing(deed(target="/api/v1/x")) as done:
        transact(engine, add_project("a"))  # type: ignore[arg-type]
    [entry] = listed(engine)
    assert (entry.number, entry.deed, entry.outcome) == (done.number, done, "done")
    assert entry.deed.actor == ADMIN


def test_a_transaction_that_is_undone_records_nothing(engine: Engine) -> None:
    def fail(connection: sa.Connection) -> None:
        add_project("a")(connection)  # type: ignore[operator]
        raise KeyError

    with doing(deed()) as done, pytest.raises(KeyError):
        transact(engine, fail)
    assert (listed(engine), names(engine), done.number) == ([], set(), None)


def test_what_cannot_be_recorded_is_not_done(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE audit RENAME TO away"))
    with doing(deed()), pytest.raises(ControlFailed):
        transact(engine, add_project("a"))  # type: ignore[arg-type]
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO audit"))
    assert names(engine) == set()


def test_a_transaction_that_is_tried_again_is_recorded_once(engine: Engine) -> None:
    tries: list[int] = []

    def stumble(connection: sa.Connection) -> None:
        tries.append(1)
        add_project("a")(connection)  # type: ignore[operator]
        if len(tries) < 3:
            raise ControlConflict("undone for another's sake")

    with doing(deed()):
        transact(engine, stumble)
    assert (len(tries), len(listed(engine)), names(engine)) == (3, 1, {"a"})


def test_the_first_transaction_records_and_no_other_does(engine: Engine) -> None:
    with doing(deed()):
        transact(engine, add_project("a"))  # type: ignore[arg-type]
        transact(engine, add_project("b"))  # type: ignore[arg-type]
    transact(engine, add_project("c"))  # type: ignore[arg-type]
    assert len(listed(engine)) == 1


def test_other_threads_do_nothing_for_whoever_is_audited(engine: Engine) -> None:
    with doing(deed()):
        Rival(lambda: transact(engine, add_project("a"))).result()  # type: ignore[arg-type]
    assert listed(engine) == []


def test_what_is_begun_is_there_before_it_is_tried_and_ends_once(engine: Engine, other: Engine) -> None:
    audit, tried = ControlAudit(engine), deed()
    audit.begin(tried)
    assert [each.outcome for each in listed(other)] == ["begun"]
    with doing(tried):
        add_detail("started replay_1", person="u1")
        transact(engine, add_project("a"))  # type: ignore[arg-type]
    audit.end(tried, "refused")
    audit.end(tried, "done")
    [entry] = listed(other)
    assert (entry.outcome, entry.deed.detail) == ("refused", "started replay_1")
    assert entry.deed.person == person_mark("shop", "u1")


def test_what_a_transaction_has_done_stays_done_whatever_comes_of_the_request(engine: Engine) -> None:
    with doing(deed()) as done:
        transact(engine, add_project("a"))  # type: ignore[arg-type]
    ControlAudit(engine).end(done, "failed")
    assert [each.outcome for each in listed(engine)] == ["done"]


def test_a_refusal_is_recorded_by_itself(engine: Engine) -> None:
    ControlAudit(engine).end(deed(), "refused")
    assert [each.outcome for each in listed(engine)] == ["refused"]


def test_a_command_learns_what_it_concerns_from_what_it_does(engine: Engine) -> None:
    with doing(deed("keys create", project="", mode="")):
        key, secret = Keys(engine).create("shop", "test", "flux", None, 1)
    [entry] = listed(engine)
    assert (entry.deed.project, entry.deed.mode) == ("shop", "test")
    assert key.id in entry.deed.detail
    assert key.prefix in entry.deed.detail
    assert secret not in str(entry)


def test_filters_and_pages_find_what_a_list_finds(engine: Engine) -> None:
    audit = ControlAudit(engine)
    actors = (ADMIN, Actor(kind="command", name="root", address="db-1"))
    whose = (("shop", "live"), ("shop", "test"), ("shop", ""), ("other", "live"), ("", ""))
    marks = (("/x", ""), ("/x", person_mark("shop", "u1")), (f"/u/~{person_mark('shop', 'u1')}", ""))
    made: list[Entry] = []
    for number, (actor, (project, mode), (target, person), outcome) in enumerate(
        product(actors, whose, marks, OUTCOMES)
    ):
        action = ("a", "b", "c")[number % 3]
        new = deed(action, number, actor=actor, project=project, mode=mode, target=target, person=person)
        if outcome != "begun":
            audit.end(new, outcome)
        else:
            audit.begin(new)
        made.append(Entry(new.number or 0, new, outcome))
    made.reverse()
    mark = person_mark("shop", "u1")
    for filters, keeps in (
        (AuditFilters(), lambda _: True),
        (AuditFilters(action="b"), lambda each: each.deed.action == "b"),
        (AuditFilters(by="root"), lambda each: each.deed.actor.name == "root"),
        (AuditFilters(by="key_1"), lambda each: each.deed.actor == ADMIN),
        (AuditFilters(by="adm_live_abc"), lambda each: each.deed.actor == ADMIN),
        (AuditFilters(outcome="refused"), lambda each: each.outcome == "refused"),
        (AuditFilters(person=mark), lambda each: mark in each.deed.person + each.deed.target),
        (AuditFilters(project="other"), lambda each: each.deed.project == "other"),
        (AuditFilters(from_ms=7, to_ms=50), lambda each: 7 <= each.deed.at_ms <= 50),
    ):
        for tenant in (None, SHOP, Tenant("other", "test")):
            wanted = [
                each
                for each in made
                if keeps(each)
                and (tenant is None or (each.deed.project == tenant.project and each.deed.mode in ("", tenant.mode)))
            ]
            assert listed(engine, filters, tenant) == wanted
            paged: list[Entry] = []
            while page := audit.page(tenant, filters, paged[-1].number if paged else ALL, 7):
                paged += page
            assert paged == wanted


def test_old_entries_are_removed_so_many_at_a_time(engine: Engine) -> None:
    audit = ControlAudit(engine)
    for at_ms in (5, 1, 9, 3, 7):
        audit.begin(deed(at_ms=at_ms))
    assert (audit.prune(7, 2), audit.prune(7, 2), audit.prune(7, 2)) == (2, 1, 0)
    assert sorted(each.deed.at_ms for each in listed(engine)) == [7, 9]
