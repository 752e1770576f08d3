"""Pages of one user's events, of one who has few and of one who has many, equal to a brute force over a list."""

import pytest

from headrace.model.event import Tenant
from headrace.model.filters import Cursor, Filters, Page
from headrace.store import events as reading
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries.conditions import Query
from tests.engine import event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore

START_MS = 1_735_689_600_000
BUSY = 30  # events
USER, VISITOR, NOBODY = Filters(user_id="u"), Filters(people=("u", "v")), Filters(user_id="nobody")
Stores = tuple[Tenant, ClickHouseStore, MemoryStore, list[Query]]


@pytest.fixture(params=[BUSY - 10, BUSY, 3 * BUSY], ids=["few", "just as many", "many"])
def stores(request: pytest.FixtureRequest, clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The same events in both, so many of them the user's; and the queries that the first is asked."""
    monkeypatch.setattr(reading, "_BUSY", BUSY)
    tenant, memory, asked = fresh_tenant(), MemoryStore(), list[Query]()
    owners = [{"user_id": "u"}, {"anonymous_id": "v"}, {"user_id": "other"}]
    records = records_of(
        # A few at each time, and the times in another order than the log's.
        event_of(tenant, timestamp_ms=START_MS + number * 7919 % 97 // 4 * 60_000, name=f"n{number % 3}", **owner)
        for number in range(request.param)
        for owner in owners
    )
    clickhouse.insert(records)
    memory.insert(records)
    monkeypatch.setattr(clickhouse.engine, "on_asked", lambda query, _seconds: asked.append(query))
    return tenant, clickhouse, memory, asked


@pytest.mark.parametrize("filters", [USER, VISITOR, NOBODY], ids=["user", "ids of a person", "nobody"])
@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (7, 3), (BUSY - 1, 0), (500, 0)])
def test_every_page_equals_the_brute_force(stores: Stores, filters: Filters, limit: int, offset: int) -> None:
    tenant, clickhouse, memory, _ = stores
    every = memory.events(tenant, Filters(), Page(limit=1000)).events
    cursors = [Cursor(every[place].timestamp_ms, every[place].position) for place in (*range(0, len(every), 11), -1)]
    for after in (None, Cursor(START_MS - 1, 0), *cursors):
        page = Page(limit=limit, offset=offset, after=after)
        assert clickhouse.events(tenant, filters, page) == memory.events(tenant, filters, page)


def test_what_a_user_has_and_what_is_newest_of_it_are_one_question_unless_it_is_much(
    stores: Stores,
) -> None:
    tenant, clickhouse, _, asked = stores
    found = clickhouse.events(tenant, USER, Page(limit=5))
    assert len(asked) == (2 if found.total < BUSY else 3)
