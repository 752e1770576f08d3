"""Work that an admin has the server do and that takes longer than a request should: a check, a backup, pruning. No I/O."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from headrace.model.event import Tenant

TaskKind = Literal["check", "backup", "prune"]
TaskStatus = Literal["running", "done", "failed"]


class Task(msgspec.Struct, frozen=True):
    """A task that was started. tenant: whom it concerns; None: the whole server.

    status: `running` from the start, also while it waits for another of its kind. result: of one that is done. problem: why
    one has failed, else "".
    """

    id: str
    kind: TaskKind
    tenant: Tenant | None
    started_at_ms: int
    status: TaskStatus = "running"
    finished_at_ms: int | None = None
    result: Mapping[str, object] | None = None
    problem: str = ""
