"""A measure of events equals a brute force over a list: every measure, filter, breakdown, interval and zone, and who is who."""

import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from headrace.model.conditions import Condition
from headrace.model.event import Tenant
from headrace.model.event_queries import MAX_BREAKDOWN, MEASURES, OF_NUMBERS, EventQuery, QueryAnswer
from headrace.model.filters import Filters
from headrace.model.zones import INTERVALS, zone_of
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import event_of, fresh_tenant, records_of
from tests.queries import brute, conditions
from tests.queries.given import ZONES, Inserted, histories, inserted, merges, people

EXAMPLES = int(os.environ.get("QUERY_EXAMPLES", "60"))
_INTERVALS = (None, *INTERVALS)
_ASKED = 12  # of each history


def _rarely(some: st.SearchStrategy[Any], usual: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 4).flatmap(lambda turn: st.just(usual) if turn < 4 else some)


def drawn_query(draw: Any, had: Inserted, measure: str, interval: str | None) -> EventQuery:
    kinds = ("column", "tag", "property", "nested", "person")
    times = sorted({event.timestamp_ms for event in had.events}) or [0]
    filters = Filters(
        from_ms=draw(_rarely(st.sampled_from(times), None)),
        to_ms=draw(_rarely(st.sampled_from(times), None)),
        name=draw(_rarely(st.just("visit"), None)),
        tags=draw(_rarely(st.just((("k", "x"),)), ())),
        conditions=[
            conditions.condition(draw, had.events, draw(st.sampled_from((None, None, "person"))))
            for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2))))
        ],
    )
    fields = [
        conditions.field(draw, had.events, draw(st.sampled_from(kinds)))
        for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2, MAX_BREAKDOWN))))
    ]
    number = draw(st.sampled_from(("value", "property", "nested")))
    return EventQuery(
        filters=filters,
        measure=measure,  # pyright: ignore[reportArgumentType]
        number=conditions.field(draw, had.events, number) if measure in OF_NUMBERS else None,
        breakdown=tuple(dict.fromkeys(fields)),
        interval=interval,  # pyright: ignore[reportArgumentType]
        zone=zone_of(draw(st.sampled_from(ZONES))),
        limit=draw(st.sampled_from((1, 2, 1000, 1000))),
    )


def resolved(query: EventQuery, ids_of: Any) -> EventQuery:
    """With every id of a person in place of one."""

    def all_ids(each: Condition) -> Condition:
        if each.field.kind != "person" or each.op == "exists":
            return each
        ids = [id_ for value in each.values for id_ in (ids_of(None, value) or [value])]
        return msgspec.structs.replace(each, values=ids)

    filters = msgspec.structs.replace(query.filters, conditions=[all_ids(each) for each in query.filters.conditions])
    return msgspec.structs.replace(query, filters=filters)


def assert_same(found: QueryAnswer, expected: QueryAnswer) -> None:
    assert _same(found.value, expected.value)
    assert (found.truncated, found.merged, found.exact) == (expected.truncated, True, True)
    assert _points(found.series, expected.series)
    if expected.groups is None:
        assert found.groups is None
        return
    assert found.groups is not None
    assert [group.key for group in found.groups] == [group.key for group in expected.groups]
    for one, other in zip(found.groups, expected.groups, strict=True):
        assert _same(one.value, other.value)
        assert _points(one.series, other.series)


def _points(found: Any, expected: Any) -> bool:
    if found is None or expected is None:
        return found is expected
    return [start for start, _ in found] == [start for start, _ in expected] and all(
        _same(one, other) for (_, one), (_, other) in zip(found, expected, strict=True)
    )


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else math.isclose(one, other, rel_tol=1e-14, abs_tol=1e-300)


@pytest.mark.timeout(600)
def test_every_measure_equals_a_brute_force_over_a_list(
    clickhouse: ClickHouseStore, capsys: pytest.CaptureFixture[str]
) -> None:
    covered: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="QUERY_EXAMPLES" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(history=histories(), merged=merges, data=st.data())
    def compare(history: list[dict[str, Any]], merged: dict[str, str], data: st.DataObject) -> None:
        had = inserted(clickhouse, history)
        turn = data.draw(st.integers(0, len(MEASURES) - 1))
        with people(clickhouse, merged) as ids_of:
            for number in range(_ASKED):
                query = drawn_query(
                    data.draw, had, MEASURES[(turn + number) % len(MEASURES)], _INTERVALS[number % len(_INTERVALS)]
                )
                note(f"{query} {merged}")
                expected = brute.measure(had.events, resolved(query, ids_of), merged)
                assert_same(clickhouse.measure_events(had.tenant, query), expected)
                count(covered, query, expected)
        covered["merged"] += bool(
            merged and brute.measure(had.events, _users(), merged) != brute.measure(had.events, _users(), {})
        )

    compare()
    with capsys.disabled():
        print(f"\n{covered.most_common()[:-9:-1]}")
    missing = [each for each in expected_coverage() if covered[each] < 3]
    assert not missing


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
