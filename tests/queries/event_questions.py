"""Questions about measures of events, drawn of what some events have, and what it means that two answers are the same."""

import math
from typing import Any

import msgspec
from hypothesis import strategies as st

from headrace.model.conditions import Condition
from headrace.model.event_queries import MAX_BREAKDOWN, OF_NUMBERS, EventQuery, QueryAnswer
from headrace.model.filters import Filters
from headrace.model.zones import zone_of
from tests.queries import conditions
from tests.queries.comparing import rarely
from tests.queries.given import ZONES, Inserted


def drawn_query(draw: Any, had: Inserted, measure: str, interval: str | None) -> EventQuery:
    kinds = ("column", "tag", "property", "nested", "person")
    times = sorted({event.timestamp_ms for event in had.events}) or [0]
    filters = Filters(
        from_ms=draw(rarely(st.sampled_from(times))),
        to_ms=draw(rarely(st.sampled_from(times))),
        name=draw(rarely(st.just("visit"))),
        tags=draw(rarely(st.just((("k", "x"),)), ())),
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
