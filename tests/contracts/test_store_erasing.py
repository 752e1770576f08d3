"""What the store tells an erasure and pruning, and what is left after them, against brute force over a list."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.event import Event, Tenant, first_position
from headrace.model.filters import CatalogPage, Filters, Page
from headrace.model.repeats import dedup_key
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import NOW_MS, empty, event_of, fresh_tenant, record_at
from tests.fakes import MemoryStore

HOUR_MS = 3_600_000
FUTURE_MS = NOW_MS + 10**12
Stores = ClickHouseStore | MemoryStore

events = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["n", "m"]),
            "user_id": st.sampled_from(["", "u", "v"]),
            "anonymous_id": st.sampled_from(["", "a", "u"]),
            "message_id": st.sampled_from(["", "k"]),
            "timestamp_ms": st.sampled_from([0, NOW_MS - 5 * HOUR_MS, NOW_MS, NOW_MS + 1, FUTURE_MS]),
        }
    ),
    min_size=1,
    max_size=12,
)


def fill(tenant: Tenant, given: list[dict[str, Any]]) -> list[tuple[int, Event]]:
    """Received an hour after the other, from ten hours ago."""
    first = NOW_MS - 10 * HOUR_MS
    return [
        (
            first_position(first + number * HOUR_MS) + number * 64 + hash(tenant.project) % (1 << 14) * 64,
            event_of(tenant, **each),
        )
        for number, each in enumerate(given)
    ]


def figures(store: Stores, tenant: Tenant) -> dict[str, Any]:
    return {
        "events": [(each.position, each.name) for each in store.events(tenant, Filters(), Page(limit=100)).events],
        "count": store.count(tenant, Filters()),
        "by name": store.count(tenant, Filters(name="n")),
        "names": sorted(each.value for each in store.observed(tenant, "name", 10)),
        "catalog": [(each.name, each.count) for each in store.catalog(tenant, CatalogPage(limit=10)).entries],
        "seen": sorted(store.seen_by_id(tenant, ["u", "v", "a"]), key=lambda each: each.value),
    }


@pytest.mark.parametrize("kind", ["clickhouse", "memory"])
@given(events, st.sampled_from([["u"], ["a", "u"], ["nobody"]]), st.integers(-1, 12), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_a_person_owns_what_their_user_or_anonymous_id_sent_up_to_a_position(
    clickhouse: ClickHouseStore, kind: str, given: list[dict[str, Any]], ids: list[str], upto: int, limit: int
) -> None:
    store: Stores = clickhouse if kind == "clickhouse" else MemoryStore()
    tenant, other = fresh_tenant(), fresh_tenant()
    placed = fill(tenant, given)
    for each in (tenant, other):
        store.insert([record_at(position, event) for position, event in fill(each, given)])
    bound = placed[min(upto, len(placed) - 1)][0] if upto >= 0 else 0
    wanted = [
        (position, dedup_key(event))
        for position, event in placed
        if position <= bound and (event.user_id or event.anonymous_id) in ids
    ]
    found = store.owned(tenant, ids, 0, bound, limit)
    assert [(each.position, dedup_key(each.event)) for each in found] == wanted[:limit]
    if found:
        rest = store.owned(tenant, ids, found[-1].position, bound, 100)
        assert [each.position for each in (*found, *rest)] == [position for position, _ in wanted]


@pytest.mark.parametrize("kind", ["clickhouse", "memory"])
@given(events, st.sampled_from([NOW_MS - 7 * HOUR_MS, NOW_MS, NOW_MS + 1, FUTURE_MS]), st.integers(0, 12))
@settings(max_examples=15, deadline=None)
def test_pruning_removes_what_is_older_by_either_time_and_figures_are_those_of_a_list_without_it(
    clickhouse: ClickHouseStore, kind: str, given: list[dict[str, Any]], before_ms: int, upto: int
) -> None:
    store: Stores = clickhouse if kind == "clickhouse" else MemoryStore()
    if isinstance(store, ClickHouseStore):
        empty(store)
    tenant, other = fresh_tenant(), fresh_tenant()
    placed = fill(tenant, given)
    store.insert([record_at(position, event) for position, event in placed])
    store.insert([record_at(position, event) for position, event in fill(other, given)])
    untouched = figures(store, other)
    bound = placed[min(upto, len(placed) - 1)][0]
    old = [
        position
        for position, event in placed
        if position <= bound and (event.timestamp_ms < before_ms or position < first_position(before_ms))
    ]
    assert store.old(tenant, before_ms, 0, bound) == len(old)
    assert store.old(tenant, before_ms, placed[0][0], bound) == sum(each > placed[0][0] for each in old)
    store.prune(tenant, before_ms, bound)
    spared = MemoryStore()
    kept = [record_at(position, event) for position, event in placed if position not in old]
    spared.insert(kept)
    assert figures(store, tenant) == figures(spared, tenant)
    assert store.old(tenant, before_ms, 0, bound) == 0
    assert figures(store, other) == untouched
