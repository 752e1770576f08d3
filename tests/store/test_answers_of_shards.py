"""What a store answers whose events are on two shards: the same as one whose events are on one server.

Of the store's contract, the tests that ask each question once; all of them passed here on 2026-11-30.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from headrace.model.conditions import Condition, Field
from headrace.model.event import Tenant
from headrace.model.event_queries import EventQuery
from headrace.model.filters import Dimension, Filters
from headrace.model.funnels import FunnelQuery, PathsQuery, RetentionQuery
from headrace.model.measures import Question, point
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries import analysis, catalog, counts, metrics
from tests.contracts.test_store import (
    tenant,
    test_a_property_s_statistics_take_its_numbers_alone,
    test_a_tag_filter_for_the_empty_string_wants_the_key,
    test_an_event_comes_back_as_it_went_in,
    test_buckets_begin_at_whole_intervals_in_utc,
    test_cursor_pages_give_each_event_once_while_events_arrive,
    test_erased_events_are_gone_from_every_answer_and_others_are_not,
    test_events_are_got_by_id_oldest_first_and_each_once,
    test_events_without_the_key_are_in_the_total_but_in_no_group,
    test_observed_names_and_sources_have_their_count_and_times,
    test_percentiles_interpolate_linearly,
    test_present_names_the_events_between_two_positions_of_every_tenant,
    test_records_of_two_months_are_refused_whole,
    test_the_catalogue_has_each_name_once_with_its_count_and_times,
    test_the_catalogue_shows_each_names_latest_event,
    test_the_event_at_a_position_is_given_with_what_its_key_is_made_of_and_without_a_key_too,
)
from tests.engine import NOW_MS, event_of, fresh_tenant, records_of

__all__ = [
    "tenant",
    "test_a_property_s_statistics_take_its_numbers_alone",
    "test_a_tag_filter_for_the_empty_string_wants_the_key",
    "test_an_event_comes_back_as_it_went_in",
    "test_buckets_begin_at_whole_intervals_in_utc",
    "test_cursor_pages_give_each_event_once_while_events_arrive",
    "test_erased_events_are_gone_from_every_answer_and_others_are_not",
    "test_events_are_got_by_id_oldest_first_and_each_once",
    "test_events_without_the_key_are_in_the_total_but_in_no_group",
    "test_observed_names_and_sources_have_their_count_and_times",
    "test_percentiles_interpolate_linearly",
    "test_present_names_the_events_between_two_positions_of_every_tenant",
    "test_records_of_two_months_are_refused_whole",
    "test_the_catalogue_has_each_name_once_with_its_count_and_times",
    "test_the_catalogue_shows_each_names_latest_event",
    "test_the_event_at_a_position_is_given_with_what_its_key_is_made_of_and_without_a_key_too",
]


@pytest.fixture
def store(on_cluster: ClickHouseStore) -> ClickHouseStore:
    return on_cluster


HOUR_MS = 3_600_000
TENANT = fresh_tenant()
NAMES = ("a", "b", "c")


def _step(name: str) -> list[Condition]:
    return [Condition(Field("column", ("name",)), "=", [name])]


ALL = Filters()
BY_TAG = [Field("tag", ("plan",))]
# What is worked out of rows that several shards have, each in a way of its own.
ASKED: dict[str, Callable[[ClickHouseStore], Any]] = {
    "people": lambda store: store.measure_events(TENANT, EventQuery(filters=ALL, measure="users", breakdown=BY_TAG)),
    "median": lambda store: store.measure_events(
        TENANT, EventQuery(filters=ALL, measure="p50", number=Field("value", ()), interval="1h", breakdown=BY_TAG)
    ),
    "funnel": lambda store: store.funnel(
        TENANT, FunnelQuery(filters=ALL, steps=[_step("a"), _step("b")], window_ms=HOUR_MS, breakdown=BY_TAG)
    ),
    "retention": lambda store: store.retention(
        TENANT, RetentionQuery(filters=ALL, first=_step("a"), returning=_step("b"), period="day", periods=3)
    ),
    "paths": lambda store: store.paths(
        TENANT, PathsQuery(filters=ALL, start=_step("a"), direction="after", steps=2, window_ms=HOUR_MS)
    ),
    "statistics": lambda store: store.stats(TENANT, ALL, Dimension("value", "")),
    "metric": lambda store: store.measure(TENANT, Question("m", "gauge", Filters(name="m"), ("p95", "last", "sum"))),
    "frequent groups": lambda store: store.engine.rows(counts.frequent_groups(TENANT, ALL, Dimension("tag", "plan"))),
    "latest names": lambda store: store.engine.rows(catalog.observed_lately(TENANT, "name", 2, "")),
    "frequent values": lambda store: store.engine.rows(
        metrics.figures(
            TENANT.metrics,
            Question("m", "gauge", Filters(name="m"), ("sum",), group_by="k"),
            groups=(),
            frequent_only=True,
        )
    ),
    "frequent measure": lambda store: store.engine.rows(
        analysis.measured(
            TENANT, EventQuery(filters=ALL, measure="count", breakdown=BY_TAG), None, grouped=True, frequent_only=True
        )
    ),
}


@pytest.fixture(scope="module")
def both(clickhouse: ClickHouseStore, on_cluster: ClickHouseStore) -> list[ClickHouseStore]:
    """One server and two shards, with the same events of twenty people, of whom some are one."""
    random = Random(7)
    events = [
        event_of(
            TENANT,
            name=random.choice(NAMES),
            user_id=random.choice(["", *(f"u{number}" for number in range(20))]),
            anonymous_id=random.choice(("", "v")),
            timestamp_ms=NOW_MS + random.randrange(3 * 24) * HOUR_MS,
            value=random.choice((None, float(random.randrange(1000)))),  # whose sums are exact in any order
            tags={"plan": random.choice(("pro", "free"))},
        )
        for _ in range(300)
    ]
    points = [
        point(
            TENANT,
            "flux.metrics",
            "m",
            "gauge",
            NOW_MS + number,
            float(random.randrange(99)),
            {"k": str(number % 3)},
            "",
        )
        for number in range(30)
    ]
    records = records_of([*events, *points])
    for store in (clickhouse, on_cluster):
        store.insert(records)
        store.know_merged(_merged)
    return [clickhouse, on_cluster]


def _merged(tenant: Tenant) -> list[list[tuple[str, str]]]:
    return [[("u1", "u0"), ("u2", "u0"), ("u7", "u3")]] if tenant == TENANT else []


@pytest.mark.parametrize("asked", ASKED)
def test_two_shards_answer_as_one_server_does(both: list[ClickHouseStore], asked: str) -> None:
    one, shards = (ASKED[asked](store) for store in both)
    assert shards == one
    assert one
