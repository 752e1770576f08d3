"""Funnels, retention and paths of people, and the answers. No I/O, no SQL, no dialect.

A person's events are in the order of their times and, at the same time, of the log. Whose an event is, and who is one person,
is as in `EventQuery`; events that are nobody's are in none of these.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from headrace.model.conditions import Condition, Field
from headrace.model.event_queries import Key
from headrace.model.filters import Filters
from headrace.model.zones import UTC_ZONE, Zone

MAX_STEPS = 10
MAX_PATH_STEPS = 5
MAX_PERIODS = 100
MAX_COHORTS = 1000
MAX_WINDOW_MS = 366 * 86_400_000

Order = Literal["loose", "strict"]
Direction = Literal["after", "before"]
Period = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = ("day", "week", "month")
Step = Sequence[Condition]
"""What an event has to be: all of the conditions."""


class FunnelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many people went how far through some steps.

    A person reaches a step by events that match this step and each before it, one after the other, the last one at most the
    window after the first. loose: there may be others in between. strict: none of those that match the filters.
    breakdown: by the fields of a person's first event that matches the first step.
    """

    filters: Filters
    steps: Sequence[Step]
    window_ms: int
    order: Order = "loose"
    breakdown: Sequence[Field] = ()
    limit: int = 100


class Reached(msgspec.Struct, frozen=True):
    """How many people reached a step, and how long that took from the first one, in milliseconds.

    Of each person the first event by which the step is reached, from the latest first step from which it is. None where nobody
    reached the step.
    """

    count: int
    average_ms: float | None
    median_ms: float | None


class FunnelGroup(msgspec.Struct, frozen=True):
    key: Key
    steps: Sequence[Reached]


class FunnelAnswer(msgspec.Struct, frozen=True):
    """groups: those with the most people first, then by key. truncated: there are more. merged: as in `QueryAnswer`."""

    steps: Sequence[Reached]
    groups: Sequence[FunnelGroup] | None = None
    truncated: bool = False
    merged: bool = True


class RetentionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the people who did something for the first time did something again, over `periods` periods."""

    filters: Filters
    first: Step
    returning: Step
    period: Period
    periods: int
    zone: Zone = UTC_ZONE


class Cohort(msgspec.Struct, frozen=True):
    """The people whose first event that matches is in the period that begins at `start_ms`.

    returned: of each period from that one on, how many of them have an event in it that matches `returning` and comes after
    their first.
    """

    start_ms: int
    size: int
    returned: Sequence[int]


class RetentionAnswer(msgspec.Struct, frozen=True):
    """Cohorts with people in them, ascending."""

    cohorts: Sequence[Cohort]
    merged: bool = True


class PathsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What people do after an event, or did before it: the names of the next events, each at most the window away from it."""

    filters: Filters
    start: Step
    direction: Direction
    steps: int
    window_ms: int
    limit: int = 100


class Path(msgspec.Struct, frozen=True):
    """Names, the nearest to the event first; how often they are what follows it (or comes before), and of how many people."""

    names: Sequence[str]
    count: int
    users: int


class PathsAnswer(msgspec.Struct, frozen=True):
    """starts, users: how many events there were to start from, and of how many people.

    paths: every beginning of a path is one too; the most frequent first, then the shorter, then by name.
    truncated: there are more.
    """

    starts: int
    users: int
    paths: Sequence[Path]
    truncated: bool = False
    merged: bool = True
