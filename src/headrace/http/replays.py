"""The replay routes of Hogsend's admin plane: replays at once, replays as jobs, and the jobs. The replaying is elsewhere."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.capabilities.replays import ReplayAdmin
from headrace.dialects import hogsend_replays
from headrace.http.body import read_body
from headrace.http.gate import parameters, unless_hung_up
from headrace.http.handler import Handlers
from headrace.model.audit import add_detail
from headrace.model.event import Tenant
from headrace.model.replay_job import Action


class Replays:
    def __init__(self, replays: ReplayAdmin, max_request_bytes: int) -> None:
        self._replays = replays
        self._max_bytes = max_request_bytes
        self.pause = partial(self._steer, "pause")
        self.resume = partial(self._steer, "resume")
        self.cancel = partial(self._steer, "cancel")

    def handlers(self) -> Handlers:
        return {
            "replay": self.start,
            "replays": self.listed,
            "replay_job": self.one,
            "pause_replay": self.pause,
            "resume_replay": self.resume,
            "cancel_replay": self.cancel,
        }

    async def start(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        request = hogsend_replays.parse_replay(await read_body(req, self._max_bytes))
        if request.dry_run:
            add_detail("dry run")
        if request.later:
            job = await self._replays.plan(tenant, request.selection, request.force, request.rebuild)
            add_detail(f"started {job.id}")
            resp.data = hogsend_replays.render_job(job)
            resp.status = int(HTTPStatus.ACCEPTED)
            return
        if request.rebuild:
            rebuilt = await unless_hung_up(req, self._replays.rehearse(tenant))
            resp.set_header("Headrace-Suppressed-Effects", str(rebuilt.suppressed))
            resp.set_header("Headrace-Events-Left-Out", "0")
            resp.data = hogsend_replays.render_rehearsed(rebuilt)
            return
        force, dry_run = request.force, request.dry_run
        done = await self._replays.at_once(tenant, request.selection, force=force, dry_run=dry_run)
        resp.set_header("Headrace-Suppressed-Effects", str(done.suppressed))
        resp.set_header("Headrace-Events-Left-Out", str(done.left_out))
        rehearsed = (done.effects, done.left_out) if dry_run else None
        resp.data = hogsend_replays.render_replay(done.events, done.unknown, done.failed, rehearsed)

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        page = hogsend_replays.parse_list_replays(parameters(req))
        resp.data = hogsend_replays.render_jobs(page, *await self._replays.listed(tenant, page))

    async def one(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        resp.data = hogsend_replays.render_job(await self._replays.get(tenant, path["replay_id"]))

    async def _steer(
        self,
        action: Action,
        _req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        tenant: Tenant,
        path: Mapping[str, str],
    ) -> None:
        resp.data = hogsend_replays.render_job(await self._replays.steer(tenant, path["replay_id"], action))
