"""The tasks that an admin may start: a check, a backup, pruning. Each is answered at once, and asked for until it has ended."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace.assembly.capabilities.erasures import prune
from headrace.assembly.runtime import Runtime
from headrace.model.errors import Conflict, NotFound, Unavailable
from headrace.model.event import Tenant
from headrace.model.retention import AskedToPrune
from headrace.model.tasks import Task
from headrace.model.times import render_time_short
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed


class TaskAdmin:
    """Whoever calls `check` and `back_up` has found out that the operator asks: these concern all projects."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tasks = runtime.upkeep.tasks

    def check(self) -> Task:
        """Compare the log, the store and control: see `upkeep.check`. Raises Conflict, Unavailable."""
        return self._tasks.begin("check", None, self._check)

    def back_up(self, keep: int | None, /) -> Task:
        """Make a backup in the folder that the settings name. Raises Conflict, also if they name none, and Unavailable."""
        folder = self._runtime.settings.backup_dir
        if not folder:
            raise Conflict(
                "HEADRACE_BACKUP_DIR is not set: in the server's settings, name a folder on its machine for backups "
                "(of every worker, if there are several)."
            )
        return self._tasks.begin("backup", None, lambda: self._back_up(Path(folder), keep))

    def prune(self, asked: AskedToPrune, /) -> Task:
        """Remove a project's old events, or count them. Raises Conflict, Unavailable."""
        return self._tasks.begin("prune", Tenant(asked.project, asked.mode), lambda: self._prune(asked))

    def get(self, task_id: str, tenant: Tenant, /, *, is_operator: bool) -> Task:
        """A task of the tenant; for the operator, any. Raises NotFound."""
        task = self._tasks.get(task_id)
        if task.tenant != tenant and not is_operator:
            raise NotFound(f"There is no task {task_id[:80]!r}.")
        return task

    def _check(self) -> Mapping[str, object]:
        try:
            report = self._runtime.check()
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The check failed: {error}") from error
        # A position has more digits than a double.
        found: dict[str, object] = msgspec.to_builtins(report)
        return found | {"committed": str(report.committed)}

    def _back_up(self, folder: Path, keep: int | None) -> Mapping[str, object]:
        try:
            done = self._runtime.upkeep.backups.make(folder, keep)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The backup failed: {error}") from error
        made: dict[str, object] = msgspec.to_builtins(done)
        return made

    def _prune(self, asked: AskedToPrune) -> Mapping[str, object]:
        try:
            pruned = prune(self._runtime.erasures.pruner, asked)
        except StoreFailed as error:  # whose words are the operator's
            raise Unavailable("The store failed; some of the events may be left: prune again.") from error
        except ControlFailed as error:
            raise Unavailable("The control database is not responding.") from error
        return {
            "events": pruned.events,
            "held_back": pruned.held_back,
            "before": render_time_short(pruned.before_ms),
            "dry_run": pruned.dry_run,
        }
