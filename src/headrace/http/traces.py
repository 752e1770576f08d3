"""The native routes for one event: its trace and its effects."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities.events import EventHistory
from headrace.dialects import native
from headrace.dialects.route import find_event
from headrace.http.gate import Gate
from headrace.http.handler import Handlers
from headrace.model.event import Tenant


class Traces:
    def __init__(self, gate: Gate, history: EventHistory) -> None:
        self._gate = gate
        self._history = history

    def handlers(self) -> Handlers:
        return {
            "trace": self.trace,
            "effects": self.effects,
        }

    async def trace(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        event = await self._gate.ask(req, tenant, find_event(tenant, path["event_id"]))
        resp.data = native.render_trace(await self._history.trace(tenant, event))

    async def effects(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        event = await self._gate.ask(req, tenant, find_event(tenant, path["event_id"]))
        effects = await self._history.effects(tenant, event)
        resp.data = native.render_data([native.effect_value(effect) for effect in effects])
