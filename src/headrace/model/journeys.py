"""Runs of journeys, as control saves them and the reactions change them. No I/O, and no knowledge of what journeys mean.

A **run** is one person's way through one version of a journey. It waits for one thing at a time, so it has at most one timer.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from headrace.model.event import Event, Tenant
from headrace.model.labels import labels_and_numbers

Status: TypeAlias = Literal["active", "done", "exited", "cancelled", "failed"]
STATUSES: tuple[Status, ...] = ("active", "done", "exited", "cancelled", "failed")
Waiting: TypeAlias = Literal["", "time", "event", "reply"]
WAITS: Mapping[str, Waiting] = {"wait": "time", "wait_for": "event", "call": "reply"}  # by kind of step
SOURCE = "journey"  # the source of events that journeys emit; no client can send events with it


class Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run's stay at a step. `until_ms` is None and `outcome` is "" while the run waits there.

    outcome: `waited`, `happened`, `timed_out`, `then`, `else`, `emitted`, `too_deep`, `replied`, `failed`, or what ended the
    run there: `exited`, `cancelled`. why: the reason for the outcome, if it is not obvious.
    event: the awaited event, encoded, unless it is too large to keep. reply: JSON text.
    """

    step: str
    kind: str
    at_ms: int
    until_ms: int | None = None
    outcome: str = ""
    why: str = ""
    event_id: str = ""
    event: str = ""
    reply: str = ""


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person's way through one version of a journey.

    rule_no: the number of the version. event_id, event: the event that started it, encoded, unless it is too large to keep;
    user_id, anonymous_id: that event's. position: of the latest event that moved it; earlier ones no longer move it.
    moment_ms: when it last moved. due_ms: when its timer fires. depth: how many consecutive journeys led to the event that
    started it.
    attempt: how many calls it has made; only the reply to the last one counts.
    """

    id: str
    rule_no: int
    journey: str
    person: str
    event_id: str
    user_id: str = ""
    anonymous_id: str = ""
    status: Status = "active"
    step: str = ""
    waiting: Waiting = ""
    due_ms: int | None = None
    position: int = 0
    started_ms: int = 0
    moment_ms: int = 0
    depth: int = 0
    attempt: int = 0
    event: str = ""
    visits: tuple[Visit, ...] = ()


class Emitted(msgspec.Struct, frozen=True):
    """An event that a run emits. Its `key` is unique, so it is stored once however often it goes through intake.

    user_id, anonymous_id: those of the event that started the run. context: JSON that says where the event comes from.
    """

    key: str
    name: str
    user_id: str
    anonymous_id: str
    properties: str
    context: str
    at_ms: int

    def event(self, tenant: Tenant, /) -> Event:
        """The event, for intake."""
        labels, numbers = labels_and_numbers(msgspec.json.decode(self.properties or "{}"), {})
        return Event(
            *(tenant.project, tenant.mode, SOURCE, self.name, self.at_ms),
            user_id=self.user_id,
            anonymous_id=self.anonymous_id,
            properties=self.properties,
            context=self.context,
            labels=labels,
            numbers=numbers,
            message_id=self.key,
        )


class Called(msgspec.Struct, frozen=True):
    """A call of a webhook. `key` is unique to the attempt; `data` is the JSON to send."""

    key: str
    run_id: str
    attempt: int
    webhook: str
    data: str
    at_ms: int


class Entries(msgspec.Struct, frozen=True):
    """A person's runs of one version of a journey: their number, the number of active ones, and when the last one started."""

    journey: str
    rule_no: int
    runs: int
    active: int
    last_ms: int


class JourneyVersion(msgspec.Struct, frozen=True):
    """A version of a journey: its definition as JSON, and what runs wait for at each step that waits."""

    id: str
    version: str
    definition: str
    waits: dict[str, str]


class Answered(msgspec.Struct, frozen=True):
    """The outcome of a call. reply: JSON, "" if there was none; None if it was not delivered, for the reason in `problem`."""

    key: str
    tenant: Tenant
    run_id: str
    attempt: int
    at_ms: int
    reply: str | None
    problem: str


class RunCount(msgspec.Struct, frozen=True):
    """The number of runs of a version at a step with an outcome ("" while they wait). Without a step: runs by status."""

    rule_no: int
    journey: str
    version: str
    step: str
    outcome: str
    runs: int


class ListedRun(msgspec.Struct, frozen=True):
    """A run, its version, and the id that its person goes by."""

    run: Run
    version: str
    person: str


class Person(msgspec.Struct, frozen=True):
    """A person, as conditions and calls see them. traits: JSON text of an object, or "". groups: key by type."""

    id: str
    ids: tuple[str, ...] = ()
    traits: str = ""
    groups: dict[str, str] = {}


class RunState:
    """The loaded runs of some people, and the changes made to them since. For one thread.

    A run belongs to the person, whichever of the ids started it. entries: by the id that a person goes by, a summary for each
    version of each journey that the person has entered.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.entries: dict[str, dict[int, Entries]] = {}
        self.persons: dict[str, str] = {}  # by id of a person who has several: the id that the person goes by
        # What is new, to be saved:
        self.before: dict[str, Run | None] = {}  # by id: each changed run, as it was before
        self.emitted: list[Emitted] = []
        self.called: list[Called] = []

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to save."""
        return bool(self.before)

    @property
    def changed(self) -> list[Run]:
        """New and changed runs, in the order in which they first changed."""
        return [self.runs[run_id] for run_id in self.before]

    def of(self, person: str, /) -> list[Run]:
        """The active runs of whoever an id is, the earliest first."""
        whose = self._whose(person)
        found = [run for run in self.runs.values() if run.status == "active" and self._whose(run.person) == whose]
        return sorted(found, key=lambda run: (run.started_ms, run.id))

    def put(self, run: Run, /) -> None:
        """Add or replace a run, and count it if it is new or has ended."""
        was = self.runs.get(run.id)
        self.before.setdefault(run.id, was)
        self.runs[run.id] = run
        held = self.entries.setdefault(self._whose(run.person), {})
        known = held.get(run.rule_no) or Entries(run.journey, run.rule_no, 0, 0, 0)
        was_active = was is not None and was.status == "active"
        held[run.rule_no] = Entries(
            run.journey,
            run.rule_no,
            known.runs + (was is None),
            known.active + (run.status == "active") - was_active,
            max(known.last_ms, run.started_ms),
        )

    def enter(self, person: str, entries: Entries, /) -> None:
        """Count runs that one of a person's ids has started."""
        held = self.entries.setdefault(self._whose(person), {})
        known = held.get(entries.rule_no)
        if known is not None:
            entries = msgspec.structs.replace(
                entries,
                runs=known.runs + entries.runs,
                active=known.active + entries.active,
                last_ms=max(known.last_ms, entries.last_ms),
            )
        held[entries.rule_no] = entries

    def entered(self, person: str, of: Callable[[Entries], bool], /) -> Sequence[Entries]:
        return [each for each in self.entries.get(self._whose(person), {}).values() if of(each)]

    def _whose(self, id: str) -> str:  # noqa: A002
        return self.persons.get(id, id)


def run_id(event_id: str, rule_no: int, generation: int, /) -> str:
    """`run_` and 32 hex digits: always the same for the same event, version of a journey, and generation."""
    # The event's own leading digits first, so that runs that start together, and go on together, are neighbours on disk.
    digest = blake2b(f"{event_id}/{rule_no}/{generation}".encode(), digest_size=8).hexdigest()
    return f"run_{event_id[:16]}{digest}"
