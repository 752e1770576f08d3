"""Metrics: points, questions about them, and the answers. No I/O, no SQL, no dialect.

A metric point is a row of the events table, in a separate namespace (`Tenant.metrics`), so that it travels the same way as
an event: `value` is its number, `group_id` its type, and `user_id` the member that it adds to a set.
See docs/decisions/0060-metric-points.md.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from headrace.model.event import Event, Tenant
from headrace.model.filters import Filters

MetricType = Literal["gauge", "counter", "distribution", "set"]
Aggregation = Literal["avg", "min", "max", "sum", "last", "count", "cardinality", "p50", "p90", "p95", "p99"]

Interval = Literal["1m", "5m", "1h", "1d"]
WIDTH_MS: dict[Interval, int] = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}  # aligned to UTC

MAX_METRICS = 10_000
MAX_TAG_KEYS = 1000
MAX_POINTS = 20_000

Figures: TypeAlias = Sequence[float | None]  # in the order of the aggregations that were asked for


class Metric(msgspec.Struct, frozen=True):
    """A metric. Its type is that of its latest point, and only points of that type count."""

    name: str
    type: MetricType
    points: int
    first_ms: int
    last_ms: int
    tags: list[str] = []  # the keys, where one metric was asked for


class MetricList(msgspec.Struct, frozen=True):
    """Metrics by name, at most MAX_METRICS. `total`: how many there are in all, beyond that to a tenth of a percent."""

    metrics: list[Metric]
    total: int


class Question(msgspec.Struct, frozen=True):
    """A question about one metric. `group_by` is a tag's key, "" for none. `filters` narrow by time and tags."""

    metric: str
    type: MetricType
    filters: Filters
    aggregations: tuple[Aggregation, ...]
    interval: Interval | None = None
    group_by: str = ""


class Bucket(msgspec.Struct, frozen=True):
    start_ms: int
    figures: Figures


class Group(msgspec.Struct, frozen=True):
    """The points with one value of the tag. `series` is set if an interval was asked for."""

    key: str
    figures: Figures
    series: Sequence[Bucket] | None = None


class Measured(msgspec.Struct, frozen=True):
    """The answer. `series` is ascending. `groups` are sorted by most points, then by key; points without the tag are in none.

    Without points, the count, the sum and the cardinality are 0.0 and the other figures None.
    """

    figures: Figures
    series: Sequence[Bucket] | None = None
    groups: Sequence[Group] | None = None
    truncated: bool = False


def point(
    tenant: Tenant,
    source: str,
    name: str,
    kind: MetricType,
    timestamp_ms: int,
    value: float | str,
    tags: dict[str, str],
    message_id: str,
) -> Event:
    """The row of a metric point. A `value` that is text is a set's member."""
    own = tenant.metrics
    member, number = (value, None) if isinstance(value, str) else ("", value)
    return Event(
        *(own.project, own.mode, source, name, timestamp_ms),
        user_id=member,
        group_id=kind,
        value=number,
        tags=tags,
        message_id=message_id,
    )
