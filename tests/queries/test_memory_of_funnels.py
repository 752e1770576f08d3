"""A question about people that is short of memory is asked again, with groups that go to disk sooner."""

from typing import Any

import pytest

from headrace.model.conditions import NAME, Condition
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.funnels import FunnelQuery
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.engine import NeedsMoreMemory
from headrace.store.queries.conditions import Query
from tests.engine import event_of, fresh_tenant, records_of

BEYOND = "max_bytes_before_external_group_by"
QUERY = FunnelQuery(
    filters=Filters(), steps=[[Condition(NAME, "=", ["one"])], [Condition(NAME, "=", ["two"])]], window_ms=1000
)


def asked(
    clickhouse: ClickHouseStore, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, failing: int
) -> tuple[list[int], list[int]]:
    """How many people reached each step, and beyond which part of the memory, as a divisor, each attempt went to disk."""
    rows, parts = clickhouse.engine.rows, list[int]()

    def rows_or_not(query: Query) -> list[list[Any]]:
        parts.append(clickhouse.engine.query_max_memory_bytes // int(query.settings[BEYOND]))
        if len(parts) <= failing:
            raise NeedsMoreMemory("The query needs more memory than allowed.")
        return rows(query)

    monkeypatch.setattr(clickhouse.engine, "rows", rows_or_not)
    return [step.count for step in clickhouse.funnel(tenant, QUERY).steps], parts


@pytest.mark.parametrize("failing", [0, 1])
def test_it_is_answered_with_a_quarter_where_half_leaves_too_little(
    clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    tenant = fresh_tenant()
    names = [("a", "one"), ("a", "two"), ("b", "one"), ("c", "two")]
    clickhouse.insert(
        records_of(
            event_of(tenant, timestamp_ms=1_735_689_600_000 + moment, user_id=user, name=name)
            for moment, (user, name) in enumerate(names)
        )
    )
    assert asked(clickhouse, tenant, monkeypatch, failing) == ([2, 1], [2, 4][: failing + 1])


def test_it_is_refused_where_a_quarter_leaves_too_little_as_well(
    clickhouse: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NeedsMoreMemory):
        asked(clickhouse, fresh_tenant(), monkeypatch, failing=2)
