"""Replay jobs in control. Everything raises ControlFailed."""

from collections.abc import Sequence
from typing import Literal, Protocol

from headrace.model.effects import Outcome
from headrace.model.event import Tenant
from headrace.model.filters import Cursor
from headrace.model.ledger import Correction
from headrace.model.replay_job import Action, ReplayJob, TakenJob


class JobStore(Protocol):
    """Replay jobs, for requests."""

    def create(self, job: ReplayJob, event_ids: Sequence[str] | None, /) -> ReplayJob:
        """Save a new job and give it its id. Raises Unavailable if the tenant has too many unfinished jobs."""
        ...

    def get(self, tenant: Tenant, job_id: str, /) -> ReplayJob:
        """Raises NotFound."""
        ...

    def listed(self, tenant: Tenant, limit: int, offset: int, /) -> tuple[int, list[ReplayJob]]:
        """The number of jobs, and one page of them, newest first, without their errors."""
        ...

    def steer(self, tenant: Tenant, job_id: str, action: Action, now_ms: int, /) -> ReplayJob:
        """Pause, resume or cancel; idempotent. Raises NotFound, and InvalidRequest if the job's status rules it out."""
        ...


class JobQueue(Protocol):
    """Replay jobs, for the runners. One runner works on a job at a time, under a lease."""

    def take(self, owner: str, now_ms: int, /) -> TakenJob | None:
        """The job to work on: a running one that no other owner holds, else the oldest that waits; None if there is none.

        So if a runner dies, its job continues once the lease has expired, after the last slice that was committed.
        """
        ...

    def finish(self, taken: TakenJob, status: Literal["done", "failed"], problem: str, now_ms: int, /) -> None:
        """End the job, unless it was paused or cancelled meanwhile. Raises LeaseLost."""
        ...

    def report(self, taken: TakenJob, problem: str, /) -> None:
        """Save what currently stops the job. Does nothing if another runner has the job."""
        ...

    def release(self, taken: TakenJob, /) -> None:
        """Let another runner have the job at once. Does nothing after `finish`. Never raises: a lease expires by itself."""
        ...


class JobProgress(Protocol):
    """How far a replay job has come, saved in the transactions of its work.

    Raises Stopped if the job was paused or cancelled, and LeaseLost if another runner has it; the caller must undo the
    transaction then.
    """

    def note(self, transaction: object, taken: TakenJob, cursor: Cursor, events: int, outcome: Outcome, /) -> None:
        """In the transaction of the effects: this many more events are done, up to a cursor."""
        ...

    def note_corrections(self, transaction: object, taken: TakenJob, corrections: Sequence[Correction], /) -> None:
        """In the transaction of the ledger entries: these corrections were added."""
        ...


class RunnerJobs(JobQueue, JobProgress, Protocol):
    """Both, for the runner."""
