"""The routes that ask: Flux's queries and Hogsend's admin plane. Each parses, asks the reader, and renders.

What may be large is rendered in the reader's thread, not in the event loop's.
"""

from functools import partial
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.clock import clock_ms
from headrace.dialects import flux_metric_queries, flux_queries, hogsend, solute
from headrace.http import cors
from headrace.http.body import read_body
from headrace.http.gate import Gate, parameters
from headrace.model.event import Tenant
from headrace.model.measures import Metric
from headrace.ports.store import Reader
from headrace.replay.once import replay


class FluxEvents:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_query")
        query = flux_queries.parse_list(parameters(req), clock_ms())
        resp.data = await self._gate.ask(
            req, lambda reader: flux_queries.render_list(query, reader.events(tenant, query.filters, query.page))
        )

    async def on_get_count(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_query")
        query = flux_queries.parse_count(parameters(req), clock_ms())
        resp.data = await self._gate.ask(
            req,
            lambda reader: flux_queries.render_count(
                query, reader.count(tenant, query.filters, query.interval, query.group_by, query.zone)
            ),
        )

    async def on_get_stats(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_query")
        query = flux_queries.parse_stats(parameters(req), clock_ms())
        answer = await self._gate.ask(req, lambda reader: reader.stats(tenant, query.filters, query.field))
        resp.data = flux_queries.render_stats(answer)

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, event_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_query")
        resp.data = flux_queries.render_get(await self._gate.find(req, tenant, event_id))


class FluxMetrics:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_metrics_query")
        metrics = await self._gate.ask(req, lambda reader: reader.metrics(tenant))
        resp.data = flux_metric_queries.render_definitions(metrics)

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, metric: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_metrics_query")
        found = await self._gate.ask(req, partial(_metric, tenant, metric))
        resp.data = flux_metric_queries.render_definition(found)

    async def on_get_query(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, metric: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "flux_metrics_query")
        query = flux_metric_queries.parse_query(metric, parameters(req), clock_ms())

        def answer(reader: Reader) -> bytes:
            found = _metric(tenant, metric, reader)
            question = flux_metric_queries.question_of(query, found)
            return flux_metric_queries.render_measured(query, found, question, reader.measure(tenant, question))

        resp.data = await self._gate.ask(req, answer)


def _metric(tenant: Tenant, name: str, reader: Reader) -> Metric:
    found = reader.metrics(tenant, name)
    if not found:
        raise flux_metric_queries.not_found(name)
    return found[0]


class SoluteFlags:
    """What the SDK asks for beside sending events. There are no flags here, which is a valid answer."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.allow_any_origin(req, resp)
        await self._gate.admit(req, resp, "ingest", "solute")
        resp.data = solute.render_flags(clock_ms())

    async def on_options(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.answer_preflight(req, resp, "GET, OPTIONS")


class HogsendEvents:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        query = hogsend.parse_list(parameters(req))
        resp.data = await self._gate.ask(
            req, lambda reader: hogsend.render_list(query, reader.events(tenant, query.filters, query.page))
        )

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, event_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        event = await self._gate.find(req, tenant, event_id, hogsend.EVENT_NOT_FOUND)
        resp.data = hogsend.render_get(event)

    async def on_get_names(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        observed = await self._gate.ask(req, lambda reader: reader.observed(tenant, "name"))
        resp.data = hogsend.render_observed("names", "name", observed)

    async def on_get_sources(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        observed = await self._gate.ask(req, lambda reader: reader.observed(tenant, "source"))
        resp.data = hogsend.render_observed("sources", "source", observed)

    async def on_post_replay(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "hogsend")
        settings = self._gate.runtime.settings
        body = await read_body(req, settings.max_request_bytes)
        request = hogsend.parse_replay(body)
        if request.later:
            resp.data = hogsend.render_job(
                await self._gate.runtime.plan_replay(tenant, request.selection, request.force)
            )
            resp.status = int(HTTPStatus.ACCEPTED)
            return
        done = await self._gate.runtime.queries.ask(
            lambda reader: replay(
                reader,
                self._gate.runtime.reactions,
                tenant,
                request.selection,
                force=request.force,
                dry_run=request.dry_run,
            )
        )
        resp.set_header("Headrace-Suppressed-Effects", str(done.suppressed))
        effects = done.effects if request.dry_run else None
        resp.data = hogsend.render_replay(done.events, done.unknown, done.failed, effects)
