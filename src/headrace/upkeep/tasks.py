"""Runs an admin's tasks in threads of their own, and keeps what became of them. In memory: a task ends with its process.

See docs/decisions/0181-commands-over-the-network.md.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from headrace.model.errors import Conflict, HeadraceError, NotFound, Unavailable
from headrace.model.event import Tenant
from headrace.model.tasks import Task, TaskKind

_log = structlog.get_logger("headrace.tasks")
MOST_KEPT = 100
Work = Callable[[], Mapping[str, object]]


class Tasks:
    """Any thread may call these. At most `MOST_KEPT` tasks are known; the oldest that has finished is forgotten first."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._threads: dict[TaskKind, ThreadPoolExecutor] = {}  # one of each kind, once there was one

    def begin(self, kind: TaskKind, tenant: Tenant | None, work: Work, /) -> Task:
        """Start a task. One of a kind works at a time; those of other tenants wait for it.

        work: returns the result; may raise anything. Raises Conflict while the tenant's last one of this kind is running, and
        Unavailable while as many are running as can be known.
        """
        with self._lock:
            for each in self._tasks.values():
                if (each.kind, each.tenant, each.status) == (kind, tenant, "running"):
                    raise Conflict(f"A {kind} is running already: wait until the task {each.id} has finished.")
            self._forget_oldest()
            task = Task(f"task_{secrets.token_hex(8)}", kind, tenant, self._clock_ms())
            self._tasks[task.id] = task
            if kind not in self._threads:
                self._threads[kind] = ThreadPoolExecutor(1, thread_name_prefix=kind)
            self._threads[kind].submit(self._run, task, work)
        return task

    def get(self, task_id: str, /) -> Task:
        """Raises NotFound."""
        task = self._tasks.get(task_id)
        if task is None:
            raise NotFound(
                f"There is no task {task_id[:80]!r}: a server knows those that it has started itself since its start."
            )
        return task

    def stop(self) -> None:
        """Start none that waits. One that works goes on until it misses what the server has closed."""
        with self._lock:
            for each in self._threads.values():
                each.shutdown(wait=False, cancel_futures=True)

    def _forget_oldest(self) -> None:
        if len(self._tasks) < MOST_KEPT:
            return
        finished = next((each.id for each in self._tasks.values() if each.status != "running"), None)
        if finished is None:
            raise Unavailable("Too many tasks are waiting to be run.", retry_after_s=60)
        del self._tasks[finished]

    def _run(self, task: Task, work: Work) -> None:
        _log.info("task_started", task=task.id, kind=task.kind)
        try:
            ended = msgspec.structs.replace(task, status="done", result=work())
        except HeadraceError as error:
            ended = msgspec.structs.replace(task, status="failed", problem=error.message)
        except Exception:  # noqa: BLE001  whatever it is, the task has ended
            _log.exception("task_failed", task=task.id, kind=task.kind)
            ended = msgspec.structs.replace(task, status="failed", problem="Internal server error; see the server log.")
        ended = msgspec.structs.replace(ended, finished_at_ms=self._clock_ms())
        with self._lock:
            self._tasks[task.id] = ended
        _log.info("task_ended", task=task.id, kind=task.kind, status=ended.status, problem=ended.problem)
