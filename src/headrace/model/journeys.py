"""Runs of journeys: the form in which control keeps them and the reactions work on them. No I/O, and no journey's meaning.

A **run** is one person on the way through one version of a journey. It waits for one thing at a time, so it has at most one
timer.
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
WAITS: Mapping[str, Waiting] = {"wait": "time", "wait_for": "event", "call": "reply"}  # what steps of a kind wait for
SOURCE = "journey"  # of the events that journeys emit; no client can send one of this source


class Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run at one step. `until_ms` is None and `outcome` is "" while the run waits there.

    outcome: `waited`, `happened`, `timed_out`, `then`, `else`, `emitted`, `too_deep`, `replied`, `failed`, or what ended the
    run there: `exited`, `cancelled`. why: what the outcome rests on, where that is not plain.
    event: the event that was waited for, encoded, unless it is too large to keep. reply: JSON text.
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
    """One person on the way through one version of a journey.

    rule_no: the number of the version. event_id, event: the event that started it, encoded, unless it is too large to keep;
    user_id, anonymous_id: that event's. position: of the latest event that moved it; none up to there moves it again.
    moment_ms: when it was last moved. due_ms: when its timer fires. depth: how many journeys, one after the other, led to the
    event that started it.
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
    """An event that a run emits. `key` is unique: however often it is sent through intake, it is stored once.

    user_id, anonymous_id: those of the event that started the run. context: JSON, which says where the event is from.
    """

    key: str
    name: str
    user_id: str
    anonymous_id: str
    properties: str
    context: str
    at_ms: int

    def event(self, tenant: Tenant, /) -> Event:
        """As intake takes it."""
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
    """A call of a webhook. `key` is unique to the attempt; `data` is what the webhook is sent, as JSON."""

    key: str
    run_id: str
    attempt: int
    webhook: str
    data: str
    at_ms: int


class Entries(msgspec.Struct, frozen=True):
    """A person's runs of one version of a journey: how many there were, how many go on, and when the last one started."""

    journey: str
    rule_no: int
    runs: int
    active: int
    last_ms: int


class JourneyVersion(msgspec.Struct, frozen=True):
    """A version of a journey: its definition as JSON, and what runs wait for at each step that has them wait."""

    id: str
    version: str
    definition: str
    waits: dict[str, str]


class Answered(msgspec.Struct, frozen=True):
    """How a call has ended. reply: JSON, "" for none; None where it was not delivered, and `problem` says why."""

    key: str
    tenant: Tenant
    run_id: str
    attempt: int
    at_ms: int
    reply: str | None
    problem: str


class RunCount(msgspec.Struct, frozen=True):
    """So many runs of one version were at a step with an outcome, "" while they wait; without a step: runs by status."""

    rule_no: int
    journey: str
    version: str
    step: str
    outcome: str
    runs: int


class ListedRun(msgspec.Struct, frozen=True):
    """A run and the version that it is of."""

    run: Run
    version: str


class Person(msgspec.Struct, frozen=True):
    """Who a person is, as far as conditions and calls may know. traits: JSON text of an object, or "". groups: type to key."""

    id: str
    ids: tuple[str, ...] = ()
    traits: str = ""
    groups: dict[str, str] = {}


class RunState:
    """The runs of some persons as they are remembered, and what has become of them since. For one thread.

    entries: by person, what is known of each version of each journey that the person has entered.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.entries: dict[str, dict[int, Entries]] = {}
        # What is new, to be kept:
        self.before: dict[str, Run | None] = {}  # by id: each run that has changed, as it was
        self.emitted: list[Emitted] = []
        self.called: list[Called] = []

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to be kept."""
        return bool(self.before)

    @property
    def changed(self) -> list[Run]:
        """The runs that are new or different, in the order in which they first changed."""
        return [self.runs[run_id] for run_id in self.before]

    def of(self, person: str, /) -> list[Run]:
        """A person's runs that go on, the earliest first."""
        found = [run for run in self.runs.values() if run.person == person and run.status == "active"]
        return sorted(found, key=lambda run: (run.started_ms, run.id))

    def put(self, run: Run, /) -> None:
        """Keep a run as it is now, and count it where it is new or has ended."""
        was = self.runs.get(run.id)
        self.before.setdefault(run.id, was)
        self.runs[run.id] = run
        held = self.entries.setdefault(run.person, {})
        known = held.get(run.rule_no) or Entries(run.journey, run.rule_no, 0, 0, 0)
        was_active = was is not None and was.status == "active"
        held[run.rule_no] = Entries(
            run.journey,
            run.rule_no,
            known.runs + (was is None),
            known.active + (run.status == "active") - was_active,
            max(known.last_ms, run.started_ms),
        )

    def entered(self, person: str, of: Callable[[Entries], bool], /) -> Sequence[Entries]:
        return [each for each in self.entries.get(person, {}).values() if of(each)]


def run_id(event_id: str, rule_no: int, generation: int, /) -> str:
    """`run_` and 32 hex digits: always the same for one event, version of a journey, and time that it was forced."""
    return f"run_{blake2b(f'{event_id}/{rule_no}/{generation}'.encode(), digest_size=16).hexdigest()}"
