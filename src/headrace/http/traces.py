"""The native routes about one event: what has become of it, and what it has set off."""

import asyncio
from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.dialects import native
from headrace.dialects.route import find_event
from headrace.http.gate import Gate
from headrace.model.event import Tenant


class Traces:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def trace(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        runtime, event = self._gate.runtime, await self._gate.ask(req, find_event(tenant, path["event_id"]))
        await runtime.freshness.reacted(tenant, event.position)
        resp.data = native.render_trace(await asyncio.to_thread(runtime.trace, event))

    async def effects(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        event = await self._gate.ask(req, find_event(tenant, path["event_id"]))
        await self._gate.runtime.freshness.settled(tenant)
        effects = await asyncio.to_thread(self._gate.runtime.reactions.effects, event)
        resp.data = native.render_data([native.effect_value(effect) for effect in effects])
