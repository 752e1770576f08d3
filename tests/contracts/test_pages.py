"""Pages of every store, however the events are found: by a user, by a tag that is one, by one that is a property."""

import json

import pytest

from headrace.model.event import Tenant
from headrace.model.filters import CatalogPage, Cursor, Filters, Page
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import NOW_MS, event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore

Stores = ClickHouseStore | MemoryStore
COUNT = 12


@pytest.fixture(params=["clickhouse", "memory"])
def store(request: pytest.FixtureRequest) -> Stores:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("clickhouse")


@pytest.fixture
def tenant(store: Stores) -> Tenant:
    """Twelve events of one user, a second apart; each of two names, with tags and with string properties."""
    tenant = fresh_tenant()
    store.insert(
        records_of(
            event_of(
                tenant,
                name="ab"[number % 2],
                timestamp_ms=NOW_MS + number * 1000,
                user_id="u",
                value=float(number),
                tags={"cold": "yes", "plan": "pro"},
                properties='{"label":"yes"}',
                labels={"label": "yes"},
            )
            for number in range(COUNT)
        )
    )
    return tenant


WAYS = {
    "all": Filters(),
    "user": Filters(user_id="u"),
    "name and user": Filters(user_id="u", name_prefix=""),
    "tag": Filters(tags=(("cold", "yes"),)),
    "hot tag": Filters(tags=(("plan", "pro"),)),
    "string property": Filters(tags=(("label", "yes"),)),
    "two tags": Filters(tags=(("label", "yes"), ("cold", "yes"))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_page_is_full_as_long_as_there_are_events_for_it(
    store: Stores, tenant: Tenant, way: str, oldest_first: bool
) -> None:
    order = [float(number) for number in range(COUNT)] if oldest_first else [float(n) for n in range(COUNT)][::-1]
    for limit, offset in ((1, 0), (3, 0), (3, 4), (COUNT - 1, 0), (COUNT, 0), (2, COUNT - 2), (2, COUNT - 1), (150, 1)):
        found = store.events(tenant, WAYS[way], Page(limit=limit, offset=offset, oldest_first=oldest_first))
        assert [event.value for event in found.events] == order[offset : offset + limit], (limit, offset)
        assert (found.total, found.more) == (COUNT, offset + limit < COUNT), (limit, offset)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("limit", [1, 3, 5, COUNT])
def test_pages_by_cursor_are_full_but_for_the_last(store: Stores, tenant: Tenant, way: str, limit: int) -> None:
    seen: list[float | None] = []
    cursor, more = None, True
    while more:
        found = store.events(tenant, WAYS[way], Page(limit=limit, after=cursor))
        assert len(found.events) == min(limit, COUNT - len(seen))
        seen += [event.value for event in found.events]
        cursor, more = Cursor(found.events[-1].timestamp_ms, found.events[-1].position), found.more
    assert seen == [float(number) for number in range(COUNT)][::-1]


def test_an_empty_tag_beside_another_wants_its_key(store: Stores, tenant: Tenant) -> None:
    store.insert(records_of([event_of(tenant, name="empty", tags={"cold": "yes", "label": ""})]))
    for tags in ((("cold", "yes"), ("label", "")), (("label", ""), ("cold", "yes"))):
        found = store.events(tenant, Filters(tags=tags), Page(limit=99))
        assert [event.name for event in found.events] == ["empty"]
    assert store.count(tenant, Filters(tags=(("cold", "yes"), ("label", "yes")))).total == COUNT
    assert store.count(tenant, Filters(tags=(("cold", "yes"), ("other", "")))).total == 0


def test_a_property_is_shown_in_the_catalogue_with_the_first_200_characters_of_its_key(store: Stores) -> None:
    tenant = fresh_tenant()
    labels = {"k" * 200: "", "l" * 201: ""}
    store.insert(records_of([event_of(tenant, properties=json.dumps(labels), labels=labels)]))
    [entry] = store.catalog(tenant, CatalogPage(limit=9)).entries
    assert [key for key, _ in entry.properties] == ["k" * 200, "l" * 200]
