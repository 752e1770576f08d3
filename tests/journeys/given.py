"""Journeys and events for their tests, and a machine to move runs with."""

import itertools
from typing import Any

import msgspec

from headrace.model.event import Event, event_id, first_position
from headrace.model.journeys import Person, Run, RunState
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.journeys.machine import Machine, Moved
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.stage import Journeys, JourneySet
from headrace.reactions.journeys.transitions import Seen

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
START_MS = 1_736_121_600_000  # 2025-01-06, a Monday, at midnight
_tails = itertools.count()


def journeys(*given: dict[str, Any]) -> list[Journey]:
    """Checked journeys with the numbers 1, 2, …"""
    document = parse_document(msgspec.json.encode({"journeys": list(given)}))
    return [Journey(rule, number) for number, rule in enumerate(document.journeys, 1)]


def journey(*steps: dict[str, Any], name: str = "j", event: str = "start", **given: Any) -> Journey:
    when = {"when": given.pop("when")} if "when" in given else {}
    return journeys({"id": name, "trigger": {"event": event} | when, "steps": list(steps)} | given)[0]


def seen(name: str, at_ms: int = START_MS, user: str = "u", **given: Any) -> Seen:
    """An event that is received at a moment; its properties are those without a field of that name."""
    fields = {name: given.pop(name) for name in list(given) if name in Event.__struct_fields__}
    properties = msgspec.json.encode(given).decode() if given else ""
    event = Event("p", "live", fields.pop("source", "flux"), name, at_ms, user_id=user, properties=properties, **fields)
    position = first_position(at_ms) + (next(_tails) << 6)
    return Seen(event_id(position, 7), event, position, at_ms)


class Alone:
    """One journey and one run, moved by hand."""

    def __init__(self, one: Journey, person: Person | None = None) -> None:
        self.journey = one
        self.person = person
        self.emitted: list[str] = []
        self.called: list[Any] = []
        self.run: Run

    def machine(self) -> Machine:
        return Machine(lambda _: self.person)

    def start(self, by: Seen) -> "Alone":
        self._keep(self.machine().start(self.journey, by, "run_1", "u"))
        return self

    def happen(self, by: Seen) -> bool:
        moved = self.machine().happen(self.journey, self.run, by)
        if moved:
            self._keep(moved)
        return moved is not None

    def fire(self) -> "Alone":
        self._keep(self.machine().fire(self.journey, self.run))
        return self

    def reply(self, reply: bytes | None, attempt: int = 1, at_ms: int = START_MS) -> bool:
        moved = self.machine().reply(self.journey, self.run, attempt, at_ms, reply=reply, problem="410 Gone")
        if moved:
            self._keep(moved)
        return moved is not None

    def outcomes(self) -> list[tuple[str, str]]:
        return [(visit.step, visit.outcome) for visit in self.run.visits]

    def _keep(self, moved: Moved) -> None:
        self.run = moved.run
        self.emitted += [each.name for each in moved.emitted]
        self.called += moved.called


class Together:
    """Journeys and whoever is on them, in memory."""

    def __init__(self, *given: Journey) -> None:
        self.set = JourneySet(given)
        self.state = RunState()
        self.moves = Journeys(self.set.by_no, self.state, lambda _: None)

    def react(self, by: Seen, *, replayed: bool = False, again: bool = True) -> list[tuple[str, str]]:
        found = self.moves.react(
            self.set.current, by, by.event.user_id, generations=lambda _: 0 if again else None, replayed=replayed
        )
        return [(change.did, change.run.journey) for change in found]

    def runs(self) -> list[Run]:
        return sorted(self.state.runs.values(), key=lambda run: (run.started_ms, run.id))
