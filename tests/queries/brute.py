"""What analysts ask of events, by brute force over a list."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from headrace.model.event import StoredEvent
from headrace.model.event_queries import EventQuery, Point, QueryAnswer, QueryGroup
from headrace.model.filters import Filters
from headrace.model.funnels import (
    Cohort,
    FunnelAnswer,
    FunnelGroup,
    FunnelQuery,
    Path,
    PathsAnswer,
    PathsQuery,
    Reached,
    RetentionAnswer,
    RetentionQuery,
    Step,
)
from tests.fakes import bucket, matches, percentile, rounded
from tests.printed import holds, number_of, owner_of, text_at

Merged = Mapping[str, str]
"""By id: the id that its person goes by, where that is another one."""


def person_of(event: StoredEvent, merged: Merged) -> str:
    owner = owner_of(event)
    return merged.get(owner, owner)


def measure(events: Sequence[StoredEvent], query: EventQuery, merged: Merged) -> QueryAnswer:
    """`truncated` and the limit included. Conditions on people have been resolved by the caller."""
    counted = [event for event in events if matches(event, query.filters) and _counts(event, query)]
    groups: dict[tuple[str | None, ...], list[StoredEvent]] = {}
    for event in counted if query.breakdown else ():
        key = tuple(
            (person_of(event, merged) or None) if field.kind == "person" else text_at(event, field)
            for field in query.breakdown
        )
        groups.setdefault(key, []).append(event)
    found = [
        QueryGroup(list(key), _figure(those, query, merged), _series(those, query, merged))
        for key, those in groups.items()
    ]
    found.sort(key=_rank)
    shown = found[: query.limit] if query.breakdown else None
    value = _figure(counted, query, merged)
    return QueryAnswer(value, _series(counted, query, merged), shown, truncated=len(found) > query.limit)


def _rank(group: QueryGroup) -> tuple[bool, float, list[tuple[bool, bytes]]]:
    keys = [(each is None, (each or "").encode()) for each in group.key]
    return group.value is None, -(group.value or 0), keys


def _counts(event: StoredEvent, query: EventQuery) -> bool:
    if query.measure in ("users", "per_user"):
        return bool(owner_of(event))
    return query.number is None or number_of(event, query.number) is not None


def _series(events: Sequence[StoredEvent], query: EventQuery, merged: Merged) -> list[Point] | None:
    if query.interval is None:
        return None
    found: dict[int, list[StoredEvent]] = {}
    for event in events:
        found.setdefault(bucket(event.timestamp_ms, query.interval, query.zone.name), []).append(event)
    return [(start, _figure(those, query, merged)) for start, those in sorted(found.items())]


def _figure(events: Sequence[StoredEvent], query: EventQuery, merged: Merged) -> float | None:
    people = len({person_of(event, merged) for event in events})
    if query.measure == "count":
        return len(events)
    if query.measure == "users":
        return people
    if query.measure == "per_user":
        return len(events) / people if people else None
    assert query.number
    numbers = sorted(number for event in events if (number := number_of(event, query.number)) is not None)
    if query.measure == "sum":
        return rounded(sum(map(Fraction, numbers), Fraction()))
    figures: dict[str, Callable[[], float | None]] = {
        "avg": lambda: rounded(sum(map(Fraction, numbers), Fraction()) / len(numbers)),
        "min": lambda: numbers[0],
        "max": lambda: numbers[-1],
        "p50": lambda: percentile(numbers, 0.5),
        "p95": lambda: percentile(numbers, 0.95),
        "p99": lambda: percentile(numbers, 0.99),
    }
    return figures[query.measure]() if numbers else None


def _by_person(events: Sequence[StoredEvent], filters: Filters, merged: Merged) -> dict[str, list[StoredEvent]]:
    """The events that match and are somebody's, in the order of time and position."""
    found: dict[str, list[StoredEvent]] = {}
    for event in sorted(events, key=lambda event: (event.timestamp_ms, event.position)):
        if owner_of(event) and matches(event, filters):
            found.setdefault(person_of(event, merged), []).append(event)
    return found


def _is(event: StoredEvent, step: Step) -> bool:
    return all(holds(event, each) for each in step)


def funnel(events: Sequence[StoredEvent], query: FunnelQuery, merged: Merged) -> FunnelAnswer:
    took: list[tuple[tuple[str | None, ...], list[int]]] = []
    for those in _by_person(events, query.filters, merged).values():
        first = next((event for event in those if _is(event, query.steps[0])), None)
        if first is not None:
            key = tuple(text_at(first, field) for field in query.breakdown)
            took.append((key, _took(those, query)))
    groups = {key for key, _ in took} if query.breakdown else set()
    found = [FunnelGroup(list(key), _reached([t for k, t in took if k == key], query)) for key in groups]
    found.sort(key=lambda group: (-group.steps[0].count, [(each is None, (each or "").encode()) for each in group.key]))
    shown = found[: query.limit] if query.breakdown else None
    return FunnelAnswer(_reached([t for _, t in took], query), shown, len(found) > query.limit)


def _took(those: list[StoredEvent], query: FunnelQuery) -> list[int]:
    """How long each step took that was reached, by trying every chain of events; the earliest end, then the latest start."""
    chains = [[place] for place, event in enumerate(those) if _is(event, query.steps[0])]
    took = [0]
    for step in query.steps[1:]:
        chains = [
            [chain[0], place]
            for chain in chains
            for place in range(chain[-1] + 1, chain[-1] + 2 if query.order == "strict" else len(those))
            if place < len(those)
            and _is(those[place], step)
            and those[place].timestamp_ms - those[chain[0]].timestamp_ms <= query.window_ms
        ]
        if not chains:
            break
        last, first = min((chain[-1], -chain[0]) for chain in chains)
        took.append(those[last].timestamp_ms - those[-first].timestamp_ms)
    return took


def _reached(took: list[list[int]], query: FunnelQuery) -> list[Reached]:
    steps = [[float(each[number]) for each in took if len(each) > number] for number in range(len(query.steps))]
    return [
        Reached(len(times), sum(times) / len(times), percentile(sorted(times), 0.5))
        if times
        else Reached(0, None, None)
        for times in steps
    ]


def retention(events: Sequence[StoredEvent], query: RetentionQuery, merged: Merged) -> RetentionAnswer:
    cohorts: dict[int, list[set[int]]] = {}
    for those in _by_person(events, query.filters, merged).values():
        begun = next((place for place, event in enumerate(those) if _is(event, query.first)), None)
        if begun is not None:
            cohort = _period(those[begun], query)
            later = {_period(event, query) - cohort for event in those[begun + 1 :] if _is(event, query.returning)}
            cohorts.setdefault(cohort, []).append(later)
    found = [
        Cohort(
            _starts_at(cohort, query), len(people), [sum(k in later for later in people) for k in range(query.periods)]
        )
        for cohort, people in sorted(cohorts.items())
    ]
    return RetentionAnswer(found)


def _period(event: StoredEvent, query: RetentionQuery) -> int:
    day = datetime.fromtimestamp(event.timestamp_ms // 1000, ZoneInfo(query.zone.name)).date()
    number = day.toordinal() - date(1970, 1, 5).toordinal()
    return {"day": number, "week": number // 7, "month": day.year * 12 + day.month - 1}[query.period]


def _starts_at(cohort: int, query: RetentionQuery) -> int:
    monday = date(1970, 1, 5)
    if query.period == "month":
        first = date(cohort // 12, cohort % 12 + 1, 1)
    else:
        first = monday + timedelta(days=cohort * (7 if query.period == "week" else 1))
    midnight = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(query.zone.name))
    return round(midnight.timestamp()) * 1000  # where no clock showed midnight, this is the change of clocks


def paths(events: Sequence[StoredEvent], query: PathsQuery, merged: Merged) -> PathsAnswer:
    found: dict[tuple[str, ...], list[str]] = {}
    for person, those in _by_person(events, query.filters, merged).items():
        ordered = those if query.direction == "after" else those[::-1]
        for place, event in enumerate(ordered):
            if not _is(event, query.start):
                continue
            near = ordered[place + 1 : place + 1 + query.steps]
            names = [each.name for each in near if abs(each.timestamp_ms - event.timestamp_ms) <= query.window_ms]
            for length in range(len(names) + 1):
                found.setdefault(tuple(names[:length]), []).append(person)
    starts = found.pop((), [])
    listed = [Path(list(names), len(people), len(set(people))) for names, people in found.items()]
    listed.sort(key=lambda path: (-path.count, len(path.names), [name.encode() for name in path.names]))
    return PathsAnswer(len(starts), len(set(starts)), listed[: query.limit], len(listed) > query.limit)
