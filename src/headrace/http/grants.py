"""The native routes for admins to grant points and revoke badges. Each parses, asks, and renders."""

from collections.abc import Mapping
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.capabilities.scoreboard import SettledScoreboard
from headrace.dialects import native, native_grants, native_scores
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.errors import NotFound
from headrace.model.event import Tenant

_MAX_BYTES = 64 * 1024


class Grants:
    def __init__(self, scoreboard: SettledScoreboard) -> None:
        self._scoreboard = scoreboard

    def handlers(self) -> Handlers:
        return {
            "grant_points": self.grant,
            "revoke_badge": self.revoke,
            "revocations": self.revocations,
        }

    async def grant(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        body = await read_body(req, _MAX_BYTES)
        header_key = (req.get_header("Idempotency-Key") or "").strip()
        grant, key = native_grants.parse_grant(path["participant_id"], body, header_key)
        granted = await self._scoreboard.grant(tenant, grant, key)
        resp.status = int(HTTPStatus.OK if granted.repeated else HTTPStatus.CREATED)
        resp.data = native_grants.render_granted(granted)

    async def revoke(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        participant, reason = native_grants.parse_revocation(await read_body(req, _MAX_BYTES))
        revoked = await self._scoreboard.revoke(tenant, path["badge_id"], participant, reason)
        resp.status = int(HTTPStatus.OK if revoked.repeated else HTTPStatus.CREATED)
        resp.data = native.render_data(native_grants.revocation_value(revoked))

    async def revocations(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        limit, offset = native_scores.parse_page({name: value for name, value in parameters(req) if value})
        badge_id = path["badge_id"]
        found = await self._scoreboard.revocations(tenant, badge_id, limit, offset)
        if not found and not offset:
            _, rules = await self._scoreboard.ask(tenant, lambda _board, _now_ms: None)
            if all(each.rule.id != badge_id for each in rules.badges):
                raise NotFound(f"There is no badge {badge_id[:80]!r}.")
        rows = [native_grants.revocation_value(each) for each in found]
        resp.data = native.render_data(rows, {"limit": limit, "offset": offset})
