"""The native route for the server's status: for a project, and for the server's operator."""

import asyncio
from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.admission import Admission
from headrace.assembly.capabilities.server import ServerStatus
from headrace.dialects.native_status import render_status
from headrace.http.auth import shown_by
from headrace.http.console_files import state
from headrace.http.handler import Handlers
from headrace.http.scope import OPERATOR
from headrace.model.event import Tenant


class Statuses:
    def __init__(self, admission: Admission, status: ServerStatus) -> None:
        self._admission = admission
        self._status = status

    def handlers(self) -> Handlers:
        return {
            "status": self.show,
        }

    async def show(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        is_operator = OPERATOR in req.scope or self._admission.is_operator(shown_by(req, "query"))
        report = await self._status.report(tenant, is_operator=is_operator)
        resp.data = render_status(report, await asyncio.to_thread(state))
        resp.set_header("Cache-Control", "no-store")
