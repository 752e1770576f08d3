"""Simulates journeys over given events, on a virtual clock. Pure: it stores, emits and sends nothing."""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from headrace.model.event import Event, Tenant, event_id, next_position
from headrace.model.journey_document import JourneyRule
from headrace.model.journeys import Person, Run, RunState, Visit
from headrace.model.repeats import dedup_key
from headrace.model.times import render_time
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.stage import Journeys, JourneySet, seen_of

MAX_SIMULATED = 1_000_000  # events and timers
IDENTIFIED = "user.identified"  # the name of identify events, whichever API they came through
_TENANT = Tenant("simulated", "live")


class Happening(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a simulation's result. what: `entered`, the outcome of a step, `waits`, or how the run ended."""

    at_ms: int
    person: str
    journey: str
    run: int
    what: str
    step: str = ""
    detail: str = ""


class Simulation:
    """Simulates a project's journeys. Feed it events, and it reports what happens, in chronological order.

    Events are received at their own time, and repeated message ids are left out. A person's traits come from earlier identify
    events. replies: by webhook, the JSON that it answers, or None if it fails; other webhooks answer nothing.
    """

    def __init__(self, rules: Iterable[JourneyRule], replies: Mapping[str, bytes | None] | None = None) -> None:
        self._journeys = JourneySet([Journey(rule, no) for no, rule in enumerate(rules, 1)])
        self._replies = replies or {}
        self._state = RunState()
        self._moves = Journeys(self._journeys.by_no, self._state, self._person_of)
        self._traits: dict[str, dict[str, object]] = {}
        self._timers: list[tuple[int, str]] = []
        self._events: list[tuple[int, int, Event]] = []
        self._order = itertools.count()
        self._numbers: dict[str, int] = {}
        self._position = 0
        self.left_out = 0

    def is_about(self, name: str, /) -> bool:
        """Whether events of a name may move somebody or say who somebody is."""
        return name == IDENTIFIED or self._journeys.concern(name)

    def run(self, events: Iterable[Event]) -> Iterator[Happening]:
        """Run until every run has ended. Raises ValueError if that takes more than MAX_SIMULATED events and timers."""
        seen_keys: set[bytes] = set()
        for event in events:
            key = dedup_key(event)
            if key and key in seen_keys:
                self.left_out += 1
                continue
            seen_keys.add(key)
            heapq.heappush(self._events, (event.timestamp_ms, next(self._order), event))
        for _ in range(MAX_SIMULATED):
            if not self._events and not self._timers:
                return
            if self._timers and (not self._events or self._timers[0][0] <= self._events[0][0]):
                self._fire()
            else:
                self._happen()
            yield from self._told()
        raise ValueError(f"It takes more than {MAX_SIMULATED:,} events and timers.")

    def _fire(self) -> None:
        due_ms, run_id = heapq.heappop(self._timers)
        run = self._state.runs[run_id]
        if run.due_ms == due_ms:  # otherwise an event moved it
            self._moves.fire([run], due_ms, most=1)

    def _happen(self) -> None:
        at_ms, _, event = heapq.heappop(self._events)
        person = event.user_id or event.anonymous_id
        if event.type == "identify" and event.traits and person:
            self._traits.setdefault(person, {}).update(msgspec.json.decode(event.traits))
        if not person or not self._journeys.concern(event.name):
            return
        self._position = next_position(self._position, at_ms, 0)
        seen = seen_of(event_id(self._position, 0), event, self._position, at_ms)
        self._moves.react(self._journeys.current, seen, person, generations=lambda _: 0)

    def _told(self) -> Iterator[Happening]:
        """Report what the changed runs have done, queue their events, and answer their calls."""
        while self._state.before:
            before, self._state.before = self._state.before, {}
            emitted, self._state.emitted = self._state.emitted, []
            called, self._state.called = self._state.called, []
            for run_id, was in before.items():
                run = self._state.runs[run_id]
                if run.due_ms is not None:
                    heapq.heappush(self._timers, (run.due_ms, run_id))
                yield from self._lines(was, run)
            for each in emitted:
                heapq.heappush(self._events, (each.at_ms, next(self._order), each.event(_TENANT)))
            for call in called:
                reply = self._replies.get(call.webhook, b"")
                problem = "" if reply is not None else "the webhook fails, as it was told to"
                run = self._state.runs[call.run_id]
                self._moves.reply(run, call.attempt, call.at_ms, reply=reply, problem=problem)

    def _lines(self, was: Run | None, run: Run) -> Iterator[Happening]:
        number = self._numbers.setdefault(run.id, len(self._numbers) + 1)

        def line(at_ms: int, what: str, step: str = "", detail: str = "") -> Happening:
            return Happening(at_ms, run.person, run.journey, number, what, step, detail)

        if was is None:
            yield line(run.started_ms, "entered")
        known = was.visits if was else ()
        for index, visit in enumerate(run.visits):
            if index < len(known) and known[index] == visit:
                continue
            if visit.until_ms is not None:
                yield line(visit.until_ms, visit.outcome, visit.step, visit.why or _detail(visit))
            else:
                yield line(visit.at_ms, "waits", visit.step, _awaited(run))
        if run.status not in ("active", "exited", "cancelled", "failed"):
            yield line(run.moment_ms, run.status)

    def _person_of(self, person: str) -> Person:
        traits = self._traits.get(person)
        return Person(person, (person,), msgspec.json.encode(traits).decode() if traits else "")


def _awaited(run: Run) -> str:
    if run.due_ms is None:
        return "for the reply"
    return f"{'for an event, ' * (run.waiting == 'event')}until {render_time(run.due_ms)}"


def _detail(visit: Visit) -> str:
    return visit.reply
