"""The native routes for points: participants, the ledger, leaderboards. Each parses, asks, and renders."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities.scoreboard import SettledScoreboard
from headrace.dialects import native_scores
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.event import Tenant


class Ledgers:
    def __init__(self, scoreboard: SettledScoreboard) -> None:
        self._scoreboard = scoreboard

    def handlers(self) -> Handlers:
        return {
            "participants": self.participants,
            "ledger": self.entries,
            "points_leaderboard": self.leaderboard,
        }

    async def participants(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        limit, after = native_scores.parse_participants(parameters(req))
        found = await self._scoreboard.ask_ledger(
            tenant, lambda ledger: ledger.participants(tenant, after or "", limit)
        )
        resp.data = native_scores.render_participants(limit, found)

    async def entries(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        asked = native_scores.parse_entries(parameters(req))
        found = await self._scoreboard.ask_ledger(
            tenant, lambda ledger: ledger.entries(tenant, asked.participant, asked.after, asked.limit)
        )
        resp.data = native_scores.render_entries(asked, found)

    async def leaderboard(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        asked = native_scores.parse_points_board(parameters(req))
        found = await self._scoreboard.ask_ledger(
            tenant,
            lambda ledger: ledger.leaderboard(
                tenant, asked.from_ms, asked.to_ms, asked.limit, asked.offset, around=asked.around
            ),
        )
        resp.data = native_scores.render_board(asked, found, native_scores.points_scores)
