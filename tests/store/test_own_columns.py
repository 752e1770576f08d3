"""Columns of tags and properties in the real store: given, filled, used, retired, dropped, and what is noted of queries."""

from collections.abc import Iterator

import pytest

from headrace.model.errors import Unavailable
from headrace.model.filters import Dimension, Filters
from headrace.model.own_columns import ColumnKey, OwnColumn
from headrace.ports.store import StoreFailed
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries import own_columns as queries
from headrace.store.queries.conditions import Query
from tests.engine import drop_own_columns, dsn, event_of, fresh_tenant, records_of
from tests.waiting import until

ODD = ("'", "\\", "a'b\\\\", "k\0", "é\n", "--", "{x:String}", "", "l" * 200)


@pytest.fixture
def store(clickhouse: ClickHouseStore) -> Iterator[ClickHouseStore]:
    store = ClickHouseStore(dsn())
    yield store
    drop_own_columns(store)
    store.close()


def filled(store: ClickHouseStore) -> list[OwnColumn]:
    while partitions := {each for column in store.own.own_columns() for each in column.filling}:
        for partition in partitions:
            store.own.fill([each for each in store.own.own_columns() if partition in each.filling], partition)
        until(store.own.filling, lambda reasons: not reasons)
    return [each for each in store.own.own_columns() if each.name.startswith(queries.PREFIX)]


def test_a_column_is_used_once_every_partition_has_it_and_not_after_it_is_retired(store: ClickHouseStore) -> None:
    tenant, key = fresh_tenant(), ColumnKey("property", ("k",))
    store.insert(records_of(event_of(tenant, properties='{"k":"a"}') for _ in range(3)))
    store.own.add(key, tenant.project, 5)
    [column] = (each for each in store.own.own_columns() if each.key == key)
    assert (column.project, column.since_ms, column.is_complete) == (tenant.project, 5, False)
    assert store.own.of("property", ("k",)) is None
    [column] = filled(store)
    assert column.is_complete
    assert store.own.of("property", ("k",)) == column.name
    assert store.count(tenant, Filters(properties=(("k", "a"),))).total == 3
    store.own.retire(column)
    assert store.own.of("property", ("k",)) is None
    store.own.own_columns()
    assert store.own.of("property", ("k",)) is None, "to look does not bring it back"
    store.own.drop(column)
    assert key not in [each.key for each in store.own.own_columns()]
    assert store.count(tenant, Filters(properties=(("k", "a"),))).total == 3
    store.own.add(key, tenant.project, 6)
    [again] = filled(store)
    assert store.own.of("property", ("k",)) == again.name, "one that is given again is used again"


def test_counts_are_used_once_every_partition_has_them_and_go_with_their_column(
    store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_SMALL_PART", 1)
    monkeypatch.setattr(queries, "_SMALL_INSERT", 1)
    tenant, key = fresh_tenant(), ColumnKey("tag", ("counted",))
    store.insert(records_of(event_of(tenant, tags={"counted": "pro"}) for _ in range(3)))
    store.own.add(key, tenant.project, 5)
    [column] = filled(store)
    assert column.uncounted == ["time", "name"]
    (by_time, events), (by_name, _) = (store.own.groups(column, by) for by in column.uncounted)
    assert 0 <= by_time <= by_name <= events
    for by in ("time", "name", "time"):
        store.own.count(column, by)
    [column] = (each for each in store.own.own_columns() if each.key == key)
    assert column.uncounted == []
    assert store.own.counts_of(column.name, "time") is None
    alone = column.bytes
    while partitions := column.counting["name"]:
        store.own.fill_counts([column], partitions[0])
        until(store.own.filling, lambda reasons: not reasons)
        [column] = (each for each in store.own.own_columns() if each.key == key)
    for by in ("time", "name"):
        assert store.own.counts_of(column.name, by) == queries.counts_of(column.name, by)
    assert column.bytes > alone
    assert store.count(tenant, Filters(tags=(("counted", "pro"),))).total == 3
    store.own.retire(column)
    store.own.own_columns()
    assert store.own.counts_of(column.name, "time") is None
    store.own.drop(column)
    counts = {"counts": [queries.counts_of(column.name, by) for by in ("time", "name")]}
    assert (
        store.engine.rows(Query("SELECT 1 FROM system.projections WHERE name IN {counts:Array(String)}", counts)) == []
    )
    assert store.count(tenant, Filters(tags=(("counted", "pro"),))).total == 3


def test_a_key_of_any_text_gets_a_column_that_answers_the_same(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    store.insert(records_of(event_of(tenant, tags={key: key}) for key in ODD))

    def answers() -> list[object]:
        return [
            (
                store.count(tenant, Filters(tags=((key, key),))),
                store.count(tenant, Filters(), group_by=Dimension("tag", key)),
            )
            for key in ODD
        ]

    before = answers()
    for key in ODD:
        store.own.add(ColumnKey("tag", (key,)), "a'b\\", 1)
    assert {each.key.path[0] for each in filled(store)} == set(ODD)
    assert {each.project for each in filled(store)} == {"a'b\\"}
    assert answers() == before
    store.insert(records_of([event_of(tenant, tags={"'": "'"})]))
    assert store.count(tenant, Filters(tags=(("'", "'"),))).total == 2


def test_a_query_is_noted_under_its_project_with_what_it_asked_for_and_how_long_it_took(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    assert not store.own.keep_uses()
    store.count(tenant, Filters(name="x"))
    assert not store.own.keep_uses(), "nothing that could have a column"
    store.count(tenant, Filters(tags=(("plan", "pro"),), properties=(("p", "q"),)))
    store.count(tenant, Filters(tags=(("plan", "free"),)))
    store.stats(tenant, Filters(), Dimension("property", "amount"))
    store.count(tenant, Filters(properties=(("l" * 301, "q"),)))
    assert store.own.keep_uses()
    found = {use.key: use for use in store.own.uses(0) if use.project == tenant.project}
    assert {key: use.uses for key, use in found.items()} == {
        ColumnKey("tag", ("plan",)): 2,
        ColumnKey("property", ("p",)): 1,
        ColumnKey("number", ("amount",)): 1,
    }
    assert all(0 < use.seconds < 60 and use.last_ms > 1_700_000_000_000 for use in found.values())
    assert [use for use in store.own.uses(1 << 42) if use.project == tenant.project] == []


def test_uses_that_cannot_be_written_are_a_failure_of_the_store(
    store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.count(fresh_tenant(), Filters(tags=(("plan", "pro"),)))
    monkeypatch.setattr(queries, "ASKED_COLUMNS", ["no_such_column"])
    with pytest.raises(StoreFailed, match="no_such_column"):
        store.own.keep_uses()
    assert not store.own.keep_uses(), "the next ones are counted anew"


def test_a_query_that_fails_is_noted_too(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    store.own.of("tag", ("dear",))
    with pytest.raises(Unavailable):
        store.engine.rows(Query("SELECT throwIf(1)", {"project": tenant.project}))
    assert store.own.keep_uses()
    assert [use.key.path for use in store.own.uses(0) if use.project == tenant.project] == [("dear",)]
