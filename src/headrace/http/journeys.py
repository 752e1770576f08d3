"""The native routes for journeys and their runs. Each parses, asks, and renders."""

from collections.abc import Mapping
from typing import Literal

import falcon.asgi

from headrace.assembly.capabilities.journeys import JourneyAdmin
from headrace.dialects import native, native_journeys
from headrace.http import journey_values
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.event import Tenant

Params = Mapping[str, str]


class Journeys:
    def __init__(self, journeys: JourneyAdmin) -> None:
        self._journeys = journeys

    def handlers(self) -> Handlers:
        return {
            "journeys": self.listed,
            "journey": self.one,
            "runs": self.runs,
            "run": self.run,
            "cancel_run": self.cancel,
            "retry_run": self.retry,
        }

    async def listed(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Params
    ) -> None:
        found = await self._journeys.listed(tenant)
        resp.data = native.render_data([journey_values.journey_value(*each) for each in found])

    async def one(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Params) -> None:
        found = await self._journeys.one(tenant, path["journey_id"])
        resp.data = native.render_data(journey_values.whole_journey_value(*found))

    async def runs(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Params) -> None:
        given = {name: value for name, value in parameters(req) if value}
        journey_id, status, limit = path["journey_id"], native_journeys.parse_status(given), native.parse_limit(given)
        person = given.get("person", "")
        bound = native.bound_to("runs", journey=journey_id, status=status, person=person or None)
        before = native_journeys.parse_place(native.parse_cursor(given, bound))
        found = await self._journeys.runs(tenant, journey_id, status, before, limit + 1, person=person)
        more = len(found) > limit
        last = native_journeys.place_of(found[limit - 1].run) if more else ""
        resp.data = native.render_data(
            [native_journeys.run_value(each) for each in found[:limit]],
            {"limit": limit, "next_cursor": native.render_cursor(last, bound) if more else None},
        )

    async def run(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Params) -> None:
        await self._show(resp, tenant, path["run_id"])

    async def cancel(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Params) -> None:
        await self._steer(resp, tenant, path["run_id"], "cancel")

    async def retry(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Params) -> None:
        await self._steer(resp, tenant, path["run_id"], "retry")

    async def _steer(
        self, resp: falcon.asgi.Response, tenant: Tenant, run_id: str, action: Literal["cancel", "retry"]
    ) -> None:
        await self._journeys.steer(tenant, run_id, action)
        await self._show(resp, tenant, run_id)

    async def _show(self, resp: falcon.asgi.Response, tenant: Tenant, run_id: str) -> None:
        resp.data = native.render_data(journey_values.whole_run_value(*await self._journeys.run(tenant, run_id)))
