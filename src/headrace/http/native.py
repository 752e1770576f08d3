"""The routes of the native dialect that ask about events: the catalogue and the trace. Each parses, asks, and renders."""

import asyncio

import falcon
import falcon.asgi

from headrace.dialects import native
from headrace.http.gate import Gate, parameters
from headrace.model.errors import NotFound
from headrace.model.filters import CatalogPage


class Catalog:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        page = native.parse_catalog(parameters(req))
        answer = await self._gate.ask(req, lambda reader: reader.catalog(tenant, page))
        resp.data = native.render_catalog(page, answer)

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        answer = await self._gate.ask(req, lambda reader: reader.catalog(tenant, CatalogPage(limit=1, name=name)))
        if not answer.entries:
            raise NotFound(f"No event has the name {name[:200]!r}.")
        resp.data = native.render_catalog_entry(answer.entries[0])


class EventTrace:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, event_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        runtime, event = self._gate.runtime, await self._gate.find(req, tenant, event_id)
        await runtime.freshness.reacted(tenant, event.position)
        resp.data = native.render_trace(await asyncio.to_thread(runtime.trace, event))
