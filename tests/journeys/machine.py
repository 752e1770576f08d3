"""A reactor and timers over a control database of their own, a log in memory, and a clock that tests move."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.control.database import open_database
from headrace.control.erasing import ControlErasures
from headrace.control.erasures import ControlErasedEvents
from headrace.control.journey_runs import ControlJourneys, ControlJourneyWork
from headrace.control.leases import ControlLeases
from headrace.control.overruns import ControlOverruns
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.rulebook import Rulebook
from headrace.dialects.statements import statement_of
from headrace.model.batch import Item
from headrace.model.effects import Outcome
from headrace.model.entries import Entry
from headrace.model.event import Event, StoredEvent, Tenant, decode, encode
from headrace.model.journeys import SOURCE, Run, RunState
from headrace.model.repeats import dedup_key
from headrace.pipeline.applying_rules import Applied, apply_rules
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.journeys import RunChanges, Versions, WatchedStates
from headrace.pipeline.overruns import OverrunWatch
from headrace.pipeline.people import PeopleStage
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.reactor import Reactor
from headrace.pipeline.recent_records import RecentRecords
from headrace.pipeline.rulesets import RuleTimelines
from headrace.pipeline.statement_watch import StatementWatch
from headrace.pipeline.timers import Timers
from headrace.reactions.overruns import Limits
from tests.fakes import MemoryLog, MemoryStore
from tests.journeys.given import DAY_MS, START_MS
from tests.reactions.given import Crash, GivenCurrentEvent, Mortal

TENANT = Tenant("p", "live")


class Machine:
    """`restart` opens control anew, as a new process does; the log stays, as its file would. `dies`: where the next crash is."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._path = folder / "control.sqlite"
        shutil.copy(template, self._path)
        self.now_ms = START_MS
        self.log = MemoryLog(clock_ms=lambda: self.now_ms)
        self.dies = ""
        self.current = GivenCurrentEvent()
        self._open()

    def _open(self) -> None:
        self.engine = open_database(self._path)
        self.rulebook = Rulebook(self.engine)
        self.journeys = ControlJourneys(self.engine)
        self.states = Mortal(self.engine)
        self.recent = RecentRecords()
        self.holds = ErasureHolds(ControlErasures(self.engine))
        timelines = RuleTimelines(self.rulebook, self.journeys)
        watched = WatchedStates(self.states, self._on_changed, ControlPeople(self.engine))
        self.reactions = Reactions(watched, timelines, lambda: self.now_ms)
        self.changes = RunChanges(watched, self.reactions, Versions(self.journeys))
        self.work = ControlJourneyWork(self.engine, ControlLeases(self.engine, length_s=None))
        self.reactor = Reactor(
            watched,
            timelines,
            self.reactions,
            log=self.log,
            store=MemoryStore(),
            visible=self.log.last,
            current=self.current,
            people=PeopleStage(
                ControlPeopleStates(self.engine), ControlErasedEvents(self.engine), statement_of, placeholders="null"
            ),
            watch=StatementWatch(1 << 62),
            overruns=OverrunWatch(ControlOverruns(self.engine), Limits()),
            holds=self.holds,
            recent=self.recent,
        )
        self.timers = Timers(
            self.work,
            self.work,
            self.changes,
            accept=self._accept,
            last=self.log.last,
            reacted=self.reactor.reacted,
            holds=self.holds,
            clock_ms=lambda: self.now_ms,
            on_step=self._step,
            pruning=self.work,
            keep_ms=DAY_MS,
        )

    def restart(self) -> None:
        self.close()
        self.dies = ""
        self._open()

    def close(self) -> None:
        self.engine.dispose()

    def apply(self, document: dict[str, Any], *, move: bool = False, dry_run: bool = False) -> Applied:
        text = msgspec.json.encode(document)
        return apply_rules(
            *(self.rulebook, TENANT.project, text, 1),
            last=self.log.last,
            dry_run=dry_run,
            move_runs=move,
            awaited=self.journeys.awaited,
        )

    def identify(self, user: str, anonymous: str = "", **traits: Any) -> None:
        """An event that says something about a person, acknowledged now."""
        text = msgspec.json.encode(traits).decode() if traits else ""
        fields: dict[str, Any] = {"type": "identify", "user_id": user, "anonymous_id": anonymous, "traits": text}
        event = Event("p", "live", "segment", "user.identified", self.now_ms, **fields)
        self.log.append([Entry(encode(event))])

    def send(self, name: str, user: str = "u", **properties: Any) -> StoredEvent:
        """An event that is acknowledged now, and not yet reacted to."""
        text = msgspec.json.encode(properties).decode() if properties else ""
        event = Event("p", "live", "flux", name, self.now_ms, user_id=user, properties=text)
        [receipt] = self.log.append([Entry(encode(event))])
        return _stored(event, receipt.id, receipt.position)

    def replay(self, *events: StoredEvent, dry_run: bool = False, force: bool = False) -> Outcome:
        return self.reactions.replay(TENANT, events, force=force, dry_run=dry_run)

    def settle(self) -> None:
        """React to all events, fire all timers that are due, and emit, until there is nothing left to do."""
        while True:
            while self.reactor.step():
                pass
            if not self.timers.step():
                return

    def tick(self, ms: int) -> None:
        self.now_ms += ms
        self.settle()

    def events(self) -> list[StoredEvent]:
        found = [(decode(record.payload), record) for record in self.log.read(0, 10**6, 1 << 30)]
        return [_stored(event, record.id, record.position) for event, record in found]

    def emitted(self) -> list[StoredEvent]:
        return [event for event in self.events() if event.source == SOURCE]

    def runs(self) -> list[Run]:
        asked = (self.journeys.listed(TENANT, journey, None, None, 1000) for journey in ("a", "b", "j", "k"))
        return sorted((each.run for some in asked for each in some), key=lambda run: (run.started_ms, run.id))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return sorted(map(tuple, connection.exec_driver_sql(sql)))

    def _accept(self, items: Sequence[Item]) -> None:
        if self.dies == "before intake":
            raise Crash
        self.log.append([Entry(encode(item.event), dedup_key(item.event)) for item in items])
        if self.dies == "after intake":
            raise Crash

    def _on_changed(self, tenant: Tenant, state: RunState) -> None:
        self.timers.on_changed(tenant, state)

    def _step(self, step: str) -> None:
        if self.dies == step:
            raise Crash


def _stored(event: Event, event_id: str, position: int) -> StoredEvent:
    fields = {field: getattr(event, field) for field in Event.__struct_fields__}
    return StoredEvent(**fields, id=event_id, position=position)
