"""The native routes for webhooks and their deliveries. Each parses, asks, and renders."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeAlias

import falcon
import falcon.asgi

from headrace.assembly.capabilities.webhooks import WebhookAdmin
from headrace.assembly.clock import clock_ms
from headrace.dialects import native, native_webhooks
from headrace.dialects.native_webhooks import delivery_value, webhook_value
from headrace.dialects.wire import integer_of
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.webhook import WebhookChange

_MAX_BYTES = 64 * 1024
_FIRST = 2**62
_Req: TypeAlias = falcon.asgi.Request
_Resp: TypeAlias = falcon.asgi.Response
_Path: TypeAlias = Mapping[str, str]


class Webhooks:
    def __init__(self, webhooks: WebhookAdmin) -> None:
        self._webhooks = webhooks

    def handlers(self) -> Handlers:
        return {
            "webhooks": self.listed,
            "create_webhook": self.create,
            "webhook": self.one,
            "change_webhook": self.change,
            "delete_webhook": self.delete,
            "rotate_webhook": self.rotate,
            "test_webhook": self.test,
            "deliveries": self.deliveries,
            "delivery": self.delivery,
            "redeliver": self.redeliver,
            "redeliver_all": self.redeliver_all,
        }

    async def listed(self, req: _Req, resp: _Resp, tenant: Tenant, _path: _Path) -> None:
        given = {name: value for name, value in parameters(req) if value}
        bound = native.bound_to("webhooks")
        limit, after = native.parse_limit(given), native.parse_cursor(given, bound)
        found = await self._webhooks.listed(tenant, after or "", limit + 1)
        more = len(found) > limit
        resp.data = native.render_data(
            [webhook_value(each, waiting) for each, waiting in found[:limit]],
            {"limit": limit, "next_cursor": native.render_cursor(found[limit - 1][0].id, bound) if more else None},
        )

    async def create(self, req: _Req, resp: _Resp, tenant: Tenant, _path: _Path) -> None:
        new = native_webhooks.parse_new(await read_body(req, _MAX_BYTES))
        webhook, secret = await self._webhooks.create(tenant, new.id, new.url, new.topics, new.filters)
        resp.status = int(HTTPStatus.CREATED)
        _show_secret(resp, webhook_value(webhook, secret=secret))

    async def one(self, _req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        resp.data = native.render_data(webhook_value(await self._webhooks.get(tenant, path["webhook_id"])))

    async def change(self, req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        changed = native_webhooks.parse_changed(await read_body(req, _MAX_BYTES))
        now = await self._webhooks.get(tenant, path["webhook_id"])
        native_webhooks.check_filter(changed.topics or now.topics, changed.filters or now.filters)
        change = WebhookChange(url=changed.url, topics=changed.topics, filters=changed.filters, status=changed.status)
        resp.data = native.render_data(webhook_value(await self._webhooks.change(tenant, now.id, change)))

    async def delete(self, _req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        await self._webhooks.remove(tenant, path["webhook_id"])
        resp.status = int(HTTPStatus.NO_CONTENT)

    async def rotate(self, req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        overlap_s = native_webhooks.parse_rotation(await read_body(req, _MAX_BYTES))
        webhook, secret = await self._webhooks.rotate(tenant, path["webhook_id"], overlap_s)
        _show_secret(resp, webhook_value(webhook, secret=secret))

    async def test(self, _req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        sent = await self._webhooks.test(tenant, path["webhook_id"])
        resp.status = int(HTTPStatus.ACCEPTED)
        resp.data = native.render_data(delivery_value(sent))

    async def deliveries(self, req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        pairs = parameters(req)
        given = {name: value for name, value in pairs if value}
        status = native_webhooks.parse_status(pairs)
        bound = native.bound_to("deliveries", webhook=path["webhook_id"], status=status)
        limit, before = native.parse_limit(given), native.parse_cursor(given, bound)
        last = _FIRST if before is None else min(integer_of(before, "cursor"), _FIRST)
        found = await self._webhooks.deliveries(tenant, path["webhook_id"], status, last, limit + 1)
        more = len(found) > limit
        cursor = native.render_cursor(str(found[limit - 1].number), bound) if more else None
        resp.data = native.render_data(
            [delivery_value(each) for each in found[:limit]], {"limit": limit, "next_cursor": cursor}
        )

    async def delivery(self, _req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        found = await self._webhooks.delivery(tenant, path["webhook_id"], path["delivery"])
        resp.data = native.render_data(delivery_value(found, whole=True))

    async def redeliver(self, _req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        found = await self._webhooks.redeliver(tenant, path["webhook_id"], path["delivery"])
        resp.status = int(HTTPStatus.ACCEPTED)
        resp.data = native.render_data(delivery_value(found))

    async def redeliver_all(self, req: _Req, resp: _Resp, tenant: Tenant, path: _Path) -> None:
        asked = native_webhooks.parse_range(await read_body(req, _MAX_BYTES), clock_ms())
        if asked.from_ms > asked.to_ms:
            raise InvalidRequest("'from' must not be after 'to'.")
        span = asked.from_ms, asked.to_ms
        renewed, more = await self._webhooks.redeliver_all(tenant, path["webhook_id"], span, asked.status)
        resp.status = int(HTTPStatus.ACCEPTED)
        resp.data = native.render_data({"redelivered": renewed, "more": more})


def _show_secret(resp: _Resp, value: dict[str, object]) -> None:
    resp.set_header("Cache-Control", "no-store")
    resp.data = native.render_data(value)
