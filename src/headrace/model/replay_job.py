"""A replay that goes on by itself. No I/O."""

from typing import Literal

import msgspec

from headrace.model.event import Tenant
from headrace.model.filters import Cursor, Filters
from headrace.model.lease import Lease

Action = Literal["pause", "resume", "cancel"]
ReplayStatus = Literal["queued", "running", "paused", "done", "cancelled", "failed"]


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True):
    """A replay that goes on by itself: which events, and how far it has come.

    `total` events are to be replayed, all at or below the position `upto`. `replayed` went through the reactions, which
    set off `effects` and held back `suppressed`; `failed` could not go through; of `unknown` ids there is no event. `errors`
    are the first of (id, what was wrong). `problem`: what keeps it from going on, or "".
    """

    id: str
    tenant: Tenant
    status: ReplayStatus
    filters: Filters
    ids: int | None  # how many were asked for, where the events were chosen by id
    limit: int | None
    force: bool
    upto: int
    total: int
    replayed: int = 0
    failed: int = 0
    unknown: int = 0
    effects: int = 0
    suppressed: int = 0
    errors: list[tuple[str, str]] = []
    problem: str = ""
    cursor: Cursor | None = None
    created_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None


class TakenJob(msgspec.Struct, frozen=True):
    """A job that one runner works on alone, under a lease. `event_ids`: the events chosen by id; None where filters choose."""

    job: ReplayJob
    event_ids: list[str] | None
    lease: Lease


class Stopped(Exception):
    """The job was paused or cancelled meanwhile."""
