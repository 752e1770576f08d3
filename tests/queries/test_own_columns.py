"""Queries that read tags and properties from columns of their own answer as a brute force does, whichever parts have them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import note
from hypothesis import strategies as st

from headrace.model.conditions import Condition, Field
from headrace.model.event import Tenant
from headrace.model.event_queries import MEASURES
from headrace.model.filters import Dimension, Filters, Page
from headrace.model.own_columns import ColumnKey
from headrace.model.zones import INTERVALS
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import drop_own_columns, dsn, event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore
from tests.queries import brute
from tests.queries.comparing import Draw, assert_covered, compare
from tests.queries.event_questions import assert_same, drawn_query, resolved
from tests.queries.given import ODD, Inserted

EXAMPLES = 25
_ASKED = 12
_PATHS = [(key,) for key in ("k", "n", "b", "plan")] + [("b", "b"), ("b", "c")]
KEYS = [
    *(ColumnKey("tag", (key,)) for key in ("k", "plan", "n")),
    *(ColumnKey(kind, path) for kind in ("property", "number") for path in _PATHS),
]


@pytest.fixture(scope="module")
def columned(clickhouse: ClickHouseStore) -> Iterator[ClickHouseStore]:
    """A store that reads everything it can from columns, some of which the parts so far do not have."""
    store = ClickHouseStore(dsn())
    for key in KEYS:
        store.own.add(key, "p", 1)
    use_all(store)
    yield store
    drop_own_columns(store)
    store.close()


def use_all(store: ClickHouseStore) -> None:
    """Whether or not they are complete: then some parts compute them."""
    store.own._used = {column.key: column.name for column in store.own.own_columns()}


@pytest.mark.timeout(600)
def test_with_columns_every_measure_equals_a_brute_force(
    columned: ClickHouseStore, capsys: pytest.CaptureFixture[str]
) -> None:
    covered: Counter[str] = Counter()

    def ask(draw: Draw, had: Inserted, merged: dict[str, str], ids_of: Any) -> None:
        turn = draw(st.integers(0, len(MEASURES) - 1))
        for number in range(_ASKED):
            measure, interval = MEASURES[(turn + number) % len(MEASURES)], (None, *INTERVALS)[number % 3]
            query = drawn_query(draw, had, measure, interval)
            note(f"{query}")
            expected = brute.measure(had.events, resolved(query, ids_of), merged)
            assert_same(columned.measure_events(had.tenant, query), expected)
            fields = [each.field for each in query.filters.conditions]
            for field in (*fields, *query.breakdown, *([query.number] if query.number else ())):
                covered[field.kind] += bool(expected.value)

    compare(columned, "columns", EXAMPLES, ask)
    assert_covered(covered, ("tag", "property", "person", "column"), capsys)
    assert all(covered[kind] > 20 for kind in ("tag", "property"))


_VALUES = (0, 5, -1, 2.5, 1e300, 2**53, 1e-7, True, False, None, [], [1, "a"], {}, {"b": "x"}, {"b": None}, "")
_TEXTS = (
    "",
    "0",
    "5",
    "5.0",
    "2.5",
    "2.50",
    "1e2",
    "true",
    "false",
    "null",
    "[]",
    "[1]",
    '["a"]',
    "{}",
    '{"b":"x"}',
    '"a',
    '"',
    *ODD,
)


def test_every_kind_of_value_reads_the_same_with_and_without_a_column(
    clickhouse: ClickHouseStore, columned: ClickHouseStore
) -> None:
    """Of every value: as a filter, as a group, as JSON, as a number; and it is neither more nor less than the others."""
    memory, tenant = MemoryStore(), fresh_tenant()
    records = records_of(_with(tenant, value) for value in (*_VALUES, *_TEXTS))
    before, after = records[::2], records[1::2]
    memory.insert(records)
    clickhouse.insert(before)
    columned.insert(after)
    for store in (clickhouse, columned):
        for text in (*_TEXTS, "5.00", "100", "1e20", "1E300"):
            for filters in (Filters(properties=(("k", text),)), Filters(tags=(("k", text),))):
                assert store.count(tenant, filters) == memory.count(tenant, filters), (filters, store is columned)
        for value in (True, False, 5.0, 2.5, 1e300, "5", "a", '"'):
            for field in (Field("property", ("k",)), Field("property", ("k", "b"))):
                found = [Filters(conditions=[Condition(field, op, [value])]) for op in ("=", "!=")]
                assert [store.count(tenant, each) for each in found] == [memory.count(tenant, each) for each in found]
        for text in ("", "5", "a", "true", '"', *ODD[:2]):
            for op in ("=", "!="):
                filters = Filters(conditions=[Condition(Field("tag", ("k",)), op, [text])])
                assert store.count(tenant, filters) == memory.count(tenant, filters), (filters, store is columned)
        for kind in ("property", "tag"):
            dimension = Dimension(kind, "k")  # pyright: ignore[reportArgumentType]
            assert store.count(tenant, Filters(), group_by=dimension) == memory.count(
                tenant, Filters(), group_by=dimension
            )
        number = Dimension("property", "k")
        assert store.stats(tenant, Filters(), number) == memory.stats(tenant, Filters(), number)
        listed = store.events(tenant, Filters(tags=(("k", "a"),)), Page(limit=9)).events
        assert listed == memory.events(tenant, Filters(tags=(("k", "a"),)), Page(limit=9)).events


def _with(tenant: Tenant, value: object) -> Any:
    from headrace.dialects.wire import labels_and_numbers, object_of

    text, values = object_of(msgspec.Raw(msgspec.json.encode({"k": value})), "properties")
    labels, numbers = labels_and_numbers(values, {})
    return event_of(tenant, properties=text, labels=labels, numbers=numbers)
