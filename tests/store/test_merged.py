"""Editions of merged ids: loaded once, used together, replaced, and loaded again after a failure."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.merged import Merged, MergedEditions
from tests.engine import fresh_tenant

PAIRS = [("a", "u"), ("b", "u")]


class People:
    """What control would tell; `fails` at that call, from 1 on."""

    def __init__(self, fails: int = 0) -> None:
        self.pairs = list(PAIRS)
        self.calls = 0
        self._fails = fails

    def pages(self, _tenant: Tenant) -> Iterator[Sequence[tuple[str, str]]]:
        self.calls += 1
        if self.calls == self._fails:
            raise Unavailable("not now")
        yield from ([pair] for pair in self.pairs)


def held(store: ClickHouseStore, merged: Merged) -> list[str]:
    assert merged.edition is not None
    with store.engine.writers.lend() as client:
        sql = f"SELECT id, person FROM merged_ids WHERE edition = {merged.edition} ORDER BY id"
        return client.raw_query(sql, fmt="TabSeparated").decode().splitlines()


def test_an_edition_is_loaded_once_and_used_again_until_the_ids_change(clickhouse: ClickHouseStore) -> None:
    people, tenant = People(), fresh_tenant()
    editions = MergedEditions(clickhouse.engine.writers, people.pages)
    with editions.using(tenant) as first, editions.using(tenant) as second:
        assert first == second
        assert held(clickhouse, first) == ["a\tu", "b\tu"]
        people.pairs.append(("c", "u"))
        with editions.using(tenant) as third:
            assert third != first
            assert held(clickhouse, third) == ["a\tu", "b\tu", "c\tu"]
        assert held(clickhouse, first) == ["a\tu", "b\tu"], "as long as a question uses it"
    assert held(clickhouse, first) == [], "and not longer"
    assert held(clickhouse, third) == ["a\tu", "b\tu", "c\tu"]


def test_questions_at_the_same_time_load_one_edition(clickhouse: ClickHouseStore) -> None:
    people, tenant = People(), fresh_tenant()
    editions = MergedEditions(clickhouse.engine.writers, people.pages)
    found: list[Merged] = []
    together = threading.Barrier(4)

    def ask() -> None:
        with editions.using(tenant) as merged:
            assert held(clickhouse, merged) == ["a\tu", "b\tu"]
            found.append(merged)
            together.wait(60)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({merged.edition for merged in found}) == 1


def test_an_edition_that_could_not_be_loaded_is_loaded_by_the_next_question(clickhouse: ClickHouseStore) -> None:
    people, tenant = People(fails=2), fresh_tenant()
    editions = MergedEditions(clickhouse.engine.writers, people.pages)
    with pytest.raises(Unavailable), editions.using(tenant):
        pass
    with editions.using(tenant) as merged:
        assert held(clickhouse, merged) == ["a\tu", "b\tu"]


def test_ids_that_change_before_they_are_loaded_are_not_taken_for_those_that_were_there(
    clickhouse: ClickHouseStore,
) -> None:
    tenant, more = fresh_tenant(), [*PAIRS, ("c", "u")]
    seen = iter([PAIRS, more, PAIRS, PAIRS])  # each question looks at them, and loads them if they are new
    editions = MergedEditions(clickhouse.engine.writers, lambda _tenant: iter([next(seen)]))
    with editions.using(tenant) as merged:
        assert held(clickhouse, merged) == ["a\tu", "b\tu", "c\tu"]
    with editions.using(tenant) as merged:
        assert held(clickhouse, merged) == ["a\tu", "b\tu"]


def test_where_nobody_has_merged_ids_nothing_is_loaded(clickhouse: ClickHouseStore) -> None:
    people = People()
    people.pairs.clear()
    with MergedEditions(clickhouse.engine.writers, people.pages).using(fresh_tenant()) as merged:
        assert merged == Merged(None, complete=True)


def test_an_edition_that_another_process_drops_fails_its_questions_and_is_loaded_anew(
    clickhouse: ClickHouseStore,
) -> None:
    people, tenant = People(), fresh_tenant()
    gateway = MergedEditions(clickhouse.engine.writers, people.pages, may_vanish=True)
    worker = MergedEditions(clickhouse.engine.writers, people.pages)
    with gateway.using(tenant) as first:
        pass
    with pytest.raises(Unavailable, match="Ask again"), gateway.using(tenant) as again:
        worker.forget(tenant)
    assert again == first
    with gateway.using(tenant) as anew:
        assert held(clickhouse, anew) == ["a\tu", "b\tu"]
