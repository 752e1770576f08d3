"""How a metric's figures are shown: under which names, and a rate over how long."""

import msgspec
import pytest

from headrace.dialects.flux_metric_queries import MetricQuery, question_of, render_measured
from headrace.model.filters import Filters
from headrace.model.measures import Measured, Metric, MetricType

SECOND_MS = 1000


def shown(kind: MetricType, figures: list[float | None], *wanted: str, filters: Filters) -> dict[str, object]:
    metric = Metric("m", kind, 3, 10 * SECOND_MS, 20 * SECOND_MS)
    query = MetricQuery("m", filters, wanted or None, None, "", 50 * SECOND_MS)
    question = question_of(query, metric)
    assert len(question.aggregations) == len(figures)
    return msgspec.json.decode(render_measured(query, metric, question, Measured(figures)))["data"]


@pytest.mark.parametrize(
    ("filters", "rate"),
    [
        (Filters(), 80 / 40),  # from its first point until now
        (Filters(from_ms=30 * SECOND_MS), 80 / 20),
        (Filters(to_ms=26 * SECOND_MS), 80 / 16),
        (Filters(from_ms=0, to_ms=80 * SECOND_MS), 80 / 80),
        (Filters(from_ms=5, to_ms=6), 80.0),  # a second at least
    ],
)
def test_a_rate_is_for_each_second_of_the_range(filters: Filters, rate: float) -> None:
    assert shown("counter", [80.0], "rate", filters=filters)["value"] == rate
    both = shown("counter", [80.0], "sum", "rate", filters=filters)
    assert (both["sum"], both["rate"]) == (80, rate)


def test_a_rate_is_asked_for_as_a_sum_and_whatever_is_asked_of_a_set_as_its_cardinality() -> None:
    def asked(kind: MetricType, *wanted: str) -> list[str]:
        query = MetricQuery("m", Filters(), wanted or None, None, "", 0)
        return list(question_of(query, Metric("m", kind, 1, 0, 0)).aggregations)

    assert asked("counter", "rate", "sum", "count") == ["sum", "count"]
    assert asked("set", "count", "cardinality") == asked("set") == ["cardinality"]
    found = shown("set", [3.0], filters=Filters())
    assert (found["value"], found["type"]) == (3, "set")
