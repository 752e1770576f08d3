"""Control: the small facts around events, and leases. Everything raises ControlFailed.

Two adapters hold to all of it: one over SQLite, one over PostgreSQL, where several processes call at once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from headrace.model.effects import Outcome
from headrace.model.event import Tenant
from headrace.model.filters import Cursor
from headrace.model.journeys import JourneyVersion
from headrace.model.lease import Lease
from headrace.model.ledger import Correction
from headrace.model.reaction_state import Overrun
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


class Scores(Protocol):
    """What can be read of the reactions. Changes nothing; always of one tenant."""

    def known(self, tenant: Tenant, names: Sequence[str], /) -> list[str]:
        """Those of the names, in their order, that anything is kept of."""
        ...

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


class ControlFailed(Exception):
    """The control database did not answer, or refused."""


class ControlConflict(ControlFailed):
    """The database undid the transaction for the sake of another one. Nothing was kept; the same again may succeed."""


class LeaseLost(Exception):
    """The work has passed to another owner: undo the transaction, and leave the rest to that one."""
