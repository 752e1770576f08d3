"""A server's status: for one project and, for its operator, as a whole. No I/O."""

from collections.abc import Sequence

import msgspec

from headrace.model.event import Tenant


class Step(msgspec.Struct, frozen=True):
    """Rates per second over some seconds: events accepted, stored and refused, and requests refused as a whole.

    A repeat is neither accepted nor refused. A refused request is a POST that was answered with an error, with an unknown number
    of events.
    """

    ended_at_ms: int
    accepted: float
    stored: float
    refused: float
    refused_requests: float


class Lag(msgspec.Struct, frozen=True):
    """A tenant's backlog of reactions. waiting: events in memory; more may wait in the store. seconds: the oldest one's age."""

    tenant: Tenant
    waiting: int
    seconds: float


class WholeServer(msgspec.Struct, frozen=True):
    """Figures of all projects together. `lags`: the largest backlogs first, limited to those that are shown."""

    step_s: float
    steps: Sequence[Step]
    log_bytes: int
    log_max_bytes: int
    intake_queue_bytes: int
    oldest_unseen_s: float  # age of the oldest acknowledged event that queries do not see yet; else 0.0
    unreacted_events: int
    lags: Sequence[Lag]
    tenants_behind: int
    queries_running: int
    queries_waiting: int
    disk_free_bytes: int
    disk_total_bytes: int
    worker_problem: str
    reactor_problem: str


class Status(msgspec.Struct, frozen=True):
    """`own`: of the project and mode that asks. `whole` is None for keys that may not see it."""

    version: str
    python: str
    schema: str
    started_at_ms: int
    uptime_s: float
    dedup_window_s: float
    own: Lag
    passed_over: int
    rules_put_aside: int
    whole: WholeServer | None
