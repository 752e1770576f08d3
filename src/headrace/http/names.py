"""The names of a project's events, with the rules and journeys that use each. Asks the store and the rules, and renders."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities.rules import RuleAdmin
from headrace.dialects import hogsend, native
from headrace.http.gate import Gate, parameters
from headrace.http.handler import Handlers
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.filters import CatalogPage
from headrace.ports.store import Reader


class Catalogue:
    def __init__(self, gate: Gate, rules: RuleAdmin) -> None:
        self._gate = gate
        self._rules = rules

    def handlers(self) -> Handlers:
        return {
            "catalog": self.listed,
            "catalog_entry": self.one,
        }

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        page = native.parse_catalog(parameters(req))
        used_by = (await self._rules.running(tenant.project)).document.used_by
        await self._gate.answer(
            req, resp, tenant, lambda reader: native.render_catalog(page, reader.catalog(tenant, page), used_by)
        )

    async def one(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        name = path["name"]
        used_by = (await self._rules.running(tenant.project)).document.used_by

        def answer(reader: Reader) -> bytes:
            found = reader.catalog(tenant, CatalogPage(limit=1, name=name)).entries
            if not found:
                raise NotFound(f"No event has the name {name[:200]!r}.")
            return native.render_catalog_entry(found[0], used_by)

        await self._gate.answer(req, resp, tenant, answer)


class EventNames:
    def __init__(self, gate: Gate, rules: RuleAdmin) -> None:
        self._gate = gate
        self._rules = rules

    def handlers(self) -> Handlers:
        return {
            "event_names": self.listed,
        }

    async def listed(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        query = hogsend.parse_names(parameters(req))
        used_by = (await self._rules.running(tenant.project)).document.used_by

        def answer(reader: Reader) -> bytes:
            found = reader.observed(tenant, "name", query.limit + 1, query.search)
            return hogsend.render_names(query, found, used_by)

        await self._gate.answer(req, resp, tenant, answer)
