"""Replay jobs in the control database: creates, lists, steers and advances them. Runs none.

queued ─▶ running ─▶ done, or failed
  ▲ │       │ ▲
  │ └─▶ paused ┘      any of the first three can be cancelled
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, cast

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.leases import ControlLeases, free, require
from headrace.control.locks import lock_tenant
from headrace.control.tables.positions import leases
from headrace.control.tables.replays import replays
from headrace.model.effects import Outcome
from headrace.model.errors import InvalidRequest, NotFound, Unavailable
from headrace.model.event import Tenant, render_uuid
from headrace.model.filters import Cursor, Filters
from headrace.model.ledger import Correction
from headrace.model.replay_job import Action, ReplayJob, ReplayStatus, Stopped, TakenJob
from headrace.ports.control import ControlFailed, LeaseLost

MAX_WAITING = 100  # unfinished jobs per tenant
MAX_KEPT = 1000  # finished jobs kept per tenant
MAX_ERRORS = 100
_MAX_ERROR_CHARS = 300
_LEASE = "replay/"  # followed by the job's id: the name of its lease
_MOST_TRIES = 10  # attempts to take a job when other runners are faster
_LIVE: tuple[ReplayStatus, ...] = ("queued", "running", "paused")
_STEERED: dict[Action, tuple[tuple[ReplayStatus, ...], ReplayStatus]] = {
    "pause": (("queued", "running"), "paused"),
    "resume": (("paused",), "queued"),
    "cancel": (_LIVE, "cancelled"),
}
# A list shows neither ids nor errors, which may be large.
_SHORT = [column for column in replays.c if column.name not in ("event_ids", "errors")]
_filters_decoder = msgspec.json.Decoder(Filters)
_errors_decoder = msgspec.json.Decoder(list[tuple[str, str]])


class ReplayJobs:
    """Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine, leases: ControlLeases | None = None) -> None:
        self._engine = engine
        self._leases = leases or ControlLeases(engine)

    def create(self, job: ReplayJob, event_ids: Sequence[str] | None, /) -> ReplayJob:
        """See the JobStore port."""
        own = _of(job.tenant)
        job = msgspec.structs.replace(job, id=f"replay_{job.created_at_ms:012x}{secrets.token_hex(5)}")

        def keep(connection: sa.Connection) -> None:
            lock_tenant(connection, job.tenant)  # otherwise two concurrent calls could both find room for the last one
            waiting = connection.scalar(sa.select(sa.func.count()).where(own, replays.c.status.in_(_LIVE)))
            if (waiting or 0) >= MAX_WAITING:
                raise Unavailable(f"{waiting} replays are unfinished: wait, or cancel one.", retry_after_s=60)
            _forget_old(connection, own)
            connection.execute(sa.insert(replays), _row(job, event_ids))

        transact(self._engine, keep)
        return job

    def get(self, tenant: Tenant, job_id: str, /) -> ReplayJob:
        """Raises NotFound."""
        with reading(self._engine) as connection:
            return self._get(connection, tenant, job_id)

    def listed(self, tenant: Tenant, limit: int, offset: int, /) -> tuple[int, list[ReplayJob]]:
        """See the JobStore port."""
        own = _of(tenant)
        with reading(self._engine) as connection:
            total = connection.scalar(sa.select(sa.func.count()).where(own))
            rows = connection.execute(
                sa.select(*_SHORT).where(own).order_by(replays.c.id.desc()).limit(limit).offset(offset)
            )
            return total or 0, [_job(row._mapping) for row in rows]  # pyright: ignore[reportPrivateUsage]

    def steer(self, tenant: Tenant, job_id: str, action: Action, now_ms: int, /) -> ReplayJob:
        """See the JobStore port."""
        before, after = _STEERED[action]

        def turn(connection: sa.Connection) -> ReplayJob:
            job = self._get(connection, tenant, job_id, lock=True)
            settled = (after, "running") if action == "resume" else (after,)
            if job.status in settled:
                return job
            if job.status not in before:
                raise InvalidRequest(f"The replay is {job.status}: there is nothing to {action}.")
            values: dict[str, object] = {"status": after, "problem": ""}
            if action == "cancel":
                values["finished_at_ms"] = now_ms
            connection.execute(sa.update(replays).where(replays.c.id == job_id).values(values))
            return self._get(connection, tenant, job_id)

        return transact(self._engine, turn)

    def take(self, owner: str, now_ms: int, /) -> TakenJob | None:
        """See the JobQueue port."""

        def choose(connection: sa.Connection) -> TakenJob | None:
            for _ in range(_MOST_TRIES):
                row = connection.execute(_free_job(self._leases.held_by_another(connection, owner))).first()
                if row is None:
                    return None
                lease = self._leases.take_within(connection, _LEASE + row.id, owner)
                if lease is not None:
                    break
            else:
                return None
            job = _job(row._mapping)  # pyright: ignore[reportPrivateUsage]
            connection.execute(
                sa.update(replays)
                .where(replays.c.id == job.id)
                .values(status="running", started_at_ms=sa.func.coalesce(replays.c.started_at_ms, now_ms))
            )
            event_ids = None if row.event_ids is None else [each for each in row.event_ids.split(",") if each]
            return TakenJob(msgspec.structs.replace(job, status="running"), event_ids, lease)

        taken = transact(self._engine, choose)
        if taken is not None:
            self._leases.keep(taken.lease)
        return taken

    def note(self, transaction: object, taken: TakenJob, cursor: Cursor, events: int, outcome: Outcome, /) -> None:
        """See the JobProgress port."""
        job_id = taken.job.id
        connection = cast("sa.Connection", transaction)
        moved = connection.execute(
            sa.update(replays)
            .where(replays.c.id == job_id, replays.c.status == "running")
            .values(
                cursor_ms=cursor.timestamp_ms,
                cursor_position=cursor.position,
                problem="",
                replayed=replays.c.replayed + events - len(outcome.failed),
                failed=replays.c.failed + len(outcome.failed),
                effects=replays.c.effects + len(outcome.effects),
                suppressed=replays.c.suppressed + outcome.suppressed,
            )
        )
        if moved.rowcount == 0:
            raise Stopped
        if outcome.failed:
            kept = connection.scalar(sa.select(replays.c.errors).where(replays.c.id == job_id)) or "[]"
            failed = [(render_uuid(event_id), why) for event_id, why in outcome.failed]
            errors = [*_errors_decoder.decode(kept), *failed][:MAX_ERRORS]
            connection.execute(sa.update(replays).where(replays.c.id == job_id).values(errors=_render_errors(errors)))

        require(connection, taken.lease)

    def note_corrections(self, transaction: object, taken: TakenJob, corrections: Sequence[Correction], /) -> None:
        """See the JobProgress port."""
        connection = cast("sa.Connection", transaction)
        moved = connection.execute(
            sa.update(replays)
            .where(replays.c.id == taken.job.id, replays.c.status == "running")
            .values(
                corrections=replays.c.corrections + len(corrections),
                corrected_points=replays.c.corrected_points + sum(each.points for each in corrections),
            )
        )
        if moved.rowcount == 0:
            raise Stopped
        require(connection, taken.lease)

    def finish(self, taken: TakenJob, status: Literal["done", "failed"], problem: str, now_ms: int, /) -> None:
        """See the JobQueue port."""

        def end(connection: sa.Connection) -> None:
            connection.execute(
                sa.update(replays)
                .where(replays.c.id == taken.job.id, replays.c.status == "running")
                .values(status=status, problem=problem, finished_at_ms=now_ms)
            )
            require(connection, taken.lease)
            free(connection, taken.lease)

        transact(self._engine, end)
        self._leases.forget(taken.lease)

    def report(self, taken: TakenJob, problem: str, /) -> None:
        """See the JobQueue port."""

        def say(connection: sa.Connection) -> None:
            connection.execute(
                sa.update(replays)
                .where(replays.c.id == taken.job.id, replays.c.status == "running")
                .values(problem=problem[:_MAX_ERROR_CHARS])
            )
            require(connection, taken.lease)

        with suppress(LeaseLost):
            transact(self._engine, say)

    def release(self, taken: TakenJob, /) -> None:
        """See the JobQueue port. If the database fails, another runner can take the job when the lease expires."""
        with suppress(ControlFailed):
            self._leases.release(taken.lease)

    def _get(self, connection: sa.Connection, tenant: Tenant, job_id: str, *, lock: bool = False) -> ReplayJob:
        columns = [column for column in replays.c if column.name != "event_ids"]
        asked = sa.select(*columns).where(_of(tenant), replays.c.id == job_id)
        row = connection.execute(asked.with_for_update() if lock else asked).first()
        if row is None:
            raise NotFound(f"There is no replay {job_id[:80]!r}.")
        return _job(row._mapping)  # pyright: ignore[reportPrivateUsage]


def _free_job(held_by_another: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The next job for an owner, locked. Its lease tells whether another transaction has just taken it."""
    held = sa.exists().where(leases.c.name == sa.literal(_LEASE) + replays.c.id, held_by_another)
    return (
        sa.select(replays)
        .where(replays.c.status.in_(("running", "queued")), ~held)
        .order_by(sa.case((replays.c.status == "running", 0), else_=1), replays.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _forget_old(connection: sa.Connection, own: sa.ColumnElement[bool]) -> None:
    """Delete jobs that ended long ago, with their leases, whose names are never used again."""
    ended = replays.c.status.not_in(_LIVE)
    oldest_kept = connection.scalar(
        sa.select(replays.c.id).where(own, ended).order_by(replays.c.id.desc()).offset(MAX_KEPT - 1).limit(1)
    )
    if oldest_kept is None:
        return
    old = sa.delete(replays).where(own, ended, replays.c.id < oldest_kept).returning(replays.c.id)
    if names := [_LEASE + job_id for job_id in connection.scalars(old)]:
        connection.execute(sa.delete(leases).where(leases.c.name.in_(names)))


def _of(tenant: Tenant) -> sa.ColumnElement[bool]:
    return sa.and_(replays.c.project == tenant.project, replays.c.mode == tenant.mode)


def _render_errors(errors: Sequence[tuple[str, str]]) -> str:
    return msgspec.json.encode([(event_id, why[:_MAX_ERROR_CHARS]) for event_id, why in errors]).decode()


def _row(job: ReplayJob, event_ids: Sequence[str] | None) -> dict[str, object]:
    row: dict[str, object] = {
        column.name: getattr(job, column.name) for column in replays.c if hasattr(job, column.name)
    }
    return row | {
        "project": job.tenant.project,
        "mode": job.tenant.mode,
        "filters": msgspec.json.encode(job.filters).decode(),
        "event_ids": None if event_ids is None else ",".join(event_ids),
        "max_events": job.limit,
        "errors": _render_errors(job.errors[:MAX_ERRORS]),
    }


def _job(row: Any) -> ReplayJob:
    fields: dict[str, Any] = {name: row[name] for name in ReplayJob.__struct_fields__ if name in row}
    cursor = None if row["cursor_ms"] is None else Cursor(row["cursor_ms"], row["cursor_position"])
    fields |= {
        "tenant": Tenant(row["project"], row["mode"]),
        "filters": _filters_decoder.decode(row["filters"]),
        "limit": row["max_events"],
        "errors": _errors_decoder.decode(row["errors"]) if "errors" in row else [],
        "cursor": cursor,
    }
    return ReplayJob(**fields)
