"""The routes that replay, in Hogsend's admin plane: at once or as a job, and the jobs. What replays is elsewhere."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.clock import clock_ms
from headrace.control.replay_jobs import Action
from headrace.dialects import hogsend
from headrace.http.body import read_body
from headrace.http.gate import Gate, ask_control, parameters
from headrace.model.event import Tenant
from headrace.replay.once import replay


class Replays:
    def __init__(self, gate: Gate) -> None:
        self._runtime = gate.runtime
        self.pause = partial(self._steer, "pause")
        self.resume = partial(self._steer, "resume")
        self.cancel = partial(self._steer, "cancel")

    async def start(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        runtime = self._runtime
        request = hogsend.parse_replay(await read_body(req, runtime.settings.max_request_bytes))
        if request.later:
            resp.data = hogsend.render_job(await runtime.plan_replay(tenant, request.selection, request.force))
            resp.status = int(HTTPStatus.ACCEPTED)
            return
        done = await runtime.queries.ask(
            lambda reader: replay(
                reader, runtime.reactions, tenant, request.selection, force=request.force, dry_run=request.dry_run
            )
        )
        resp.set_header("Headrace-Suppressed-Effects", str(done.suppressed))
        effects = done.effects if request.dry_run else None
        resp.data = hogsend.render_replay(done.events, done.unknown, done.failed, effects)

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        page = hogsend.parse_list_replays(parameters(req))
        total, jobs = await ask_control(lambda: self._runtime.replays.listed(tenant, page.limit, page.offset))
        resp.data = hogsend.render_jobs(page, total, jobs)

    async def one(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        resp.data = hogsend.render_job(await ask_control(lambda: self._runtime.replays.get(tenant, path["replay_id"])))

    async def _steer(
        self,
        action: Action,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        tenant: Tenant,
        path: Mapping[str, str],
    ) -> None:
        job = await ask_control(lambda: self._runtime.replays.steer(tenant, path["replay_id"], action, clock_ms()))
        self._runtime.replay_runner.wake()
        resp.data = hogsend.render_job(job)
