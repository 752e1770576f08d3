"""Funnels, retention and paths equal a brute force over a list: equal times, changes of clocks, repeats, merges."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import note
from hypothesis import strategies as st

from headrace.model.conditions import Condition, Field
from headrace.model.filters import Filters
from headrace.model.funnels import (
    PERIODS,
    FunnelAnswer,
    FunnelQuery,
    PathsQuery,
    Reached,
    RetentionQuery,
    Step,
)
from headrace.model.zones import zone_of
from headrace.store.clickhouse import ClickHouseStore
from tests.queries import brute, conditions
from tests.queries.comparing import Draw, assert_covered, compare, rarely
from tests.queries.given import HOUR, NAMES, ZONES, Inserted

EXAMPLES = 80
_WINDOWS = (1, HOUR, 24 * HOUR, 40 * 24 * HOUR)
Ask = Callable[[Any, Inserted, dict[str, str], Counter[str]], None]


def step(draw: Any, had: Inserted) -> Step:
    """Mostly a name, which is what most steps are."""
    if draw(st.sampled_from((True, True, True, True, False))):
        return [Condition(Field("column", ("name",)), "=", [draw(st.sampled_from((*NAMES, *NAMES[:2], *NAMES[:2])))])]
    return [
        conditions.condition(draw, had.events, draw(st.sampled_from(("column", "tag", "property", "nested", "value"))))
    ]


def drawn_filters(draw: Any, had: Inserted) -> Filters:
    times = sorted({event.timestamp_ms for event in had.events}) or [0]
    return Filters(
        from_ms=draw(rarely(st.sampled_from(times))),
        to_ms=draw(rarely(st.sampled_from(times))),
        conditions=[
            conditions.condition(draw, had.events, "column") for _ in range(draw(st.sampled_from((0, 0, 0, 1))))
        ],
    )


def ask_funnel(store: ClickHouseStore) -> Ask:
    def ask(draw: Any, had: Inserted, merged: dict[str, str], covered: Counter[str]) -> None:
        fields = [
            conditions.field(draw, had.events, draw(st.sampled_from(("column", "tag", "property")))) for _ in range(2)
        ]
        query = FunnelQuery(
            filters=drawn_filters(draw, had),
            steps=[step(draw, had) for _ in range(draw(st.sampled_from((1, 2, 3, 3, 4))))],
            window_ms=draw(st.sampled_from((*_WINDOWS, _WINDOWS[-1]))),
            order=draw(st.sampled_from(("loose", "strict"))),
            breakdown=tuple(dict.fromkeys(fields[: draw(st.integers(0, 2))])),
            limit=draw(st.sampled_from((1, 1000))),
        )
        note(f"{query}")
        expected = brute.funnel(had.events, query, merged)
        assert_same(store.funnel(had.tenant, query), expected)
        reached = [each.count for each in expected.steps]
        covered[f"{query.order} order"] += len(reached) > 1 and reached[1] > 0
        covered["three steps"] += len(reached) > 2 and reached[2] > 0
        covered["some gave up"] += len(reached) > 1 and 0 < reached[1] < reached[0]
        covered["took time"] += any(each.average_ms for each in expected.steps)
        covered["groups"] += len(expected.groups or ()) > 1
        covered["truncated groups"] += expected.truncated
        covered["merges in funnels"] += merged != {} and brute.funnel(had.events, query, {}) != expected

    return ask


def assert_same(found: FunnelAnswer, expected: FunnelAnswer) -> None:
    assert _same(found.steps, expected.steps)
    assert (found.truncated, found.merged) == (expected.truncated, True)
    assert (found.groups is None) == (expected.groups is None)
    assert [group.key for group in found.groups or ()] == [group.key for group in expected.groups or ()]
    for one, other in zip(found.groups or (), expected.groups or (), strict=True):
        assert _same(one.steps, other.steps)


def _same(found: Any, expected: Any) -> bool:
    return all(_close(one, other) for one, other in zip(found, expected, strict=True))


def _close(one: Reached, other: Reached) -> bool:
    if other.average_ms is None or one.average_ms is None:
        return one == other
    return (one.count, one.median_ms) == (other.count, other.median_ms) and math.isclose(
        one.average_ms, other.average_ms
    )


def ask_retention(store: ClickHouseStore) -> Ask:
    def ask(draw: Any, had: Inserted, merged: dict[str, str], covered: Counter[str]) -> None:
        query = RetentionQuery(
            filters=drawn_filters(draw, had),
            first=step(draw, had),
            returning=step(draw, had),
            period=draw(st.sampled_from(PERIODS)),
            periods=draw(st.sampled_from((1, 3, 8))),
            zone=zone_of(draw(st.sampled_from(ZONES))),
        )
        note(f"{query}")
        expected = brute.retention(had.events, query, merged)
        assert store.retention(had.tenant, query) == expected
        covered[f"by {query.period}"] += any(any(cohort.returned[1:]) for cohort in expected.cohorts)
        covered["same period"] += any(cohort.returned[0] for cohort in expected.cohorts)
        covered["cohorts"] += len(expected.cohorts) > 1
        covered["merges in retention"] += merged != {} and brute.retention(had.events, query, {}) != expected

    return ask


def ask_paths(store: ClickHouseStore) -> Ask:
    def ask(draw: Any, had: Inserted, merged: dict[str, str], covered: Counter[str]) -> None:
        query = PathsQuery(
            filters=drawn_filters(draw, had),
            start=step(draw, had),
            direction=draw(st.sampled_from(("after", "before"))),
            steps=draw(st.integers(1, 4)),
            window_ms=draw(st.sampled_from(_WINDOWS)),
            limit=draw(st.sampled_from((1, 3, 1000))),
        )
        note(f"{query}")
        expected = brute.paths(had.events, query, merged)
        assert store.paths(had.tenant, query) == expected
        covered[f"paths {query.direction}"] += len(expected.paths) > 1
        covered["longer paths"] += any(len(path.names) > 2 for path in expected.paths)
        covered["truncated paths"] += expected.truncated
        covered["cut by the window"] += query.window_ms == 1 and bool(expected.paths)
        covered["merges in paths"] += merged != {} and brute.paths(had.events, query, {}) != expected

    return ask


COVERED = {
    "funnel": (
        *("loose order", "strict order", "three steps", "some gave up", "took time", "groups"),
        *("truncated groups", "merges in funnels"),
    ),
    "retention": (*(f"by {period}" for period in PERIODS), "same period", "cohorts", "merges in retention"),
    "paths": ("paths after", "paths before", "longer paths", "truncated paths", "cut by the window", "merges in paths"),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "asking"), [("funnel", ask_funnel), ("retention", ask_retention), ("paths", ask_paths)]
)
def test_every_question_of_people_equals_a_brute_force_over_a_list(
    clickhouse: ClickHouseStore, capsys: pytest.CaptureFixture[str], kind: str, asking: Callable[[ClickHouseStore], Ask]
) -> None:
    covered: Counter[str] = Counter()
    question = asking(clickhouse)

    def ask(draw: Draw, had: Inserted, merged: dict[str, str], _ids_of: Any) -> None:
        for _ in range(5):
            question(draw, had, merged, covered)

    compare(clickhouse, kind, EXAMPLES, ask)
    assert_covered(covered, COVERED[kind], capsys)
