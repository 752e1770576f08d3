"""The native routes for the API keys of a project and mode. Each parses, asks, and renders."""

from collections.abc import Mapping
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.capabilities.keys import KeyAdmin
from headrace.assembly.clock import clock_ms
from headrace.dialects import native, native_keys
from headrace.dialects.native_keys import key_value
from headrace.http.audited import maker_of
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.event import Tenant

_MAX_BYTES = 64 * 1024
_BOUND = native.bound_to("keys")


class KeyRoutes:
    def __init__(self, keys: KeyAdmin) -> None:
        self._keys = keys

    def handlers(self) -> Handlers:
        return {
            "keys": self.listed,
            "key": self.one,
            "key_uses": self.uses,
            "create_key": self.create,
            "rotate_key": self.rotate,
            "revoke_key": self.revoke,
        }

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        given = {name: value for name, value in parameters(req) if value}
        limit, after = native.parse_limit(given), native_keys.parse_place(native.parse_cursor(given, _BOUND))
        found = await self._keys.listed(tenant, after, limit + 1)
        more = len(found) > limit
        cursor = native.render_cursor(native_keys.place_of(found[limit - 1]), _BOUND) if more else None
        now_ms = clock_ms()
        resp.data = native.render_data(
            [key_value(each, now_ms) for each in found[:limit]], {"limit": limit, "next_cursor": cursor}
        )

    async def one(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        resp.data = native.render_data(key_value(await self._keys.get(tenant, path["key_id"]), clock_ms()))

    async def uses(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        data, meta = native_keys.uses_value(*await self._keys.uses(tenant, path["key_id"]))
        resp.data = native.render_data(data, meta)

    async def create(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        new = native_keys.parse_new(await read_body(req, _MAX_BYTES))
        key, secret = await self._keys.create(tenant, maker_of(req), new)
        _show_secret(resp, key_value(key, clock_ms(), secret))

    async def rotate(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        asked = native_keys.parse_rotation(await read_body(req, _MAX_BYTES))
        key, secret, former = await self._keys.rotate(
            tenant, maker_of(req), path["key_id"], asked.overlap_s * 1000, asked.expires_at_ms
        )
        now_ms = clock_ms()
        _show_secret(resp, {**key_value(key, now_ms, secret), "former": key_value(former, now_ms)})

    async def revoke(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        resp.data = native.render_data(key_value(await self._keys.revoke(tenant, path["key_id"]), clock_ms()))


def _show_secret(resp: falcon.asgi.Response, value: Mapping[str, object]) -> None:
    resp.status = int(HTTPStatus.CREATED)
    resp.set_header("Cache-Control", "no-store")
    resp.data = native.render_data(value)
