"""Checks the journeys of a rules document. Pure; runs nothing.

Every journey ends: steps never go back, every wait has an end, and waits for events have a timeout.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from headrace.model.errors import InvalidRequest, Problem
from headrace.model.journey_document import KINDS, Branch, JourneyRule, Limits, Step, Until, all_steps
from headrace.model.zones import DAY_MS, zone_of
from headrace.reactions.conditions import Condition, Malformed
from headrace.reactions.patterns import matches, pattern_problem
from headrace.reactions.reach import Share, excess_of

MAX_JOURNEYS = 100
MAX_STEPS = 100
MAX_NESTING = 5
MAX_DURATION_MS = 366 * DAY_MS
MAX_GIVEN_BYTES = 16 * 1024  # of an emitted event's properties, or of a call's body
MAX_DEPTH = 5  # consecutive journeys, each started by the one before
MAX_SET_OFF = 1000  # events that a single event may cause through all of them
PERSONS_ZONE = "person"


_DURATION = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def duration_ms(text: str, /) -> int:
    """`30s`, `5m`, `1h` or `7d` in milliseconds: 1 second to 366 days. Raises Malformed."""
    match = _DURATION.fullmatch(text)
    found = int(match[1]) * _UNIT_MS[match[2]] if match else 0
    if not 0 < found <= MAX_DURATION_MS:
        raise Malformed(f"{text[:80]!r} is not a duration: write 30s, 5m, 1h or 7d; at most 366d")
    return found


def time_of_day_ms(text: str, /) -> int:
    """`09:00` in milliseconds since midnight. Raises Malformed."""
    match = _TIME_OF_DAY.fullmatch(text)
    if not match:
        raise Malformed(f"{text[:80]!r} is not a time of day: write 09:00, from 00:00 to 23:59")
    return int(match[1]) * _UNIT_MS["h"] + int(match[2]) * _UNIT_MS["m"]


def check_journey(journey: JourneyRule, /) -> list[tuple[str, str]]:
    """(place within the journey, message) of each problem; none if the journey can run and will end."""
    found: list[tuple[str, str]] = []
    if problem := pattern_problem(journey.trigger.event):
        found.append(("trigger.event", problem))
    found += _check_condition("trigger.when", journey.trigger.when)
    found += _check_entry(journey.entry)
    found += [(f"exit[{index}]", each) for index, name in enumerate(journey.exit) if (each := pattern_problem(name))]
    if not journey.steps:
        found.append(("steps", "it needs at least one step"))
    if (count := sum(1 for _ in all_steps(journey.steps))) > MAX_STEPS:
        return [*found, ("steps", f"it has {count} steps; the limit is {MAX_STEPS}")]
    found += _Steps().check("steps", journey.steps, (), 0)
    return found


class _Steps:
    """Checks steps, given the ids of the steps before them."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def check(self, place: str, steps: Sequence[Step], before: Sequence[str], nesting: int) -> list[tuple[str, str]]:
        """before: the ids of the steps at which a run may have been when it reaches the first of these."""
        found: list[tuple[str, str]] = []
        known = list(before)
        for index, step in enumerate(steps):
            here = f"{place}[{index}]"
            if step.id in self._ids:
                found.append((f"{here}.id", f"another step of this journey has the id {step.id!r}"))
            self._ids.add(step.id)
            given = [kind for kind in KINDS if getattr(step, kind) is not None]
            if len(given) != 1:
                said = f"it has {' and '.join(given)}" if given else "it has none"
                found.append((here, f"a step is one of: {', '.join(KINDS)}; {said}"))
                continue
            found += self._check_kind(here, step, known, nesting)
            known += [step.id, *(each.id for each in _within(step))]
        return found

    def _check_kind(self, here: str, step: Step, known: Sequence[str], nesting: int) -> list[tuple[str, str]]:
        place = f"{here}.{step.kind}"
        if step.wait is not None:
            return _check_wait(place, step.wait)
        if step.wait_for is not None:
            found = [(f"{place}.event", each)] if (each := pattern_problem(step.wait_for.event)) else []
            if step.wait_for.timeout is None:
                found.append((place, "it needs a 'timeout', or the journey might never end"))
            else:
                found += _check_duration(f"{place}.timeout", step.wait_for.timeout)
            return found + _check_condition(f"{place}.when", step.wait_for.when, known)
        if step.branch is not None:
            return self._check_branch(place, step.branch, known, nesting)
        if step.emit is not None:
            found = [(f"{place}.event", "it holds no '*'")] if "*" in step.emit.event else []
            return found + _check_given(f"{place}.properties", step.emit.properties)
        return _check_given(f"{place}.body", step.call.body) if step.call is not None else []

    def _check_branch(self, place: str, branch: Branch, known: Sequence[str], nesting: int) -> list[tuple[str, str]]:
        if nesting >= MAX_NESTING:
            return [(place, f"branches are nested deeper than {MAX_NESTING} levels")]
        found = _check_condition(f"{place}.when", branch.when, known)
        if not branch.then and not branch.else_:
            found.append((place, "it needs steps in 'then' or in 'else'"))
        found += self.check(f"{place}.then", branch.then, known, nesting + 1)
        return found + self.check(f"{place}.else", branch.else_, known, nesting + 1)


def _within(step: Step) -> Iterator[Step]:
    if step.branch is not None:
        yield from all_steps(step.branch.then)
        yield from all_steps(step.branch.else_)


def _check_entry(entry: Literal["once"] | Limits) -> list[tuple[str, str]]:
    if entry == "once":
        return []
    if (entry.per is None) == (entry.at_most is None):
        return [("entry", "write once, {per: 7d} or {at_most: 3}")]
    return [] if entry.per is None else _check_duration("entry.per", entry.per)


def _check_duration(place: str, text: str) -> list[tuple[str, str]]:
    try:
        duration_ms(text)
    except Malformed as malformed:
        return [(place, str(malformed))]
    return []


def _check_wait(place: str, wait: str | Until) -> list[tuple[str, str]]:
    if isinstance(wait, str):
        return _check_duration(place, wait)
    found: list[tuple[str, str]] = []
    try:
        time_of_day_ms(wait.until)
    except Malformed as malformed:
        found.append((f"{place}.until", str(malformed)))
    if wait.time_zone != PERSONS_ZONE:
        try:
            zone_of(wait.time_zone)
        except InvalidRequest:
            detail = f"{wait.time_zone[:80]!r} is not a time zone: write a name such as Europe/Berlin, or person"
            found.append((f"{place}.time_zone", detail))
    return found


def _check_condition(place: str, text: str | None, steps: Sequence[str] = ()) -> list[tuple[str, str]]:
    if text is None:
        return []
    try:
        Condition(text, frozenset(steps))
    except Malformed as malformed:
        return [(place, str(malformed))]
    return []


def _check_given(place: str, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    try:
        size = len(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError) as error:  # YAML has values that JSON lacks, such as .nan
        return [(place, f"it is not JSON: {error}")]
    return [(place, f"it has {size} bytes as JSON; the limit is {MAX_GIVEN_BYTES}")] if size > MAX_GIVEN_BYTES else []


def check_together(journeys: Mapping[int, JourneyRule], /) -> list[Problem]:
    """Problems of valid journeys together, by index: the work that one event may cause, and the events that it may cause."""
    found: list[Problem] = []
    shares = [
        Share(f"{journey.id}", event, Condition(when, ids).work.at_plain())
        for journey in journeys.values()
        for event, when, ids in _conditions(journey)
    ]
    if too_much := excess_of(shares, "conditions of journeys"):
        found.append(Problem("journeys", too_much))
    reach = _SetOff(list(journeys.values()))
    names = {each.trigger.event.removesuffix("*") for each in journeys.values()} | reach.emitted
    worst = max(sorted(names), key=lambda name: reach.by(name, 0), default="")
    if (events := reach.by(worst, 0)) > MAX_SET_OFF:
        detail = f"one event {worst[:80]!r} could set off {events} events, since these journeys start each other; the limit is "
        found.append(Problem("journeys", f"{detail}{MAX_SET_OFF}"))
    return found


def _conditions(journey: JourneyRule) -> Iterator[tuple[str, str, frozenset[str]]]:
    ids = frozenset(each.id for each in all_steps(journey.steps))
    if journey.trigger.when is not None:
        yield journey.trigger.event, journey.trigger.when, frozenset[str]()
    for step in all_steps(journey.steps):
        if step.wait_for is not None and step.wait_for.when is not None:
            yield step.wait_for.event, step.wait_for.when, ids


class _SetOff:
    """The most events that one event can cause, through the journeys that it starts and those that their events start."""

    def __init__(self, journeys: Sequence[JourneyRule]) -> None:
        self._journeys = [(each.trigger.event, _most_emitted(each.steps)) for each in journeys]
        self.emitted = {name for _, names in self._journeys for name in names}
        self._known: dict[tuple[str, int], int] = {}

    def by(self, name: str, depth: int) -> int:
        """depth: how many journeys led to the event; at the limit, journeys emit nothing more."""
        if depth >= MAX_DEPTH:
            return 0
        if (name, depth) not in self._known:
            self._known[name, depth] = sum(
                times * (1 + self.by(emitted, depth + 1))
                for event, names in self._journeys
                if matches(event, name)
                for emitted, times in names.items()
            )
        return self._known[name, depth]


def _most_emitted(steps: Sequence[Step]) -> dict[str, int]:
    """By name: the most events that the steps emit; of two branches, the larger number counts."""
    found: dict[str, int] = {}
    for step in steps:
        more: dict[str, int] = {}
        if step.emit is not None:
            more = {step.emit.event: 1}
        elif step.branch is not None:
            then, other = _most_emitted(step.branch.then), _most_emitted(step.branch.else_)
            more = {name: max(then.get(name, 0), other.get(name, 0)) for name in {*then, *other}}
        for name, times in more.items():
            found[name] = found.get(name, 0) + times
    return found
