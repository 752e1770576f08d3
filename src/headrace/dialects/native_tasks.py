"""An admin's tasks in the native dialect: starting a check, a backup or pruning, and how it went. Translates; never runs one."""

from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.dialects.names import decode_known
from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import text_of_body
from headrace.model.event import Tenant
from headrace.model.retention import HOUR_MS, AskedToPrune, parse_age
from headrace.model.tasks import Task
from headrace.model.times import render_time_short

PREFIXES = ("/api/v1/tasks",)
MAX_KEEP = 10_000
ROUTES = (
    Route("POST", "/api/v1/tasks/check", "admin", "native", Handled("check"), 202),
    Route("POST", "/api/v1/tasks/backup", "admin", "native", Handled("backup"), 202),
    Route("POST", "/api/v1/tasks/prune", "admin", "native", Handled("prune"), 202),
    Route("GET", "/api/v1/tasks/{task_id}", "admin", "native", Handled("task")),
)


class _Check(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing."""


class _Backup(msgspec.Struct, forbid_unknown_fields=True):
    keep: Annotated[int, Meta(ge=1, le=MAX_KEEP)] | None = None


class _Prune(msgspec.Struct, forbid_unknown_fields=True):
    older_than: str
    dry_run: bool = False


_check_decoder = msgspec.json.Decoder(_Check)
_backup_decoder = msgspec.json.Decoder(_Backup)
_prune_decoder = msgspec.json.Decoder(_Prune)


def parse_check(body: bytes, /) -> None:
    """Raises InvalidRequest for a body that asks for anything."""
    if body.strip():
        decode_known(_check_decoder, text_of_body(body), "The body", _Check)


def parse_backup(body: bytes, /) -> int | None:
    """How many backups to keep; None: all. Raises InvalidRequest."""
    return decode_known(_backup_decoder, text_of_body(body), "The body", _Backup).keep if body.strip() else None


def parse_prune(body: bytes, tenant: Tenant, /) -> AskedToPrune:
    """`{"older_than": "90d"}`, with `"dry_run": true` to count only. Raises InvalidRequest."""
    given = decode_known(_prune_decoder, text_of_body(body), "The body", _Prune)
    older_than_ms = parse_age(given.older_than, HOUR_MS, "'older_than'")
    return AskedToPrune(tenant.project, tenant.mode, older_than_ms, given.dry_run)


def task_value(task: Task, /) -> dict[str, object]:
    return {
        "id": task.id,
        "kind": task.kind,
        "status": task.status,
        "started_at": render_time_short(task.started_at_ms),
        "finished_at": None if task.finished_at_ms is None else render_time_short(task.finished_at_ms),
        "result": task.result,
        "problem": task.problem or None,
    }
