"""A measure of events equals a brute force over a list: every measure, filter, breakdown, interval and zone, and who is who."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import note
from hypothesis import strategies as st

from headrace.model.event import Tenant
from headrace.model.event_queries import MAX_BREAKDOWN, MEASURES, EventQuery, QueryAnswer
from headrace.model.filters import Filters
from headrace.model.zones import INTERVALS
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import event_of, fresh_tenant, records_of
from tests.queries import brute
from tests.queries.comparing import Draw, assert_covered, compare
from tests.queries.event_questions import assert_same, drawn_query, resolved
from tests.queries.given import Inserted, people

EXAMPLES = 40
_INTERVALS = (None, *INTERVALS)
_ASKED = 12  # of each history


@pytest.mark.timeout(600)
def test_every_measure_equals_a_brute_force_over_a_list(
    clickhouse: ClickHouseStore, capsys: pytest.CaptureFixture[str]
) -> None:
    covered: Counter[str] = Counter()

    def ask(draw: Draw, had: Inserted, merged: dict[str, str], ids_of: Any) -> None:
        turn = draw(st.integers(0, len(MEASURES) - 1))
        for number in range(_ASKED):
            measure, interval = MEASURES[(turn + number) % len(MEASURES)], _INTERVALS[number % len(_INTERVALS)]
            query = drawn_query(draw, had, measure, interval)
            note(f"{query}")
            expected = brute.measure(had.events, resolved(query, ids_of), merged)
            assert_same(clickhouse.measure_events(had.tenant, query), expected)
            count(covered, query, expected)
        covered["merged"] += bool(
            merged and brute.measure(had.events, _users(), merged) != brute.measure(had.events, _users(), {})
        )

    compare(clickhouse, "measures", EXAMPLES, ask)
    assert_covered(covered, expected_coverage(), capsys)


def _users() -> EventQuery:
    return EventQuery(filters=Filters(), measure="users")


def count(covered: Counter[str], query: EventQuery, expected: QueryAnswer) -> None:
    groups = expected.groups or ()
    covered[query.measure] += bool(expected.value)
    covered[f"interval {query.interval}"] += len(expected.series or ()) > 1 or query.interval is None
    covered[f"{len(query.breakdown)} fields"] += len(groups) > 1 or not query.breakdown
    covered["series of groups"] += any(len(group.series or ()) > 1 for group in groups)
    covered["truncated"] += expected.truncated
    covered["absent key"] += any(None in group.key for group in groups)
    covered["by person"] += len(groups) > 1 and any(field.kind == "person" for field in query.breakdown)
    for each in query.filters.conditions:
        covered[f"{each.op} of {each.field.kind}"] += bool(expected.value)


def expected_coverage() -> Iterator[str]:
    yield from MEASURES
    yield from (f"interval {interval}" for interval in (None, *INTERVALS))
    yield from (f"{number} fields" for number in range(MAX_BREAKDOWN + 1))
    yield from ("series of groups", "truncated", "absent key", "by person", "merged", "!= of person")


def _tenant_with(clickhouse: ClickHouseStore, **fields: Any) -> Tenant:
    tenant = fresh_tenant()
    clickhouse.insert(records_of([event_of(tenant, **fields)]))
    return tenant


def test_more_buckets_than_may_be_shown_are_refused(
    clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.model.errors import InvalidRequest
    from headrace.store import analysis

    monkeypatch.setattr(analysis, "MAX_BUCKETS", 0)
    tenant = _tenant_with(clickhouse, user_id="u")
    with pytest.raises(InvalidRequest, match="more than 0 buckets"):
        clickhouse.measure_events(tenant, EventQuery(filters=Filters(), measure="users", interval="1h"))


def test_people_with_too_many_merged_ids_are_counted_by_id_and_flagged(
    clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.store import merged

    monkeypatch.setattr(merged, "MAX_MERGED", 1)
    tenant = fresh_tenant()
    clickhouse.insert(records_of([event_of(tenant, user_id=each) for each in "uvw"]))
    with people(clickhouse, {"u": "w", "v": "w"}):
        found = clickhouse.measure_events(tenant, _users())
    assert (found.value, found.merged) == (3, False)


def test_an_edition_of_merged_ids_is_dropped_when_a_newer_one_is_loaded(clickhouse: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    clickhouse.insert(records_of([event_of(tenant, user_id=each) for each in "uvw"]))
    merged = {"u": "w"}
    held = "SELECT count() FROM merged_ids"
    with people(clickhouse, merged):
        assert clickhouse.measure_events(tenant, _users()).value == 2
        with clickhouse.engine.writers.lend() as client:
            before = client.command(held)
        assert clickhouse.measure_events(tenant, _users()).value == 2
        merged["v"] = "w"
        assert clickhouse.measure_events(tenant, _users()).value == 1
        merged.clear()
        assert clickhouse.measure_events(tenant, _users()).value == 3
    with clickhouse.engine.writers.lend() as client:
        assert int(client.command(held)) == int(before) + 1  # pyright: ignore


def test_an_erasure_drops_what_was_loaded_of_a_tenants_merged_ids_and_what_killed_processes_left(
    clickhouse: ClickHouseStore,
) -> None:
    tenant = fresh_tenant()
    clickhouse.insert(records_of([event_of(tenant, user_id=each) for each in "uvw"]))
    left = b'[7, "erased", "someone"]'
    with people(clickhouse, {"u": "w"}), clickhouse.engine.writers.lend() as client:
        assert clickhouse.measure_events(tenant, _users()).value == 2
        client.raw_insert("merged_ids", ("edition", "id", "person"), insert_block=left, fmt="JSONCompactEachRow")
        clickhouse.forget_merged(tenant)
        assert int(client.command("SELECT count() FROM merged_ids")) == 0  # pyright: ignore
        assert clickhouse.measure_events(tenant, _users()).value == 2
