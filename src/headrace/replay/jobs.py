"""Replay jobs: one thread that replays page after page, oldest first, and yields to live traffic.

A job's progress is saved in the same transaction as the effects of its events. So whatever crashes, each slice happens once, and
the next start resumes after the last completed event.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import structlog

from headrace.model.effects import Outcome
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import StoredEvent, Tenant, parse_id
from headrace.model.filters import Filters, Selection
from headrace.model.ledger import Correction
from headrace.model.replay_job import ReplayJob, Stopped, TakenJob
from headrace.pipeline.loop import Loop
from headrace.ports.control import ControlFailed, LeaseLost
from headrace.ports.reactions import Reactions
from headrace.ports.replay_jobs import RunnerJobs
from headrace.ports.store import ReplayReader
from headrace.replay.pace import Pace
from headrace.replay.pages import cursor_at, pages, windows_of
from headrace.replay.rebuild import Rebuild, RulesChanged

_log = structlog.get_logger("headrace.replay.jobs")
_IDS_AT_ONCE = 500
_BUSY_WAIT_S, _LOOK_EVERY_S = 1.0, 0.003


def plan(
    reader: ReplayReader,
    tenant: Tenant,
    selection: Selection,
    /,
    *,
    force: bool,
    upto: int,
    now_ms: int,
    rebuild_for: str | None = None,
) -> tuple[ReplayJob, list[str] | None]:
    """A job for the events up to a position, with their number, and its event ids if it is by ids. Raises what the reader raises.

    rebuild_for: the application of rules that a rebuild is for; None for an ordinary replay.
    """
    unknown: list[str] = []
    wanted: list[str] | None = None
    filters = msgspec.structs.replace(selection.filters, upto=upto)
    if selection.ids is not None:
        ids = {text: parse_id(text) for text in selection.ids}
        asked = list(dict.fromkeys(event_id for event_id in ids.values() if event_id))
        known = {
            event.id
            for start in range(0, len(asked), _IDS_AT_ONCE)
            for event in reader.get(tenant, asked[start : start + _IDS_AT_ONCE])
            if event.position <= upto
        }
        wanted = [event_id for event_id in asked if event_id in known]
        unknown = [text for text, event_id in ids.items() if event_id not in known]
        filters, total = Filters(upto=upto), len(wanted)
    else:
        total = reader.count(tenant, filters).total
    job = ReplayJob(
        id="",
        tenant=tenant,
        status="queued",
        filters=filters,
        ids=None if selection.ids is None else len(selection.ids),
        limit=selection.limit,
        force=force,
        upto=upto,
        total=total if selection.limit is None else min(total, selection.limit),
        unknown=len(unknown),
        errors=[(text[:100], "Event not found") for text in unknown],
        created_at_ms=now_ms,
        rebuild=rebuild_for is not None,
        rules_applied=rebuild_for or "",
    )
    return job, wanted


class ReplayRunner:
    """Works on one job at a time, under a lease, so that no two runners work on the same job.

    `loop` is its thread, to be woken when there is a job. It stops after the current slice, and the next start resumes there.
    """

    def __init__(
        self,
        jobs: RunnerJobs,
        reader: ReplayReader,
        reactions: Reactions,
        *,
        pace: Pace,
        reacted: Callable[[Tenant], int],
        is_busy: Callable[[], bool],
        clock_ms: Callable[[], int],
        rebuild: Rebuild | None = None,
        on_step: Callable[[str], None] = lambda _step: None,
        look_every_s: float | None = None,
    ) -> None:
        """reacted: the position up to which a tenant's events have been reacted to.

        is_busy: whether the worker is inserting live events, or they have waited for it too long. on_step: called from this
        thread before and after each slice, and with each correction. rebuild: corrects the ledger at the end of rebuilds.
        look_every_s: how often to look for jobs of runners that have died; None if there are no other runners.
        """
        self._jobs = jobs
        self._reader = reader
        self._reactions = reactions
        self._pace = pace
        self._reacted = reacted
        self._is_busy = is_busy
        self._clock_ms = clock_ms
        self._rebuild = rebuild
        self._on_step = on_step
        self._owner = secrets.token_hex(8)  # new at each start: see `Leases.take`
        self._taken: TakenJob | None = None
        self.loop = Loop("replays", self._turn, idle_s=look_every_s, on_failure=self._on_failure)

    def step(self) -> bool:
        """Work on one job until it has ended; False if there is none.

        Raises Stopped, LeaseLost, and what control, the reader and the reactions raise.
        """
        self._taken = None
        taken = self._jobs.take(self._owner, self._clock_ms())
        if taken is None:
            return False
        self._taken = taken
        try:
            self._work(taken)
        finally:
            self._jobs.release(taken)
        return True

    def _turn(self) -> bool:
        try:
            return self.step()
        except (Stopped, LeaseLost):  # paused, cancelled, or taken by another runner: there may be another job
            return True

    def _on_failure(self, error: Exception, pause_s: float) -> None:
        bug = not isinstance(error, HeadraceError | ControlFailed)
        _log.log(
            logging.ERROR if bug else logging.WARNING,
            "replay_interrupted",
            job=self._taken and self._taken.job.id,
            error=str(error),
            retry_in_s=pause_s,
            exc_info=error if bug else None,
        )
        self._report(error)

    def _work(self, taken: TakenJob) -> None:
        job = taken.job
        # Live reactions to earlier events come first, in log order, and once.
        while self._reacted(job.tenant) < job.upto and not self.loop.closing:
            self.loop.rest(0.05)
        left = job.total - job.replayed - job.failed
        for page in self._pages(taken) if left > 0 else ():
            rest, left = page[:left], left - len(page)
            while rest:
                if self.loop.closing:
                    return
                size = self._pace.slice()
                part, rest = rest[:size], rest[size:]
                self._replay(taken, part)
            if left <= 0:
                break
        if job.rebuild and self._rebuild and not self.loop.closing:
            self._correct(taken, self._rebuild)
        if not self.loop.closing:
            self._jobs.finish(taken, "done", "", self._clock_ms())

    def _correct(self, taken: TakenJob, rebuild: Rebuild) -> None:
        def note(transaction: object, corrections: Sequence[Correction]) -> None:
            self._on_step("correct")
            self._jobs.note_corrections(transaction, taken, corrections)

        job = taken.job
        try:
            rebuild.run(job.tenant, job.rules_applied, note, lambda: not self.loop.closing)
        except RulesChanged:
            why = "The rules have changed since this rebuild was started, so it corrected no more: start another one."
            self._jobs.finish(taken, "failed", why, self._clock_ms())
            raise Stopped from None

    def _pages(self, taken: TakenJob) -> Iterator[list[StoredEvent]]:
        """The job's events after its cursor, oldest first. Holds one page in memory."""
        job, event_ids = taken.job, taken.event_ids
        cursor = job.cursor
        filters = msgspec.structs.replace(job.filters, ids=event_ids)
        if cursor is not None:
            filters = msgspec.structs.replace(filters, from_ms=max(filters.from_ms or 0, cursor.timestamp_ms))
        windows = [filters] if event_ids is not None else windows_of(self._reader, job.tenant, filters)
        try:
            yield from pages(
                self._reader,
                job.tenant,
                windows,
                cursor,
                begin=self._pace.begin,
                end=lambda: self._yield_time(self._pace.end()),
                goes_on=lambda: not self.loop.closing,
            )
        except InvalidRequest as error:
            self._jobs.finish(taken, "failed", error.message, self._clock_ms())
            raise Stopped from error

    def _replay(self, taken: TakenJob, events: Sequence[StoredEvent]) -> None:
        """Replay one slice: its effects and the job's progress are one transaction. A crash before its commit undoes both."""

        def note(transaction: object, done: Sequence[StoredEvent], outcome: Outcome) -> None:
            self._jobs.note(transaction, taken, cursor_at(done[-1]), len(done), outcome)

        job = taken.job
        self._on_step("slice")
        self._pace.begin()
        self._reactions.replay(job.tenant, events, force=job.force, dry_run=False, before_commit=note)
        self._on_step("noted")
        self._yield_time(self._pace.end(len(events)))

    def _yield_time(self, rest_s: float) -> None:
        """Rest to leave live traffic its share of the time, then wait until the worker is idle.

        An insert takes both cores for a moment, and requests that wait for a core at that time are the slowest ones.
        """
        self.loop.rest(rest_s)
        until = time.monotonic() + _BUSY_WAIT_S
        while self._is_busy() and not self.loop.closing and time.monotonic() < until:
            self.loop.rest(_LOOK_EVERY_S)

    def _report(self, error: Exception) -> None:
        if self._taken is None:
            return
        try:
            self._jobs.report(self._taken, f"{type(error).__name__}: {error}")
        except ControlFailed:
            _log.warning("replay_problem_not_kept", job=self._taken.job.id)
