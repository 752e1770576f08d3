"""Control: the small facts around events, and who may work on what alone. Everything raises ControlFailed.

Two adapters hold to all of it: one over SQLite, one over PostgreSQL, where several processes call at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, Protocol

from headrace.model.effects import Effect, Outcome
from headrace.model.entries import ErasedEvent
from headrace.model.event import Mode, StoredEvent, Tenant
from headrace.model.filters import Cursor
from headrace.model.journeys import JourneyVersion
from headrace.model.keys import Key, Scope, Style
from headrace.model.lease import Lease
from headrace.model.ledger import Correction
from headrace.model.reaction_state import Caused, Needs, Overrun, State
from headrace.model.replay_job import Action, ReplayJob, TakenJob
from headrace.model.rulebook import PassedOver, PutAside, RuleRow, Version
from headrace.model.scores import Award, Board, Score


class Offsets(Protocol):
    """How far the worker has come. Every method raises ControlFailed."""

    def take_again(self) -> bool:
        """Take the right to commit again if another worker has taken it and let it go; whether that was so.

        Raises LeaseLost while another holds it. Without rivals, False.
        """
        ...

    def position(self) -> int:
        """The last committed position; 0 at the beginning."""
        ...

    def commit(self, position: int, /) -> None:
        """Durably move on to a position; an earlier one than the last changes nothing.

        Raises LeaseLost if another worker has taken over; then nothing was committed. After ControlFailed, it may have been.
        """
        ...


class Leases(Protocol):
    """The right to work on something alone: a partition, a replay job, timers, deliveries, retention.

    A lease expires by the database's clock unless it is renewed. Taking it raises its fence, and every transaction of the
    work checks owner and fence before it commits: so a former owner's late commit is refused, however late it comes.
    """

    def take(self, name: str, owner: str, /) -> Lease | None:
        """Take a lease that nobody holds, that has expired, or that is the owner's own; None while another holds it.

        owner: a random name, new at each start: a process that comes back under its old name would adopt its old lease.
        """
        ...

    def renew(self) -> None:
        """Extend every lease taken here and not released, in one commit. One that another has taken is given up."""
        ...

    def release(self, lease: Lease, /) -> None:
        """Let others take it at once. One that has passed to another stays as it is."""
        ...


class RuleStore(Protocol):
    """The rules of each project, and a number for each version of a rule's meaning."""

    def rule_set_ids(self) -> dict[str, int]:
        """The id of the rules in force by project; projects that never had any are left out."""
        ...

    def timeline(self, project: str, after: int, /) -> list[tuple[int, Version, list[RuleRow]]]:
        """The documents that judge events past a position, the earliest first.

        Each with the position after which it judges, and the versions of all rules that the project ever had.
        """
        ...

    def current(self, project: str, /) -> tuple[Version, list[RuleRow]] | None:
        """The rules in force, with the versions of all rules that the project ever had; None when it never had any."""
        ...

    def apply(
        self,
        project: str,
        version: str,
        document: str,
        meanings: Sequence[tuple[str, str, str]],
        now_ms: int,
        last: Callable[[], int],
        /,
        journeys: Sequence[JourneyVersion] = (),
        *,
        move: bool = False,
        renamed: Sequence[tuple[str, str, str, str]] = (),
    ) -> bool:
        """Put a document in force, whole or not at all; False when the same content is in force already.

        meanings: (kind, rule id, version) of each rule in it. A new project is made with it.
        journeys: those in it. move: runs of other versions go on by these, where they are at a step that is there.
        renamed: (kind, rule id, version, what it is called now): what was made under the former name goes on.
        Rules of the document that were put aside are brought back, and the same content is then put in force anew.
        Of two at once, the one that commits last is in force.
        last: asked within the transaction for the position of the last acknowledged event; the document judges what comes after.
        """
        ...


class RuleHistory(Protocol):
    """What became of a project's rules, for those who look at it."""

    def history(self, project: str, limit: int, /) -> list[Version]:
        """The latest applications, newest first, without their documents."""
        ...

    def failures(self, limit: int, /) -> list[tuple[str, str, int]]:
        """(project, rule id, how often its condition had no truth value) of each project's rules that failed most often."""
        ...

    def passed_over(self, tenant: Tenant, rule_no: int, after: str, limit: int, /) -> list[PassedOver]:
        """The tenant's events that a rule did not look at, by id, past an id; rule number 0 has those that no rule looked at."""
        ...

    def passed_over_by_all(self, project: str, /) -> Mapping[str, int]:
        """By mode: how many of a project's events no rule has looked at."""
        ...


class Overruns(Protocol):
    """Rules whose conditions cost too much for events in a row."""

    def load(self, tenant: Tenant, /) -> tuple[int, Mapping[int, Overrun]]:
        """By rule number, with the version of the tenant's state (see ReactionStates) of which that is known."""
        ...

    def put_aside(self, project: str, /) -> list[PutAside]:
        """The project's rules that were put aside and not brought back, also those no longer in force."""
        ...

    def counts(self) -> Mapping[Tenant, int]:
        """How many rules were put aside, of each project and mode that has any."""
        ...


class JobStore(Protocol):
    """Replay jobs, for those who ask for them."""

    def create(self, job: ReplayJob, event_ids: Sequence[str] | None, /) -> ReplayJob:
        """Keep a new job, giving it its id. Raises Unavailable where too many of the tenant are unfinished."""
        ...

    def get(self, tenant: Tenant, job_id: str, /) -> ReplayJob:
        """Raises NotFound."""
        ...

    def listed(self, tenant: Tenant, limit: int, offset: int, /) -> tuple[int, list[ReplayJob]]:
        """How many there are, and some of them, the newest first, without their errors."""
        ...

    def steer(self, tenant: Tenant, job_id: str, action: Action, now_ms: int, /) -> ReplayJob:
        """Pause, resume or cancel; again changes nothing. Raises NotFound, InvalidRequest for a job that is past it."""
        ...


class JobQueue(Protocol):
    """Replay jobs, for those who run them. A job is one runner's at a time; what it writes, it writes under its lease."""

    def take(self, owner: str, now_ms: int, /) -> TakenJob | None:
        """The job to work on: one that is running and that no other owner holds, else the oldest that waits.

        So a job whose runner has died goes on once its lease has expired, after the last slice that was committed.
        """
        ...

    def note(self, transaction: object, taken: TakenJob, cursor: Cursor, events: int, outcome: Outcome, /) -> None:
        """In the transaction of the effects: so many more events are done, up to a cursor.

        Raises Stopped where the job was paused or cancelled, LeaseLost where it has passed to another runner; either must
        undo the transaction.
        """
        ...

    def note_corrections(self, transaction: object, taken: TakenJob, corrections: Sequence[Correction], /) -> None:
        """In the transaction of the entries: so many more corrections of the ledger. Raises Stopped, LeaseLost."""
        ...

    def finish(self, taken: TakenJob, status: Literal["done", "failed"], problem: str, now_ms: int, /) -> None:
        """The job's end, unless it was paused or cancelled meanwhile. Raises LeaseLost."""
        ...

    def report(self, taken: TakenJob, problem: str, /) -> None:
        """Keep what keeps the job from going on; nothing once it has passed to another runner."""
        ...

    def release(self, taken: TakenJob, /) -> None:
        """Let another runner have the job at once; after `finish`, nothing. Raises nothing: a lease expires by itself."""
        ...


class KeyStore(Protocol):
    """API keys. A secret is kept as its hash alone."""

    def create(
        self,
        project: str,
        mode: Mode,
        style: Style,
        scopes: AbstractSet[Scope] | None,
        now_ms: int,
        expires_at_ms: int | None = None,
        origins: Sequence[str] = (),
    ) -> tuple[Key, str]:
        """A new key and its secret, which nobody can be told again; a new project is made with it. Raises InvalidRequest."""
        ...

    def list(self) -> tuple[Key, ...]:
        """Every key, also revoked and expired ones, oldest first."""
        ...

    def find(self, secret: str, /) -> Key | None:
        """The key of a secret, also when it is revoked or expired."""
        ...

    def revoke(self, named: str, /, now_ms: int) -> Key:
        """Revoke the key of that id, secret or prefix. Raises NotFound, and InvalidRequest where several keys fit."""
        ...


class KeyCheck(Protocol):
    """Says which key a secret is, many thousand times a second. Any thread may call it."""

    def cached(self, secret: str, /) -> Key | None:
        """The key, if it is known to work without asking the database; None says nothing: call `check`."""
        ...

    def check(self, secret: str, /) -> Key:
        """The key of a secret. May ask the database: call it off the event loop. Raises InvalidKey, Unavailable."""
        ...


class Scores(Protocol):
    """What can be read of the reactions. Changes nothing; always of one tenant."""

    def participant(self, tenant: Tenant, name: str, spans: Sequence[tuple[int, int, int]], /) -> Score | None:
        """What is kept of a participant, with the buckets of some spans (rule number, first, last); None for an unknown one."""
        ...

    def challenge_counts(self, tenant: Tenant, rule_nos: Sequence[int], /) -> Mapping[int, tuple[int, int]]:
        """By rule number: how many participants have begun a challenge, and how many have completed it."""
        ...

    def leaderboard(
        self, tenant: Tenant, rule_no: int, limit: int, offset: int, /, around: str | None = None
    ) -> Board | None:
        """Most completions first, then the most reached in one window, then by name. Equal scores share a rank.

        around: the page with this participant in its middle instead, and None where it has not begun.
        """
        ...

    def holder_counts(self, tenant: Tenant, /) -> Mapping[str, int]:
        """By badge: how many hold it."""
        ...

    def holders(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Award]:
        """Those who hold a badge, the latest first by the time of the event that brought it."""
        ...


class ErasedEvents(Protocol):
    """The list of events that were erased on purpose: what no start may bring back, and no check may miss.

    List an event before it is removed from the store, so that a crash in between cannot bring it back. Any thread may call
    it. Raises ControlFailed.
    """

    def add(self, events: Sequence[ErasedEvent], /) -> None:
        """Durably list events; one that is listed already stays as it is."""
        ...

    def count(self, after: int, upto: int, /) -> int:
        """How many listed events have `after` < position <= `upto`."""
        ...

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """The listed events with `after` < position <= `upto`, in order, some thousands at a time."""
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a listed event, if it is past `after`; else `after`."""
        ...


class ReactionStates(Protocol):
    """What reactions remember of each tenant, and how far they have come. Everything raises ControlFailed."""

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """What is remembered of the events and participants, as of one moment, which `State.version` names."""
        ...

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        """Keep what is new in a loaded state, and that the tenant's events up to a position have been reacted to; all or nothing.

        before_commit: called with the open transaction last of all; what it raises undoes everything.
        Raises StateChanged when somebody else has saved since this state was loaded: load and decide again. Raises LeaseLost when
        the reactions have passed to another process.
        """
        ...

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """Every effect of an event with its rule's id and version, in the order in which they happened."""
        ...

    def progress(self) -> tuple[int, dict[Tenant, tuple[int, bool]]]:
        """The position up to which no event waits but those of tenants that are behind, and each tenant's (position, behind)."""
        ...

    def advance(self, position: int, /, behind: Mapping[Tenant, int], caught_up: Iterable[Tenant]) -> None:
        """Move that position on. behind: how far each tenant is whose later events wait; caught_up: whose no longer do."""
        ...

    def count_attempt(self, event_id: str, /) -> None:
        """A process ended while it reacted to this event."""
        ...

    def poisonous(self, most_attempts: int, /) -> set[str]:
        """The events at which so many processes have ended."""
        ...


class StateChanged(Exception):
    """The state of a tenant's reactions was saved by somebody else since it was loaded."""


class Reactions(Protocol):
    """Stored events through the reactions again. Any thread may call it; it takes turns with the worker."""

    def replay(
        self,
        tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        before_commit: "BeforeCommit | None" = None,
    ) -> Outcome:
        """Run events of one tenant through the reactions in the order given, under the rules that are in force now.

        What an event caused before under the same version of the same rule is not caused again, unless `force`. A dry run
        does the same and keeps nothing. An event that cannot be reacted to holds up no other, and is in the outcome.

        before_commit: called just before each commit with the transaction, the events that it is for, in order, and their
        outcome; never in a dry run. What it writes in that transaction is kept with the effects or not at all, and what it
        raises undoes them and comes out of here. There is one commit, unless events fail.
        Raises Unavailable; then what was not told to `before_commit` has not happened.
        """
        ...

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """What an event has set off so far, in order. Raises Unavailable."""
        ...


BeforeCommit = Callable[[object, Sequence[StoredEvent], Outcome], None]
"""Writes to control beside what reacts: is given the open transaction, which only an adapter looks into."""


class ControlFailed(Exception):
    """The control database did not answer, or refused."""


class ControlConflict(ControlFailed):
    """The database undid the transaction for the sake of another one. Nothing was kept; the same again may succeed."""


class LeaseLost(Exception):
    """The work has passed to another owner: undo the transaction, and leave the rest to that one."""
