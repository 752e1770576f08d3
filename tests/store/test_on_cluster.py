"""A store on a cluster: over a face that looks like two shards, with the engine's own Distributed and KeeperMap, but no replicas."""

import itertools
import re
from collections.abc import Iterator
from typing import cast

import msgspec
import pytest

from headrace.model.event import Event
from headrace.model.filters import Filters, Page
from headrace.model.own_columns import ColumnKey
from headrace.ports.store import StoreFailed
from headrace.store import moving, writer
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.cluster import Shape, placed
from headrace.store.engine import Engine, problem_of
from headrace.store.fence import InsertFence
from headrace.store.migrations import migrate
from headrace.store.moving import MovedEvents, MoveTarget
from headrace.store.old_parts import recompress
from headrace.store.queries.conditions import Query
from headrace.store.queries.place import ONE_SERVER, Place
from headrace.store.restoring import RestoreMark
from headrace.upkeep.moving import move_events
from tests.cluster_face import Cluster, Said
from tests.engine import event_of, fresh_tenant, records_of
from tests.store.test_over_http import drop_view

TENANT = fresh_tenant()
CHANGES = ("ALTER", "CREATE", "DROP", "TRUNCATE", "SYSTEM", "KILL", "RENAME", "EXCHANGE")


def events(count: int = 12) -> list[Event]:
    """Some of two people and of nobody."""
    people = ("u", "v", "")
    return [
        event_of(TENANT, name=f"n{number % 2}", user_id=people[number % 3], tags={"plan": "pro"})
        for number in range(count)
    ]


class Worked:
    """A store on a cluster that has done everything once that a store does."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = cluster.url()
        self._fences = itertools.count(1)
        self.store = self.open()
        self.store.settle()
        self.records = records_of(events())
        self.store.insert(self.records)
        self.store.know_merged(lambda _tenant: iter([[("v", "u")]]))
        with self.store.people.merged(TENANT):
            pass
        self.store.forget_merged(TENANT)
        self.store.count(TENANT, Filters(tags=(("plan", "pro"),)))
        self.store.own.keep_uses()
        own, key = self.store.own, ColumnKey("tag", ("plan",))
        own.add(key, TENANT.project, 0)
        [column] = own.own_columns()
        own.fill([column], "202501")
        for by in column.uncounted:
            own.groups(column, by)
            own.count(column, by)
        [column] = own.own_columns()
        own.fill_counts([msgspec.structs.replace(column, counting={"time": ["202501"]})], "202501")
        own.adopt(column, 0)
        own.filling()
        own.estimate(key)
        own.drop(column)
        self.store.probe()
        self.store.damaged()
        self.store.erase([self.records[0].id])
        self.store.prune(TENANT, 0, 2**62)
        list(self.store.minutes(2**62))
        for after_s in (86_400, 86_400, 0):
            recompress(self.store.engine, after_s)
        self.said = cluster.said(self.url)

    def open(self, number: int = 0) -> ClickHouseStore:
        return ClickHouseStore(self.url, raise_fence=lambda: next(self._fences), fence_number=number)


@pytest.fixture(scope="module")
def worked(cluster: Cluster) -> Iterator[Worked]:
    worked = Worked(cluster)
    yield worked
    worked.store.close()


@pytest.fixture(scope="module")
def said(cluster: Cluster, worked: Worked) -> list[Said]:
    """All that a store, a move and a restore say."""
    url = cluster.url()
    new = Engine(url, query_timeout_s=30, query_max_memory_bytes=1 << 29)
    migrate(new)
    target = MoveTarget(new)
    target.begin("s")
    move_events(MovedEvents(worked.store.engine), target, lambda _done, _total: None, lambda _step: None)
    target.remove(0, 1)
    target.end()
    mark = RestoreMark(url)
    mark.begin()
    mark.note("events")
    mark.end()
    for each in (new, mark):
        each.close()
    return [*worked.said, *cluster.said(url)]


def code(sql: str) -> str:
    """Without comments, in one line."""
    return " ".join(line for line in sql.splitlines() if not line.startswith("--")).strip()


def test_whatever_changes_tables_or_rows_is_said_to_every_node_and_read_by_the_engine(
    said: list[Said], worked: Worked
) -> None:
    changes = {code(each.sql) for each in said if code(each.sql).startswith(CHANGES)}
    assert len(changes) > 40
    assert [sql for sql in changes if " ON CLUSTER `pair`" not in sql] == []
    # A Distributed table has no rows: what changes those names the nodes' own.
    of_rows = [
        sql
        for sql in changes
        if re.match("TRUNCATE|ALTER .* (DELETE WHERE|MATERIALIZE|DROP PARTITION|PROJECTION|MODIFY TTL|REMOVE TTL)", sql)
    ]
    assert len(of_rows) > 5
    assert [sql for sql in of_rows if "_local` ON CLUSTER" not in sql and "`fences`" not in sql] == []
    # The face changes them before the engine sees them: so have it read them as they came.
    for sql in changes:
        read = Query("SELECT formatQuerySingleLine({sql:String})", {"sql": sql})
        assert b"ON CLUSTER pair" in worked.store.engine.tell(read), sql


def test_the_tables_of_the_nodes_say_once_how_old_parts_are_compressed(said: list[Said]) -> None:
    changes = [code(each.sql) for each in said if re.search(r"^ALTER .* TTL\b", each.sql)]
    table = r"ALTER TABLE `\w+`\.`events_local` ON CLUSTER `pair`"
    assert len(changes) == 2
    assert re.match(rf"{table} MODIFY TTL .* RECOMPRESS", changes[0])
    assert re.match(rf"{table} REMOVE TTL", changes[1])


def test_what_each_node_has_for_itself_is_asked_of_every_node(said: list[Said]) -> None:
    asked = {code(each.sql) for each in said}
    of_nodes = [
        sql
        for sql in asked
        if re.search(r"system\.(processes|parts|parts_columns|projection_parts|mutations|disks)\b", sql)
    ]
    assert len(of_nodes) >= 6
    assert [sql for sql in of_nodes if not re.search(r"clusterAllReplicas\('pair', system\.\w+\)", sql)] == []


def test_an_insert_returns_when_the_shards_have_it_and_no_answer_leaves_one_out(
    worked: Worked, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    shape = Shape(nodes=4, replicas=2)
    monkeypatch.setattr(worked.store.engine, "shape", lambda: shape)
    before = len(cluster.said(worked.url))
    worked.store.insert(records_of(events(3)))
    worked.store.count(TENANT, Filters())
    inserted, asked = cluster.said(worked.url)[before:]
    assert inserted.sql.startswith("INSERT INTO fenced_0_")
    wanted = {"distributed_foreground_insert": "1", "insert_quorum": "2", "async_insert": "0"}
    assert wanted.items() <= inserted.settings.items()
    assert {"skip_unavailable_shards": "0", "distributed_product_mode": "global"}.items() <= asked.settings.items()


def test_a_person_is_on_one_shard_and_nobodys_events_are_on_both(worked: Worked) -> None:
    worked.store.insert(records_of(events(30)))
    found = worked.store.engine.rows(
        Query(
            "SELECT user_id, uniqExact(_shard_num) FROM events WHERE project = {project:String} GROUP BY user_id",
            {"project": TENANT.project},
        )
    )
    assert dict(found) == {"u": 1, "v": 1, "": 2}


def test_more_events_than_a_statement_takes_are_erased_in_several(
    worked: Worked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_ERASED_AT_ONCE", 2)
    records = records_of(events(5))
    worked.store.insert(records)
    worked.store.erase([record.id for record in records])
    assert worked.store.stored([record.id for record in records]) == set()


def test_on_a_cluster_too_a_worker_that_was_taken_over_from_stores_nothing(worked: Worked) -> None:
    former, latter, other = worked.open(3), worked.open(3), worked.open(4)
    for each in (former, other, latter):
        each.settle()
    records = records_of(events(2))
    with pytest.raises(StoreFailed, match="another worker has taken over"):
        former.insert(records)
    assert latter.stored([record.id for record in records]) == set()
    other.insert(records[:1])
    latter.insert(records[1:])
    assert latter.stored([record.id for record in records]) == {record.id for record in records}
    fences = latter.engine.tell(Query("SELECT count() FROM fences WHERE partition = 3", {}))
    assert int(fences) == 1, "older ones are removed"
    for each in (former, latter, other):
        each.close()


class Nodes:
    """An engine on a cluster of three nodes, by what it is told and asked: a script of answers to each question."""

    place = Place("c", "d")

    def __init__(self, shown: list[int], running: list[int]) -> None:
        self.steps: list[str] = []
        self._answers = {"known": shown, "running": running}

    def shape(self) -> Shape:
        return Shape(nodes=3, replicas=3)

    def look_again(self) -> None:
        pass

    def command(self, query: Query) -> None:
        self.steps.append(query.sql.split(" ")[0])

    def tell(self, query: Query) -> bytes:
        step = "running" if "system.processes" in query.sql else "known"
        self.steps.append(step)
        return str(self._answers[step].pop(0)).encode()


def test_settling_waits_until_every_node_knows_the_fence_then_for_inserts_then_for_replicas() -> None:
    engine = Nodes(shown=[0, 2, 3], running=[1, 0])
    fence = InsertFence(cast("Engine", engine), lambda: 7)
    fence.settle()
    assert engine.steps == ["INSERT", "known", "known", "known", "running", "running", "SYSTEM", "DELETE"]
    assert fence.current == 7


def test_a_node_that_does_not_hear_of_the_fence_keeps_the_worker_from_inserting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.store.fence._SETTLE_TIMEOUT_S", -1.0)
    fence = InsertFence(cast("Engine", Nodes(shown=[2], running=[])), lambda: 7)
    with pytest.raises(StoreFailed, match="A node of the cluster does not know the newest fence"):
        fence.settle()
    assert fence.current == 0


def test_a_node_that_came_without_tables_gets_them_at_the_next_start(worked: Worked) -> None:
    worked.store.engine.command(Query("DROP TABLE asked", {}))  # both nodes of the face are one process
    drop_view(worked.store.engine)
    again = worked.open()
    again.settle()
    records = records_of(events(2))
    again.insert(records)
    assert again.stored([record.id for record in records]) == {record.id for record in records}
    assert again.own.uses(0) is not None
    again.close()


def test_events_are_moved_into_a_cluster_and_a_run_that_was_killed_inserts_nothing_more(
    cluster: Cluster, clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_LOT", 3)
    clickhouse.insert(records_of(events(9)))
    new = Engine(cluster.url(), query_timeout_s=30, query_max_memory_bytes=1 << 29)
    migrate(new)
    killed, target = MoveTarget(new), MoveTarget(new)
    killed.begin("s")
    target.begin("s")
    source = MovedEvents(clickhouse.engine)
    rows = source.rows(target.columns(), killed.fence, 0, 2**62)
    with pytest.raises(StoreFailed, match="a later run of migrate-data has begun"):
        killed.insert(target.columns(), rows)
    assert move_events(source, target, lambda _done, _total: None, lambda _step: None) >= 9
    assert [(day.name, day.events) for day in target.days()] == [(day.name, day.events) for day in source.days()]
    assert moving.is_being_filled(new)
    target.end()
    assert not moving.is_being_filled(new)
    new.close()


def test_a_restore_that_is_run_again_begins_with_empty_shards(cluster: Cluster) -> None:
    url = cluster.url()
    store = ClickHouseStore(url, raise_fence=lambda: 1)
    store.settle()
    records = records_of(events())
    store.insert(records)
    mark = RestoreMark(url)
    assert mark.events() == len(records)
    mark.begin()
    assert mark.events() == 0
    assert mark.step() == ""
    mark.note("events")
    assert mark.step() == "events"
    mark.end()
    assert mark.step() is None
    store.settle()  # the fences are gone with the rest
    store.insert(records)
    assert store.present(0, 2**62) == {record.id for record in records}
    mark.close()
    store.close()


_LAYOUT = {
    "columns": "SELECT name, type, default_kind, default_expression, compression_codec FROM system.columns "
    "WHERE database = {database:String} AND table = {table:String} ORDER BY position",
    "indices": "SELECT name, type_full, expr, granularity FROM system.data_skipping_indices "
    "WHERE database = {database:String} AND table = {table:String} ORDER BY name",
    "projections": "SELECT name, type, sorting_key, query FROM system.projections "
    "WHERE database = {database:String} AND table = {table:String} ORDER BY name",
    "order": "SELECT partition_key, sorting_key, arraySort(splitByString(', ', splitByString(' SETTINGS ', engine_full)[2])), "
    "extract(engine_full, 'TTL (.*) SETTINGS') FROM system.tables WHERE database = {database:String} AND name = {table:String}",
}


@pytest.fixture(scope="module")
def one_server(cluster: Cluster) -> Iterator[Engine]:
    """A database without shards on the same face."""
    engine = Engine(cluster.url().partition("?")[0], query_timeout_s=30, query_max_memory_bytes=1 << 29)
    migrate(engine)
    yield engine
    engine.close()


@pytest.mark.parametrize("table", ["events", "arriving", "erasing", "merged_ids", "asked"])
def test_a_clusters_tables_are_those_of_one_server(worked: Worked, one_server: Engine, table: str) -> None:
    def layout(engine: Engine, name: str) -> dict[str, bytes]:
        database = engine.tell(Query("SELECT currentDatabase()", {})).decode().strip()
        return {what: engine.tell(Query(sql, {"database": database, "table": name})) for what, sql in _LAYOUT.items()}

    kept = f"{table}_local" if table == "arriving" else f"{table}_kept"  # as the face calls those with rows
    assert layout(worked.store.engine, kept) == layout(one_server, table)
    assert layout(one_server, table)["columns"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unknown", "it knows no cluster unknown"),
        ("lone", "needs `internal_replication`"),
        ("uneven", "different numbers of replicas"),
        ("a'b", "its cluster needs a name of letters"),
        ("", "its cluster needs a name of letters"),
    ],
)
def test_a_cluster_on_which_events_would_not_be_safe_is_refused(cluster: Cluster, name: str, said: str) -> None:
    url = cluster.url(name)
    assert said in problem_of(url)
    with pytest.raises(StoreFailed, match=re.escape(said)):
        ClickHouseStore(url, raise_fence=lambda: 1)


def test_a_url_without_a_cluster_is_left_as_it_is() -> None:
    for dsn in ("chdb:///a/cluster=b", "http://u:p@h:8123/d?compress=0", "http://u:cluster=p@h/d"):
        assert placed(dsn) == (dsn, ONE_SERVER)
    assert placed("http://u:p@h:8123/d?compress=0&cluster=c") == ("http://u:p@h:8123/d?compress=0", Place("c", "d"))


def test_pages_of_a_cluster_are_in_order_across_shards(worked: Worked) -> None:
    found = worked.store.events(TENANT, Filters(), Page(limit=5)).events
    rest = worked.store.events(TENANT, Filters(), Page(limit=100, offset=5)).events
    positions = [event.position for event in [*found, *rest]]
    assert positions == sorted(positions, reverse=True)
