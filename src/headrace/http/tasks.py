"""The native routes for tasks: a check and a backup, for the server's operator; pruning, for a project's admin."""

from collections.abc import Mapping

import falcon.asgi

from headrace.assembly.admission import Admission
from headrace.assembly.capabilities.tasks import TaskAdmin
from headrace.dialects import native, native_tasks
from headrace.http.auth import shown_by
from headrace.http.body import read_body
from headrace.http.handler import Handlers
from headrace.http.scope import OPERATOR
from headrace.model.audit import add_detail
from headrace.model.errors import Forbidden
from headrace.model.event import Tenant
from headrace.model.tasks import Task

_MAX_BYTES = 64 * 1024


class TaskRoutes:
    def __init__(self, admission: Admission, tasks: TaskAdmin) -> None:
        self._admission = admission
        self._tasks = tasks

    def handlers(self) -> Handlers:
        return {"check": self.check, "backup": self.back_up, "prune": self.prune, "task": self.one}

    async def check(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        self._require_operator(req, tenant, "A check")
        native_tasks.parse_check(await read_body(req, _MAX_BYTES))
        _started(resp, self._tasks.check())

    async def back_up(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        self._require_operator(req, tenant, "A backup")
        keep = native_tasks.parse_backup(await read_body(req, _MAX_BYTES))
        _started(resp, self._tasks.back_up(keep), "" if keep is None else f"keep {keep}")

    async def prune(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        asked = native_tasks.parse_prune(await read_body(req, _MAX_BYTES), tenant)
        _started(resp, self._tasks.prune(asked), f"dry run, {asked.said}" if asked.dry_run else asked.said)

    async def one(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        task = self._tasks.get(path["task_id"], tenant, is_operator=self._is_operator(req))
        resp.data = native.render_data(native_tasks.task_value(task))

    def _is_operator(self, req: falcon.asgi.Request) -> bool:
        """Whether the operator asks: with the settings' key, in a session of the console, or by a command on this machine."""
        shown = shown_by(req, "admin")
        return OPERATOR in req.scope or self._admission.is_operator(shown) or self._admission.is_local(shown)

    def _require_operator(self, req: falcon.asgi.Request, tenant: Tenant, what: str) -> None:
        if not self._is_operator(req):
            raise Forbidden(
                f"{what} concerns all projects, so it requires the operator's key, which is the server's setting "
                f"HEADRACE_ADMIN_KEY; this is a key of project {tenant.project}."
            )


def _started(resp: falcon.asgi.Response, task: Task, what: str = "") -> None:
    add_detail(f"{what}; started {task.id}" if what else f"started {task.id}")
    resp.status = 202
    resp.data = native.render_data(native_tasks.task_value(task))
