"""The routes of replay jobs, in Hogsend's admin plane: list, look at, pause, resume, cancel. What replays is elsewhere."""

from typing import TypeVar

import falcon
import falcon.asgi

from headrace.assembly.clock import clock_ms
from headrace.control.replay_jobs import Action
from headrace.dialects import hogsend
from headrace.http.gate import Gate, ask_control, parameters

T = TypeVar("T")


class Replays:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._runtime = gate.runtime

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        page = hogsend.parse_list_replays(parameters(req))
        total, jobs = await ask_control(lambda: self._runtime.replays.listed(tenant, page.limit, page.offset))
        resp.data = hogsend.render_jobs(page, total, jobs)

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, replay_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        resp.data = hogsend.render_job(await ask_control(lambda: self._runtime.replays.get(tenant, replay_id)))

    async def on_post_pause(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, replay_id: str) -> None:
        await self._steer(req, resp, replay_id, "pause")

    async def on_post_resume(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, replay_id: str) -> None:
        await self._steer(req, resp, replay_id, "resume")

    async def on_post_cancel(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, replay_id: str) -> None:
        await self._steer(req, resp, replay_id, "cancel")

    async def _steer(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, replay_id: str, action: Action
    ) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        job = await ask_control(lambda: self._runtime.replays.steer(tenant, replay_id, action, clock_ms()))
        self._runtime.replay_runner.wake()
        resp.data = hogsend.render_job(job)
