"""What the MetricReader port promises, of every store: the same as ten lines over a list, and no event among the points."""

import math
from random import Random
from typing import get_args

import msgspec
import pytest

from headrace.model.event import Tenant
from headrace.model.filters import MAX_GROUPS, Filters, Page
from headrace.model.measures import MAX_METRICS, Aggregation, Measured, MetricList, MetricType, Question, point
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import NOW_MS, event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore

Stores = ClickHouseStore | MemoryStore
AGGREGATIONS = tuple(each for each in get_args(Aggregation) if each != "cardinality")
HOUR_MS = 3_600_000


@pytest.fixture(params=["clickhouse", "memory"])
def store(request: pytest.FixtureRequest) -> Stores:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("clickhouse")


@pytest.fixture
def tenant() -> Tenant:
    return fresh_tenant()


def put(store: Stores, tenant: Tenant, *points: tuple[str, MetricType, float | str, int, dict[str, str]]) -> None:
    store.insert(
        records_of(
            point(tenant, "flux.metrics", name, kind, NOW_MS + at_ms, value, tags, "")
            for name, kind, value, at_ms, tags in points
        )
    )


def ask(store: Stores, tenant: Tenant, kind: MetricType, *aggregations: Aggregation, **more: object) -> Measured:
    filters = Filters(name="m", **more.pop("filters", {}))  # type: ignore[arg-type]
    return store.measure(tenant, Question("m", kind, filters, aggregations, **more))  # type: ignore[arg-type]


def test_points_are_no_events_and_events_no_points(store: Stores, tenant: Tenant) -> None:
    store.insert(records_of([event_of(tenant, name="m", value=7.0)]))
    assert store.metrics(tenant) == MetricList([], 0)
    put(store, tenant, ("m", "gauge", 1.0, 0, {}), ("n", "set", "u", 0, {}))
    assert store.count(tenant, Filters()).total == 1
    assert [event.value for event in store.events(tenant, Filters(), Page(limit=9)).events] == [7.0]
    assert [seen.value for seen in store.observed(tenant, "name", 9)] == ["m"]
    assert [metric.name for metric in store.metrics(tenant).metrics] == ["m", "n"]
    assert ask(store, tenant, "gauge", "count", "sum").figures == [1.0, 1.0]


def test_no_point_of_another_project_or_mode_counts(store: Stores, tenant: Tenant) -> None:
    put(store, fresh_tenant(), ("m", "gauge", 1.0, 0, {}))
    put(store, Tenant(tenant.project, "test"), ("m", "gauge", 2.0, 0, {}))
    assert store.metrics(tenant) == MetricList([], 0)
    assert store.metric(tenant, "m") is None
    assert ask(store, tenant, "gauge", "count", "last").figures == [0.0, None]


def test_a_metric_has_the_type_of_its_latest_point_and_only_that_ones_points(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, ("m", "gauge", 1.0, 5, {"a": "1"}), ("m", "counter", 2.0, 0, {"b": "1"}))
    metric = store.metric(tenant, "m")
    assert metric
    assert (metric.type, metric.points, metric.first_ms, metric.tags) == ("counter", 1, NOW_MS, ["b"])
    assert ask(store, tenant, "counter", "sum").figures == [2.0]


def test_the_last_value_is_the_latest_in_time_and_of_one_moment_the_last_received(
    store: Stores, tenant: Tenant
) -> None:
    put(store, tenant, ("m", "gauge", 3.0, 9, {}), ("m", "gauge", 1.0, 0, {}), ("m", "gauge", 2.0, 9, {}))
    assert ask(store, tenant, "gauge", "last").figures == [2.0]


def test_a_set_counts_each_member_once(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *(("m", "set", f"u{number % 7}", number * HOUR_MS // 4, {}) for number in range(20)))
    measured = ask(store, tenant, "set", "cardinality", interval="1h")
    assert measured.figures == [7.0]
    assert [bucket.figures for bucket in measured.series or ()] == [[4.0]] * 5


def test_every_figure_equals_a_brute_force(clickhouse: ClickHouseStore, tenant: Tenant) -> None:
    chance = Random(6)
    memory = MemoryStore()
    points = [
        (
            chance.choice(("m", "m", "m", "other")),
            chance.choice(("distribution", "distribution", "gauge")),
            chance.choice((chance.uniform(-1e6, 1e6), float(chance.randrange(-9, 9)), 0.1)),
            chance.randrange(6 * HOUR_MS),
            {key: chance.choice(("x", "y", "", "é")) for key in ("a", "b") if chance.random() < 0.7},
        )
        for _ in range(400)
    ]
    records = records_of(
        point(tenant, "flux.metrics", name, kind, NOW_MS + at_ms, value, tags, "")
        for name, kind, value, at_ms, tags in points
    )
    for store in (clickhouse, memory):
        store.insert(records)
    assert clickhouse.metrics(tenant) == memory.metrics(tenant)
    assert clickhouse.metric(tenant, "m") == memory.metric(tenant, "m")
    for kind in ("distribution", "gauge"):
        for interval in (None, "5m", "1h", "1d"):
            for group_by in ("", "a", "nothing"):
                for narrowed in (
                    {},
                    {"tags": [("b", "x")]},
                    {"from_ms": NOW_MS + HOUR_MS, "to_ms": NOW_MS + 2 * HOUR_MS},
                ):
                    question = Question(
                        "m",
                        kind,
                        Filters(name="m", **narrowed),
                        AGGREGATIONS,
                        interval,
                        group_by,  # type: ignore[arg-type]
                    )
                    assert_equal(clickhouse.measure(tenant, question), memory.measure(tenant, question))


def assert_equal(found: Measured, wanted: Measured) -> None:
    """Sums and means of values up to a million to fifteen digits; all else exactly."""
    left, right = flat(msgspec.to_builtins(found)), flat(msgspec.to_builtins(wanted))
    assert left.keys() == right.keys()
    for path, value in right.items():
        other = left[path]
        close = (
            isinstance(value, float)
            and isinstance(other, float)
            and math.isclose(value, other, rel_tol=1e-14, abs_tol=1e-9)
        )
        assert close or value == other, (path, other, value)


def flat(value: object) -> dict[str, object]:
    """The leaves by their paths."""
    if isinstance(value, dict):
        pairs = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(index), each) for index, each in enumerate(value)]
    else:
        return {"": value}
    return {f"{key}.{path}": leaf for key, each in pairs for path, leaf in flat(each).items()} | {"": len(pairs)}


def test_groups_past_the_most_that_are_shown_are_said_to_be_missing(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *(("m", "counter", 1.0, 0, {"k": str(number)}) for number in range(MAX_GROUPS + 1)))
    measured = ask(store, tenant, "counter", "sum", group_by="k", interval="1h")
    assert len(measured.groups or ()) == MAX_GROUPS
    assert measured.truncated
    assert measured.figures == [MAX_GROUPS + 1.0]


def test_of_more_metrics_than_a_list_shows_the_first_are_listed_and_all_are_counted(
    store: Stores, tenant: Tenant
) -> None:
    put(store, tenant, *((f"m{number:05}", "gauge", 1.0, 0, {}) for number in range(MAX_METRICS + 3)))
    found = store.metrics(tenant)
    assert [metric.name for metric in found.metrics] == [f"m{number:05}" for number in range(MAX_METRICS)]
    assert found.total == MAX_METRICS + 3
