"""Pages of events that lie close together: read in windows of time that widen, and equal to a brute force over a list."""

import pytest

from headrace.model.event import Tenant
from headrace.model.filters import Cursor, Filters, Page
from headrace.store import events as reading
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries.conditions import SLOT_MS, Query
from headrace.store.queries.events import PageBounds
from tests.engine import event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore

START_MS = 1_735_689_600_000 // SLOT_MS * SLOT_MS
# Evenly over a quarter of an hour, most of them in two of its seconds, ties at one time, and a few in other quarters.
MOMENTS = (
    *range(START_MS, START_MS + SLOT_MS, 9000),
    *range(START_MS + 30_000, START_MS + 32_000, 20),
    *[START_MS + 31_000] * 40,
    *range(START_MS - 3 * SLOT_MS, START_MS, 400_000),
)

Stores = tuple[Tenant, ClickHouseStore, MemoryStore, list[Query]]


@pytest.fixture
def stores(clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The same events in both; and the queries that the first is asked."""
    monkeypatch.setattr(reading, "_MANY", 10)
    tenant, memory, asked = fresh_tenant(), MemoryStore(), list[Query]()
    records = records_of(
        event_of(tenant, timestamp_ms=moment, name=f"n{number % 3}", tags={"plan": f"p{number % 7}"})
        for number, moment in enumerate(MOMENTS)
    )
    clickhouse.insert(records)
    memory.insert(records)
    monkeypatch.setattr(clickhouse.engine, "on_asked", lambda query, _seconds: asked.append(query))
    return tenant, clickhouse, memory, asked


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(name="n1"),
        Filters(tags=(("plan", "p3"),)),
        Filters(from_ms=START_MS + 29_999, to_ms=START_MS + 31_000),
        Filters(name="n2", to_ms=START_MS + 31_999),
    ],
    ids=["all", "name", "tag", "range", "name and end"],
)
@pytest.mark.parametrize(("limit", "offset"), [(7, 0), (7, 11), (150, 0)])
def test_every_page_equals_the_brute_force(stores: Stores, filters: Filters, limit: int, offset: int) -> None:
    tenant, clickhouse, memory, _ = stores
    cursors: list[Cursor | None] = [None]
    every = memory.events(tenant, filters, Page(limit=1000)).events
    cursors += [Cursor(every[place].timestamp_ms, every[place].position) for place in range(0, len(every), 41)]
    for after in cursors:
        page = Page(limit=limit, offset=offset, after=after)
        assert clickhouse.events(tenant, filters, page) == memory.events(tenant, filters, page)


def test_a_page_within_a_dense_quarter_is_looked_for_in_its_newest_moments_first(
    stores: Stores,
) -> None:
    tenant, clickhouse, _, asked = stores
    after = Cursor(START_MS + SLOT_MS - 1, 2**62)
    found = clickhouse.events(tenant, Filters(), Page(limit=2, after=after))
    assert len(found.events) == 2
    *_, last = asked
    assert last.params["floor_ms"] > START_MS, "not all of the quarter was read"


def test_windows_widen_in_few_steps_and_end_with_all() -> None:
    bounds = PageBounds(floor_ms=100, top_ms=100 + 900_000, between=10_000_000)
    floors = [each.floor_ms for each in bounds.windows(1001, 50_000)]
    assert floors[0] == bounds.top_ms - 4 * 1001 * 900_000 // 10_000_000
    assert floors == sorted(floors, reverse=True)
    assert len(floors) <= 5
    assert floors[-1] == 100
    few = PageBounds(floor_ms=100, top_ms=900_100, between=49_999)
    assert list(few.windows(51, 50_000)) == [few]
