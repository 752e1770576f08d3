"""Questions that analysts ask of events, and the answers. No I/O, no SQL, no dialect."""

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from headrace.model.conditions import Field
from headrace.model.filters import Filters
from headrace.model.zones import UTC_ZONE, Interval, Zone

Measure = Literal["count", "users", "per_user", "sum", "avg", "min", "max", "p50", "p95", "p99"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
OF_NUMBERS: tuple[Measure, ...] = ("sum", "avg", "min", "max", "p50", "p95", "p99")
OF_PEOPLE: tuple[Measure, ...] = ("users", "per_user")
ROUGHLY: tuple[Measure, ...] = (
    "users",
    "per_user",
    "p50",
    "p95",
    "p99",
)  # which there is a way to tell in little memory
MAX_BREAKDOWN = 3
MAX_MERGED = 1_000_000  # ids that go by another id of their person

Key = Sequence[str | None]
"""Of a group: the text of each field of the breakdown, None where the events have none."""


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A measure of the events that match.

    count: of events. users: of people. per_user: of events that are somebody's, for each person. The others: of the numbers in
    `number`, over the events that have one.
    breakdown: the measure of each group of events with the same texts in these fields. interval: of each bucket, and of each
    bucket of each group. limit: of groups, those with the greatest measure.
    """

    filters: Filters
    measure: Measure
    number: Field | None = None
    breakdown: Sequence[Field] = ()
    interval: Interval | None = None
    zone: Zone = UTC_ZONE
    limit: int = 100

    @property
    def about_people(self) -> bool:
        """Whether it has to be known whose the events are."""
        return self.measure in OF_PEOPLE or any(each.kind == "person" for each in self.breakdown)


Point = tuple[int, float | None]
"""A bucket's first millisecond and its figure."""


class QueryGroup(msgspec.Struct, frozen=True):
    """`series` is ascending, and has the buckets with events."""

    key: Key
    value: float | None
    series: Sequence[Point] | None = None


class QueryAnswer(msgspec.Struct, frozen=True):
    """A figure is None where it is undefined, or does not fit into a double.

    groups: those with the greatest measure first, then by key, an absent one last. truncated: there are more.
    merged: people count once whatever their ids; False where there were too many merged ids to tell.
    exact: the figures are exact; False where that would have taken too much memory.
    """

    value: float | None
    series: Sequence[Point] | None = None
    groups: Sequence[QueryGroup] | None = None
    truncated: bool = False
    merged: bool = True
    exact: bool = True
