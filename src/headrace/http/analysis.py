"""The native routes for questions of events. Each parses, asks, and renders in the reader's thread."""

from collections.abc import Mapping
from typing import TypeAlias

import falcon
import falcon.asgi

from headrace.assembly.clock import clock_ms
from headrace.dialects import native_funnels, native_queries
from headrace.http.body import read_body
from headrace.http.gate import Gate
from headrace.http.handler import Handlers
from headrace.model.event import Tenant

_MAX_BYTES = 64 * 1024
_Req: TypeAlias = falcon.asgi.Request
_Resp: TypeAlias = falcon.asgi.Response
_Path: TypeAlias = Mapping[str, str]


class Analysis:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def handlers(self) -> Handlers:
        return {
            "query_events": self.query,
            "query_funnel": self.funnel,
            "query_retention": self.retention,
            "query_paths": self.paths,
        }

    async def query(self, req: _Req, resp: _Resp, tenant: Tenant, _path: _Path) -> None:
        query = native_queries.parse_query(await read_body(req, _MAX_BYTES), clock_ms())
        await self._gate.answer(
            req, resp, tenant, lambda reader: native_queries.render_query(query, reader.measure_events(tenant, query))
        )

    async def funnel(self, req: _Req, resp: _Resp, tenant: Tenant, _path: _Path) -> None:
        query = native_funnels.parse_funnel(await read_body(req, _MAX_BYTES), clock_ms())
        await self._gate.answer(
            req, resp, tenant, lambda reader: native_funnels.render_funnel(query, reader.funnel(tenant, query))
        )

    async def retention(self, req: _Req, resp: _Resp, tenant: Tenant, _path: _Path) -> None:
        now_ms = clock_ms()
        query = native_funnels.parse_retention(await read_body(req, _MAX_BYTES), now_ms)
        await self._gate.answer(
            req,
            resp,
            tenant,
            lambda reader: native_funnels.render_retention(query, reader.retention(tenant, query), now_ms),
        )

    async def paths(self, req: _Req, resp: _Resp, tenant: Tenant, _path: _Path) -> None:
        query = native_funnels.parse_paths(await read_body(req, _MAX_BYTES), clock_ms())
        await self._gate.answer(
            req, resp, tenant, lambda reader: native_funnels.render_paths(query, reader.paths(tenant, query))
        )
