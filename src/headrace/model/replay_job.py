"""Replay jobs: replays that run in the background. No I/O."""

from typing import Literal

import msgspec

from headrace.model.event import Tenant
from headrace.model.filters import Cursor, Filters
from headrace.model.lease import Lease

Action = Literal["pause", "resume", "cancel"]
ReplayStatus = Literal["queued", "running", "paused", "done", "cancelled", "failed"]


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True):
    """A replay that runs in the background: its events, and its progress.

    `total` events are to be replayed, all at or below the position `upto`. `replayed` events went through the reactions, which
    caused `effects` and suppressed `suppressed`; `failed` events did not; `unknown` ids belong to no event. `errors`: the
    first failures as (id, reason). `problem`: why the job cannot continue right now, or "".
    rebuild: at its end, every participant's points are corrected to what the rules give that were in force when it was made
    (`rules_applied`); `corrections` counts the entries for that, and `corrected_points` is their sum.
    """

    id: str
    tenant: Tenant
    status: ReplayStatus
    filters: Filters
    ids: int | None  # how many ids were asked for, if the events were chosen by id
    limit: int | None
    force: bool
    upto: int
    total: int
    replayed: int = 0
    failed: int = 0
    unknown: int = 0
    effects: int = 0
    suppressed: int = 0
    rebuild: bool = False
    rules_applied: str = ""
    corrections: int = 0
    corrected_points: int = 0
    errors: list[tuple[str, str]] = []
    problem: str = ""
    cursor: Cursor | None = None
    created_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None


class TakenJob(msgspec.Struct, frozen=True):
    """A job that one runner works on exclusively, under a lease. `event_ids`: the chosen events; None if filters choose them."""

    job: ReplayJob
    event_ids: list[str] | None
    lease: Lease


class Stopped(Exception):
    """The job was paused or cancelled in the meantime."""
