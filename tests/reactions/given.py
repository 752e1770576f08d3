"""A reactor over a control database of its own, and events for it."""

import itertools
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from headrace.control.database import open_database
from headrace.control.erasing import ControlErasures
from headrace.control.erasures import ControlErasedEvents
from headrace.control.overruns import ControlOverruns
from headrace.control.people_states import ControlPeopleStates
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.replay_jobs import ReplayJobs, Stopped
from headrace.control.rulebook import Rulebook
from headrace.control.scratch import ScratchFile
from headrace.control.settlement import Settlement
from headrace.dialects.statements import statement_of
from headrace.model.effects import Outcome
from headrace.model.entries import Record
from headrace.model.event import Event, StoredEvent, Tenant, encode, event_id, first_position
from headrace.model.filters import Selection
from headrace.model.reaction_state import State
from headrace.model.rehearsal import Rehearsed
from headrace.model.replay_job import ReplayJob
from headrace.pipeline.applying_rules import Applied, apply_rules
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.overruns import OverrunWatch
from headrace.pipeline.people import PeopleStage
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.reactor import Reactor
from headrace.pipeline.recent_records import RecentRecords
from headrace.pipeline.rulesets import RuleTimelines
from headrace.pipeline.statement_watch import StatementWatch
from headrace.reactions.overruns import Limits
from headrace.replay.jobs import ReplayRunner, plan
from headrace.replay.pace import Pace
from headrace.replay.rebuild import Rebuild
from headrace.replay.rehearsal import Rehearsals
from tests.fakes import MemoryStore

TENANT = Tenant("p", "live")
DAY_MS = 86_400_000
# Received from 2030 on, one millisecond after the other: after every time that the events of tests happen at.
_positions = itertools.count(first_position(1_893_456_000_000), first_position(1))
_times = itertools.count(1)


class Crash(BaseException):
    """The process is gone."""


class Mortal(ControlReactionStates):
    """`dies`: in the next save, `before` its commit or right `after` it."""

    dies = ""

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        def die(transaction: object) -> None:
            if before_commit is not None:
                before_commit(transaction)
            if self.dies == "before":
                raise Crash

        super().save(tenant, state, position, die)
        if self.dies == "after":
            raise Crash


class TwoByTwo(Pace):
    """Slices of two events, and no rest."""

    def slice(self) -> int:
        return 2

    def end(self, events: int = 0) -> float:
        return 0.0


class GivenCurrentEvent:
    """`died_at`: the event at which the process before this one is to have ended."""

    died_at = ""

    def enter(self, event_id: str, /) -> None: ...

    def clear(self) -> None:
        self.died_at = ""

    def left_behind(self) -> str:
        return self.died_at


class GivenLog:
    """As much of the Log port as the reactor needs, over records with positions of their own."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> None:
        self.records = sorted([*self.records, *records], key=lambda record: record.position)

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        return [record for record in self.records if record.position > after][:max_entries]

    def last(self) -> int:
        return self.records[-1].position if self.records else 0


class Machine:
    """A store, a control database, and a reactor and replay jobs on them. `restart` opens control anew, as a new process does."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._path = folder / "control.sqlite"
        self.store = MemoryStore()
        self.log = GivenLog()
        self.current = GivenCurrentEvent()
        self.limits = Limits()
        shutil.copy(template, self._path)
        self._open()

    def _open(self) -> None:
        self.engine = open_database(self._path)
        self.rulebook = Rulebook(self.engine)
        self.overruns = ControlOverruns(self.engine)
        self.states = Mortal(self.engine)
        self.jobs = ReplayJobs(self.engine)
        self.erasures = ControlErasures(self.engine)
        self.recent = RecentRecords()
        self.holds = ErasureHolds(self.erasures)
        timelines = RuleTimelines(self.rulebook)
        self.reactions = Reactions(self.states, timelines, erased=ControlErasedEvents(self.engine))
        self.rebuild = Rebuild(Settlement(self.engine), self.reactions.payers, lambda: next(_times))
        self.reactor = Reactor(
            self.states,
            timelines,
            self.reactions,
            log=self.log,
            store=self.store,
            visible=self.log.last,
            current=self.current,
            people=PeopleStage(
                ControlPeopleStates(self.engine), ControlErasedEvents(self.engine), statement_of, placeholders="null"
            ),
            watch=StatementWatch(1 << 62),
            overruns=OverrunWatch(self.overruns, self.limits),
            holds=self.holds,
            recent=self.recent,
        )

    def restart(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self.engine.dispose()

    def apply(self, document: str | dict[str, Any], *, dry_run: bool = False) -> Applied:
        text = document.encode() if isinstance(document, str) else msgspec.json.encode(document)
        return apply_rules(self.rulebook, TENANT.project, text, 1, last=self.log.last, dry_run=dry_run)

    def react(self, *events: StoredEvent) -> None:
        """Append the events and have all that is in the log reacted to. They are stored by whoever needs them stored."""
        self.log.append([record_of(each) for each in events])
        self.drain()

    def drain(self) -> None:
        while self.reactor.step():
            pass

    def replay(self, *events: StoredEvent, force: bool = False, dry_run: bool = False) -> Outcome:
        return self.reactions.replay(TENANT, events, force=force, dry_run=dry_run)

    def reacted(self, mode: Any = "live") -> int:
        """Up to where control says that everything has been reacted to."""
        position, tenants = self.states.progress()
        own, behind = tenants.get(Tenant(TENANT.project, mode), (0, False))
        return own if behind else max(own, position)

    def start_job(self, selection: Selection, *, force: bool, rebuild: bool = False) -> ReplayJob:
        """A job over what is stored by now."""
        now = next(_times)
        applied = self.rebuild.applied(TENANT.project) if rebuild else None
        upto = self.store.last(0)
        job, ids = plan(self.store, TENANT, selection, force=force, upto=upto, now_ms=now, rebuild_for=applied)
        return self.jobs.create(job, ids)

    def rehearse(self) -> Rehearsed:
        rehearsals = Rehearsals(
            *(self.store, self.states, lambda over: Reactions(over, RuleTimelines(self.rulebook)), self.rebuild),
            scratch=lambda: ScratchFile(self._path.parent),
            pace=lambda: TwoByTwo(1.0, is_quiet=lambda: True, ask=lambda: lambda: 0.0),
        )
        return rehearsals.run(TENANT, self.store.last(0), threading.Event())

    def work(self, on_slice: Callable[[int], None]) -> None:
        """On one job, slice by slice of two events; `on_slice` is told before each, the first is 0."""
        slices = itertools.count()
        runner = ReplayRunner(
            self.jobs,
            self.store,
            self.reactions,
            pace=TwoByTwo(1.0, is_quiet=lambda: True, ask=lambda: lambda: 0.0),
            reacted=lambda _tenant: 1 << 62,
            is_busy=lambda: False,
            clock_ms=lambda: next(_times),
            rebuild=self.rebuild,
            on_step=lambda step: on_slice(next(slices)) if step == "slice" else None,
        )
        with suppress(Stopped):
            runner.step()

    def effects(self, event: StoredEvent) -> list[tuple[str, str]]:
        """What an event has set off: (kind, rule)."""
        return [(effect.kind, effect.rule) for effect in self.reactions.effects(event)]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return sorted(map(tuple, connection.exec_driver_sql(sql)))

    def number(self, rule_id: str) -> int:
        """Of the latest version of a rule."""
        return max(row[0] for row in self.rows(f"select no from rules where rule_id = '{rule_id}'"))

    def completions(self, challenge: str, participant: str = "u") -> int:
        found = self.rows(
            "select completions from standings s join rules r on r.no = s.rule_no join participants p on "
            f"p.no = s.participant_no where r.rule_id = '{challenge}' and p.name = '{participant}' order by r.no desc"
        )
        return max((row[0] for row in found), default=0)

    def badges(self, participant: str = "u") -> set[str]:
        asked = "select badge from awards a join participants p on p.no = a.participant_no where p.name = "
        return {row[0] for row in self.rows(f"{asked}'{participant}'")}

    def points(self) -> int:
        return self.rows("select coalesce(sum(points), 0) from points")[0][0]


def event(name: str, user: str = "u", day: float = 0, *, mode: Any = "live", **properties: Any) -> StoredEvent:
    """An event of a day since 2025-01-06, a Monday."""
    position = next(_positions)
    return StoredEvent(
        project=TENANT.project,
        mode=mode,
        source="flux",
        name=name,
        timestamp_ms=int(1_736_121_600_000 + day * DAY_MS),
        user_id=user,
        properties=msgspec.json.encode(properties).decode() if properties else "",
        id=event_id(position, 7),
        position=position,
    )


def record_of(event: StoredEvent) -> Record:
    fields = {field: getattr(event, field) for field in Event.__struct_fields__}
    return Record(event.position, 7, encode(Event(**fields)))
