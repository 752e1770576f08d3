"""The native route for the audit of a project and mode: asks, and renders."""

from collections.abc import Mapping

import falcon.asgi

from headrace.assembly.capabilities.audit import AuditTrail
from headrace.dialects import native, native_audit
from headrace.dialects.wire import integer_of
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.event import Tenant


class AuditRoutes:
    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def handlers(self) -> Handlers:
        return {"audit": self.listed}

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        pairs = parameters(req)
        given = {name: value for name, value in pairs if value}
        filters, filtered_by = native_audit.parse_filters(pairs, tenant.project)
        limit, last = native.parse_limit(given), native.parse_cursor(given, filtered_by)
        before = native_audit.FIRST if last is None else min(integer_of(last, "cursor"), native_audit.FIRST)
        found = await self._trail.page(tenant, filters, before, limit + 1)
        more = len(found) > limit
        cursor = native.render_cursor(str(found[limit - 1].number), filtered_by) if more else None
        resp.data = native.render_data(
            [native_audit.entry_value(each) for each in found[:limit]], {"limit": limit, "next_cursor": cursor}
        )
