"""The names of a project's events, with the rules about each: asks the store and the rules, and renders."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities import RuleAdmin
from headrace.dialects import hogsend
from headrace.http.gate import Gate, parameters
from headrace.model.event import Tenant
from headrace.ports.store import Reader


class EventNames:
    def __init__(self, gate: Gate, rules: RuleAdmin) -> None:
        self._gate = gate
        self._rules = rules

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        query = hogsend.parse_names(parameters(req))
        running = await self._rules.running(tenant.project)

        def answer(reader: Reader) -> bytes:
            found = reader.observed(tenant, "name", query.limit + 1, query.search)
            return hogsend.render_names(query, found, running.document.about)

        resp.data = await self._gate.ask(req, answer)
