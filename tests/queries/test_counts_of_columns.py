"""What is answered from the counts of a column is what a brute force answers, whichever parts have them."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.conditions import Condition, Field
from headrace.model.event import Event, Tenant
from headrace.model.filters import Cursor, Dimension, Filters, Page
from headrace.model.own_columns import COUNTED_BY, ColumnKey, CountedBy
from headrace.model.zones import zone_of
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries import counts
from headrace.store.queries import events as pages
from headrace.store.queries import own_columns as queries
from headrace.store.queries.conditions import SLOT_MS, Query
from tests.engine import drop_own_columns, dsn, event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore
from tests.queries.comparing import drawn, in_rounds, rarely

EXAMPLES, ROUNDS, ASKED = 10, 6, 12
PLAN, KIND = Field("tag", ("plan",)), Field("property", ("kind",))
START_MS = 1_743_296_400_000 - 2 * SLOT_MS  # half an hour before Berlin's clocks go forward
KEYS = (ColumnKey("tag", ("plan",)), ColumnKey("property", ("kind",)), ColumnKey("number", ("kind",)))


@pytest.fixture(scope="module")
def counted(clickhouse: ClickHouseStore) -> Iterator[ClickHouseStore]:
    """A store that reads counts of what it can. New parts have them from now on, and those so far do not."""
    store = ClickHouseStore(dsn())
    for key in KEYS:
        store.own.add(key, "p", 1)
    for column in store.own.own_columns():
        if column.key in KEYS[:2]:
            for by in COUNTED_BY:
                store.own.count(column, by)
    on_insert(store, True)
    use_all(store)
    yield store
    on_insert(store, False)
    drop_own_columns(store)
    store.close()


def use_all(store: ClickHouseStore) -> None:
    """Whether or not they are complete."""
    columns = [each for each in store.own.own_columns() if each.key in KEYS]
    store.own._used = {each.key: each.name for each in columns}
    store.own._counts = {(each.name, by): queries.counts_of(each.name, by) for each in columns for by in each.counting}


def on_insert(store: ClickHouseStore, is_on: bool) -> None:
    with store.engine.writers.lend() as client:
        client.command(f"ALTER TABLE events MODIFY SETTING materialize_projections_on_insert = {int(is_on)}")


times = st.builds(lambda slots, beside: START_MS + slots * SLOT_MS + beside, st.integers(0, 9), st.integers(-1, 1))
plans = st.sampled_from(("pro", "free", "", "é'"))
kinds = st.sampled_from(("web", "5", 5, True, None))


@st.composite
def some_events(draw: st.DrawFn, tenant: Tenant) -> list[Event]:
    def made(name: str, at_ms: int, tags: dict[str, str], kind: Any, source: str) -> Event:
        properties = {"web": '{"kind":"web"}', "5": '{"kind":"5"}', 5: '{"kind":5}', True: '{"kind":true}'}.get(
            kind, "{}"
        )
        labels = {"kind": kind} if isinstance(kind, str) else {}
        numbers = {"kind": 5.0} if kind == 5 and kind is not True and not isinstance(kind, str) else {}
        return event_of(
            tenant, name=name, timestamp_ms=at_ms, tags=tags, source=source, properties=properties, labels=labels,
            numbers=numbers,
        )  # fmt: skip

    names, sources = st.sampled_from(("visit", "visits", "buy")), st.sampled_from(("flux", "flux", "solute"))
    tags = st.dictionaries(st.just("plan"), plans, max_size=1)
    return draw(st.lists(st.builds(made, names, times, tags, kinds, sources), min_size=1, max_size=40))


@st.composite
def some_filters(draw: st.DrawFn) -> Filters:
    return Filters(
        name=draw(rarely(st.sampled_from(("visit", "none")))),
        name_prefix=draw(rarely(st.just("visit"))),
        source=draw(rarely(st.just("flux"))),
        from_ms=draw(st.none() | times),
        to_ms=draw(st.none() | times),
        tags=draw(st.sampled_from(((), (("plan", "pro"),), (("plan", ""),), (("plan", "pro"), ("plan", "free"))))),
        properties=draw(rarely(st.sampled_from(((("kind", "web"),), (("kind", "5"),))), ())),
        conditions=draw(st.lists(conditions, max_size=2)),
    )


conditions = st.sampled_from(
    (
        Condition(Field("column", ("name",)), "in", ["visit", "buy"]),
        Condition(Field("column", ("source",)), "=", ["flux"]),
        Condition(Field("column", ("type",)), "=", ["track"]),
        Condition(PLAN, "!=", ["pro"]),
        Condition(PLAN, "in", ["", "é'"]),
        Condition(PLAN, "exists", [False]),
        Condition(PLAN, "contains", ["r"]),
        Condition(KIND, "=", ["5"]),
        Condition(KIND, "=", [5.0]),
        Condition(KIND, "=", [True]),
        Condition(KIND, ">", [4.0]),
        Condition(KIND, "!=", ["web"]),
    )
)


@pytest.mark.timeout(600)
def test_counts_series_groups_and_lists_equal_a_brute_force(
    clickhouse: ClickHouseStore, counted: ClickHouseStore
) -> None:
    @drawn(EXAMPLES)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        tenant, memory = fresh_tenant(), MemoryStore()
        records = records_of(data.draw(some_events(tenant)))
        memory.insert(records)
        with_counts = data.draw(st.integers(0, len(records)))
        counted.insert(records[:with_counts])
        on_insert(counted, False)
        counted.insert(records[with_counts:])
        on_insert(counted, True)
        for _ in range(ASKED):
            ask(data.draw, tenant, memory)

    def ask(draw: Any, tenant: Tenant, memory: MemoryStore) -> None:
        filters = draw(some_filters())
        interval = draw(st.sampled_from((None, "1h", "15m", "1m", "1d", "1w")))
        zone = zone_of(draw(st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu"))))
        by = draw(st.sampled_from((None, Dimension("name"), Dimension("tag", "plan"), Dimension("property", "kind"))))
        for store in (counted, clickhouse):
            assert store.count(tenant, filters, interval, by, zone) == memory.count(tenant, filters, interval, by, zone)
        whole = memory.events(tenant, filters, Page(limit=100)).events
        after = draw(st.sampled_from([None, *(Cursor(each.timestamp_ms, each.position) for each in whole)]))
        page = Page(limit=draw(st.integers(1, 5)), after=after)
        assert counted.events(tenant, filters, page) == memory.events(tenant, filters, page)

    in_rounds(compare, ROUNDS)


def test_questions_about_one_column_names_and_times_read_its_counts_and_no_events(counted: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    counted.insert(
        records_of(
            event_of(
                tenant, tags={"plan": "pro"}, properties='{"kind":"web"}', name=name, timestamp_ms=START_MS + number
            )
            for name in ("visit", "buy")
            for number in range(900)
        )
    )
    pro = (("plan", "pro"),)
    aligned: dict[str, Any] = {"from_ms": START_MS, "to_ms": START_MS + 4 * SLOT_MS - 1}

    def read(query: Query) -> str:
        with counted.engine.readers.lend() as client:
            text = f"EXPLAIN {query.with_settings()}"
            found = client.raw_query(text, query.params, fmt="TabSeparatedRaw").decode()
        return " ".join(line.split("ReadFromMergeTree")[1].strip() for line in found.splitlines() if "ReadFrom" in line)

    def counts_of(key: ColumnKey, by: CountedBy) -> str:
        return f"({counted.own.counts_of(str(counted.own.of(key.kind, key.path)), by)})"

    plan, of_name, kind = counts_of(KEYS[0], "time"), counts_of(KEYS[0], "name"), counts_of(KEYS[1], "time")
    named = Filters(name="visit", tags=pro, **aligned)
    told = Filters(conditions=[Condition(PLAN, "!=", ["free"]), Condition(Field("column", ("name",)), "=", ["visit"])])
    hot = counted.own
    assert read(counts.total(tenant, Filters(tags=pro), hot)) == plan
    assert read(counts.total(tenant, named, hot)) == of_name
    assert read(counts.total(tenant, told, hot)) == of_name
    assert read(counts.total(tenant, Filters(conditions=[Condition(KIND, "=", ["web"])]), hot)) == kind
    assert read(counts.series(tenant, Filters(tags=pro), "1h", zone_of("UTC"), hot)) == plan
    assert read(counts.groups(tenant, Filters(), Dimension("tag", "plan"), hot)) == plan
    assert read(counts.groups(tenant, Filters(name="visit"), Dimension("tag", "plan"), hot)) == of_name
    assert read(counts.groups(tenant, Filters(tags=pro), Dimension("name"), hot)) == of_name
    assert read(pages.outline(tenant, Filters(tags=pro), Page(limit=5), hot)) == plan
    assert read(counts.total(tenant, Filters(conditions=[told.conditions[1]]), hot)) == "(by_slot)"
    assert read(counts.total(tenant, Filters(), hot)) == "(by_time)"
    events = "(default.events)"
    assert read(counts.total(tenant, Filters(tags=pro, source="flux"), hot)) == events
    assert read(counts.total(tenant, Filters(tags=pro, properties=(("kind", "web"),)), hot)) == events
    assert read(counts.series(tenant, Filters(tags=pro), "1m", zone_of("UTC"), hot)) == events
    assert read(counts.groups(tenant, Filters(tags=pro), Dimension("property", "kind"), hot)) == events
