"""A store on a network: late, slow and lost inserts, and who may insert. Over a face of HTTP in front of chDB, not a server."""

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from headrace.model.entries import Record
from headrace.model.event import Tenant, partition_of
from headrace.model.filters import Filters, Page
from headrace.ports.control import LeaseLost
from headrace.ports.store import StoreFailed, StoreRefused
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.engine import Engine
from headrace.store.fence import InsertFence
from headrace.store.queries import upkeep
from headrace.store.queries.conditions import Query
from headrace.store.queries.place import ONE_SERVER
from tests.clickhouse_face import Face, face
from tests.engine import event_of, fresh_tenant, records_of

__all__ = ["face"]


class Workers:
    """Stores over one database, as workers that take over from each other open them: each has the next fence."""

    def __init__(self, face: Face) -> None:
        self.url = face.url()
        self._fences = itertools.count(1)
        self._opened: list[ClickHouseStore] = []

    def __call__(self, number: int = 0) -> ClickHouseStore:
        """number: of its fence, if it stores one partition beside others."""
        store = ClickHouseStore(
            self.url, raise_fence=lambda: next(self._fences), fence_number=number, is_owner=not number
        )
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def worker(face: Face) -> Iterator[Workers]:
    workers = Workers(face)
    yield workers
    workers.close()
    face.amid_insert = face.after_insert = lambda: None
    face.broken = face.full = False


@pytest.fixture
def tenant() -> Tenant:
    return fresh_tenant()


def some(tenant: Tenant, count: int = 5) -> list[Record]:
    return records_of(event_of(tenant, name=f"n{number}") for number in range(count))


def ids(records: list[Record]) -> set[str]:
    return {record.id for record in records}


def test_a_store_without_room_refuses_no_event_for_good(face: Face, worker: Workers, tenant: Tenant) -> None:
    store, records = worker(), some(tenant)
    store.settle()
    face.full = True
    with pytest.raises(StoreFailed, match="not enough space") as failed:
        store.insert(records)
    assert not isinstance(failed.value, StoreRefused), "nothing is put aside for it"
    face.full = False
    store.settle()
    assert store.present(0, 2**63) == set()
    store.insert(records)
    assert store.present(0, 2**63) == ids(records)


def test_tables_of_a_newer_headrace_are_refused(worker: Workers) -> None:
    worker().engine.command(Query("INSERT INTO headrace_schema (file) VALUES ('9999_new.sql')", {}))
    with pytest.raises(StoreFailed, match="a newer headrace made its tables"):
        worker()


def test_an_engine_that_is_too_old_is_refused(worker: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.store.migrations._NEEDED", "of_the_future")
    with pytest.raises(StoreFailed, match=r"it is ClickHouse \d+.*too old: it lacks the setting of_the_future"):
        worker()


def test_what_was_inserted_is_found(worker: Callable[[], ClickHouseStore], tenant: Tenant) -> None:
    store = worker()
    store.settle()
    records = some(tenant)
    store.insert(records)
    assert store.present(0, 2**63) == ids(records)
    found = store.events(tenant, Filters(), Page(limit=10)).events
    assert {event.id for event in found} == ids(records)
    again = worker()
    again.settle()
    assert again.present(0, 2**63) == ids(records)


def test_a_worker_that_was_taken_over_from_stores_nothing(
    worker: Callable[[], ClickHouseStore], tenant: Tenant
) -> None:
    former, latter = worker(), worker()
    former.settle()
    latter.settle()
    with pytest.raises(StoreFailed, match="another worker has taken over"):
        former.insert(some(tenant))
    assert latter.present(0, 2**63) == set()


def test_a_worker_that_has_not_settled_stores_nothing(worker: Callable[[], ClickHouseStore], tenant: Tenant) -> None:
    worker().settle()
    with pytest.raises(StoreFailed):
        worker().insert(some(tenant))


@pytest.mark.parametrize("by_another", [False, True], ids=["by itself", "by another"])
def test_settling_waits_for_an_insert_that_runs_and_nothing_lands_after_it(
    face: Face, worker: Callable[[], ClickHouseStore], tenant: Tenant, by_another: bool
) -> None:
    former = worker()
    former.settle()
    latter = worker() if by_another else former
    runs, goes_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        runs.set()
        assert goes_on.wait(60)

    face.amid_insert = hold_up
    records = some(tenant)
    with ThreadPoolExecutor(2) as pool:
        inserting = pool.submit(former.insert, records)
        assert runs.wait(60)
        settling = pool.submit(latter.settle)
        timer = threading.Timer(0.5, goes_on.set)  # whoever does not wait has settled long before
        timer.start()
        settling.result(60)
        was_running = not goes_on.is_set()
        there = latter.present(0, 2**63)
        goes_on.set()
        failed = inserting.exception(60)
    assert not was_running, "it waited"
    assert there == (set() if failed else ids(records)), "whole or not at all"
    assert latter.present(0, 2**63) == there, "and nothing landed after the question"


def test_an_insert_whose_reply_is_lost_is_not_sent_again(
    face: Face, worker: Callable[[], ClickHouseStore], tenant: Tenant
) -> None:
    store = worker()
    store.settle()

    def lose() -> None:
        raise ConnectionError

    face.after_insert = lose
    records, before = some(tenant), face.inserts
    with pytest.raises(StoreFailed):
        store.insert(records)
    assert face.inserts == before + 1
    store.settle()
    assert store.present(0, 2**63) == ids(records), "so whoever asks finds it"
    assert store.held(0, 2**63) == len(records)


def test_what_the_store_can_never_take_is_told_from_what_failed(
    face: Face, worker: Callable[[], ClickHouseStore], tenant: Tenant
) -> None:
    store = worker()
    store.settle()
    [record] = some(tenant, 1)
    with pytest.raises(StoreRefused):
        store.insert([Record(record.position, record.tail, b'{"project":1e999,' + record.payload[1:])])
    face.broken = True
    with pytest.raises(StoreFailed) as failed:
        store.insert([record])
    assert not isinstance(failed.value, StoreRefused)


def test_events_are_erased_and_pruned(worker: Callable[[], ClickHouseStore], tenant: Tenant) -> None:
    store = worker()
    store.probe()
    store.settle()
    records = some(tenant)
    store.insert([])
    store.insert(records)
    store.erase([records[0].id])
    assert store.present(0, 2**63) == ids(records[1:])
    store.prune(tenant, 2**41, records[2].position)
    assert store.present(0, 2**63) == ids(records[3:])
    assert store.damaged() == []


def test_an_erasure_that_another_worker_keeps_from_erasing_fails(
    worker: Callable[[], ClickHouseStore], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = worker()
    store.settle()
    records = some(tenant)
    store.insert(records)
    erased = [record.id for record in records[:2]]
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "ERASE", upkeep.forget_erased(ONE_SERVER))  # by one that was taken over from, just then
        with pytest.raises(StoreFailed, match="still there"):
            store.erase(erased)
    assert store.present(0, 2**63) == ids(records)
    store.erase(erased)
    assert store.present(0, 2**63) == ids(records[2:])


def test_what_is_printed_while_a_store_on_a_server_is_opened_goes_where_it_should(
    worker: Callable[[], ClickHouseStore], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InsertFence, "prepare", lambda _fence: os.write(2, b"said by another thread"))
    worker()
    assert "said by another thread" in capfd.readouterr().err


def test_a_table_that_got_more_columns_gets_them_before_inserts_too(
    worker: Callable[[], ClickHouseStore], tenant: Tenant
) -> None:
    former = worker()
    former.settle()
    with former.engine.writers.lend() as client:
        client.command("ALTER TABLE arriving ADD COLUMN later String")
    latter = worker()
    latter.settle()
    asked = "SELECT count() FROM system.columns WHERE startsWith(table, 'fenced_0_') AND name = 'later'"
    assert int(latter.engine.tell(Query(f"{asked} AND database = currentDatabase()", {}))) > 0
    records = some(tenant)
    latter.insert(records)
    with pytest.raises(StoreFailed):
        former.insert(some(tenant))
    assert latter.present(0, 2**63) == ids(records)


def test_a_crash_between_the_table_and_its_view_swallows_no_rows(
    worker: Callable[[], ClickHouseStore], tenant: Tenant
) -> None:
    drop_view(worker().engine)
    store = worker()
    store.settle()
    records = some(tenant)
    store.insert(records)
    assert store.present(0, 2**63) == ids(records)


def drop_view(engine: Engine) -> None:
    """Of the coordinating worker's table."""
    views = Query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'fenced_0_%_to_arriving'", {}
    )
    [view] = engine.tell(views).decode().split()
    engine.command(Query(f"DROP TABLE {view}", {}))


class LateEngine:
    """Of a worker whose statements come late: others do something before each of them, and after the last."""

    def __init__(self, engine: Engine, meanwhile: Callable[[], None]) -> None:
        self.place, self.tell = engine.place, engine.tell
        self._engine = engine
        self._meanwhile = meanwhile

    def command(self, command: Query) -> None:
        if not command.sql.startswith("CREATE TABLE IF NOT EXISTS fences"):
            self._meanwhile()
        self._engine.command(command)


def test_a_worker_that_was_suspended_as_it_made_its_table_takes_no_rows_from_its_successor(
    worker: Workers, tenant: Tenant
) -> None:
    engine = worker().engine
    stored: list[Record] = []
    latter: list[ClickHouseStore] = []

    def insert() -> None:
        if not latter:
            latter.append(worker(1))
            latter[0].settle()
        records = some(tenant)
        latter[0].insert(records)
        stored.extend(records)

    InsertFence(cast("Engine", LateEngine(engine, insert)), lambda: 1, number=1).prepare()
    insert()
    assert len(stored) > 3 * 5
    assert latter[0].present(0, 2**63) == ids(stored)


def test_each_partition_has_a_fence_of_its_own(worker: Workers, tenant: Tenant) -> None:
    with pytest.raises(StoreFailed, match="tables are not up to date yet"):
        worker(1)
    coordinator = worker()
    former, beside = worker(1), worker(2)
    for each in (beside, former, coordinator):
        each.settle()
    latter = worker(1)
    latter.settle()
    records = some(tenant)
    beside.insert(records[:2])
    with pytest.raises(StoreFailed, match="another worker has taken over"):
        former.insert(records[2:])
    latter.insert(records[2:4])
    coordinator.insert(records[4:])
    assert coordinator.present(0, 2**63) == ids(records)
    for partition in range(3):
        own = [each for each in records if partition_of(each.position) == partition]
        assert coordinator.held_of(partition, 0, records[3].position) == len(
            [each for each in own if each is not records[4]]
        )


def test_a_lease_that_is_another_servers_lets_nobody_settle(worker: Workers, tenant: Tenant) -> None:
    def lost() -> int:
        raise LeaseLost("The lease is held by another server.")

    store = ClickHouseStore(worker.url, raise_fence=lost)
    with pytest.raises(LeaseLost):
        store.settle()
    store.close()
