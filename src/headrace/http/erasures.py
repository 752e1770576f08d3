"""The native routes that erase people, and those of retention. Each parses, asks, and renders."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities.erasures import ErasureAdmin, RetentionAdmin
from headrace.dialects import native, native_erasures
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.event import Tenant

_MAX_BYTES = 64 * 1024


class Erasures:
    def __init__(self, admin: ErasureAdmin) -> None:
        self._admin = admin

    def handlers(self) -> Handlers:
        return {"erase_person": self.erase, "erasures": self.listed, "erasure": self.one}

    async def erase(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        erasure = await self._admin.erase(tenant, path["user_id"])
        resp.status = 202
        resp.data = native.render_data(native_erasures.erasure_value(erasure))

    async def one(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        erasure = await self._admin.get(tenant, path["erasure_id"])
        resp.data = native.render_data(native_erasures.erasure_value(erasure))

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        limit, before = native_erasures.parse_page(parameters(req))
        found = await self._admin.listed(tenant, before, limit + 1)
        resp.data = native_erasures.render_page(found, limit)


class Retentions:
    def __init__(self, admin: RetentionAdmin) -> None:
        self._admin = admin

    def handlers(self) -> Handlers:
        return {"retention": self.show, "set_retention": self.set}

    async def show(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        resp.data = native_erasures.render_retention(await self._admin.get(tenant))

    async def set(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        keep_ms = native_erasures.parse_retention(await read_body(req, _MAX_BYTES))
        resp.data = native_erasures.render_retention(await self._admin.put(tenant, keep_ms))
