"""The routes that take events: one table, one handler. Adding a dialect adds rows.

SDKs that know only a host and a key may carry the key in the body. Such a body is read, within its size limit, before anybody is
known; then the key in it counts as one in a header does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import falcon
import falcon.asgi
import msgspec

from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.dialects import (
    amplitude,
    bricqs,
    cloudevents,
    flux,
    flux_metrics,
    hogsend_data,
    mixpanel,
    mixpanel_profiles,
    posthog,
    segment,
    solute,
)
from headrace.dialects.wire import Dialect
from headrace.http import cors
from headrace.http.auth import has_key
from headrace.http.body import read_body
from headrace.http.gate import Gate
from headrace.http.metrics import Metrics
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.reactions.facts import fact_of

Reply = tuple[HTTPStatus, bytes]
Answer = TypeVar("Answer")
_LARGE_BODY_BYTES = 1024 * 1024


class IngestRoute(msgspec.Struct, frozen=True):
    """`limit` is the setting `limit_<limit>`; `reply` answers once the events are durable; `allow`: all of the path's methods.

    find_key: takes the key out of a body; for routes where only headers and the query may carry it, None.
    claims: where two dialects share a path, whether a body is this one's; the path's other route takes what nobody claims.
    dialect: words the errors of what is claimed.
    whole: the parser looks at the query and the headers, too.
    """

    path: str
    source: str
    parse: Callable[[bytes, Context], Batch]
    reply: Callable[[Runtime, Batch, list[Receipt]], Awaitable[Reply]]
    limit: str
    allow: str = "POST, OPTIONS"
    find_key: Callable[[bytes], str] | None = None
    claims: Callable[[bytes], bool] | None = None
    dialect: Dialect | None = None
    whole: bool = False


def _at_once(status: HTTPStatus, render: Callable[[Batch, list[Receipt]], bytes]):
    async def reply(_runtime: Runtime, batch: Batch, receipts: list[Receipt]) -> Reply:
        return status, render(batch, receipts)

    return reply


async def _bricqs_processed(runtime: Runtime, batch: Batch, receipts: list[Receipt]) -> Reply:
    """After the reactions have run; past the deadline as if it had been the asynchronous route, for the event is safe."""
    receipt = receipts[0]
    if not await runtime.freshness.reacted(_tenant_of(batch), receipt.position):
        return HTTPStatus.ACCEPTED, bricqs.render_accepted(batch, receipts)
    event = batch.items[0].event
    if runtime.reactions.has_rules(event.project):  # they may have said otherwise, and that is in the control database
        fact = await asyncio.to_thread(runtime.reactions.fact, receipt.id, event)
    else:
        fact = fact_of(receipt.id, event)
    return HTTPStatus.OK, bricqs.render_processed(receipt, fact.id, fact.type, clock_ms())


def _tenant_of(batch: Batch) -> Tenant:
    event = batch.items[0].event
    return Tenant(event.project, event.mode)


async def _solute_processed(runtime: Runtime, batch: Batch, receipts: list[Receipt]) -> Reply:
    reject = runtime.settings.solute_duplicates == "reject"
    return HTTPStatus.OK, solute.render_batch(batch, receipts, reject_duplicates=reject)


def _bricqs_routes(prefix: str) -> tuple[IngestRoute, ...]:
    base = f"{prefix}/ingest/events"
    accepted = _at_once(HTTPStatus.ACCEPTED, bricqs.render_accepted)
    batch = _at_once(HTTPStatus.ACCEPTED, bricqs.render_batch)
    return (
        IngestRoute(base, bricqs.NAME, bricqs.parse_event, accepted, "bricqs"),
        IngestRoute(f"{base}/batch", bricqs.NAME, bricqs.parse_batch, batch, "bricqs"),
        IngestRoute(f"{base}/sync", bricqs.NAME, bricqs.parse_event, _bricqs_processed, "bricqs"),
    )


def _segment_routes() -> tuple[IngestRoute, ...]:
    batch = dict.fromkeys(("batch", "b", "import"), segment.parse_batch)
    calls = {name: segment.call_parser(call) for call in segment.KINDS for name in (call, call[0])}
    return tuple(
        IngestRoute(
            f"/v1/{name}",
            segment.NAME,
            parse,
            _at_once(HTTPStatus.OK, segment.render_accepted),
            "segment",
            find_key=segment.find_key,
        )
        for name, parse in (batch | calls).items()
    )


def _posthog_routes() -> tuple[IngestRoute, ...]:
    accepted = _at_once(HTTPStatus.OK, posthog.render_accepted)
    return tuple(
        IngestRoute(path, posthog.NAME, posthog.parse, accepted, "posthog", find_key=posthog.find_key)
        for path in ("/batch", "/e", "/i/v0/e", "/i/v0/ai/batch", "/capture")
    )


def _amplitude_route(path: str, claims: Callable[[bytes], bool] | None = None) -> IngestRoute:
    return IngestRoute(
        path,
        amplitude.NAME,
        amplitude.parse,
        _at_once(HTTPStatus.OK, amplitude.render_accepted),
        "amplitude",
        find_key=amplitude.find_key,
        claims=claims,
        dialect=amplitude.DIALECT,
    )


async def _mixpanel_accepted(_runtime: Runtime, batch: Batch, receipts: list[Receipt]) -> Reply:
    status = HTTPStatus.BAD_REQUEST if mixpanel.failed(batch) else HTTPStatus.OK
    return status, mixpanel.render_accepted(batch, receipts)


def _mixpanel_routes() -> tuple[IngestRoute, ...]:
    parsers = {
        "/track": mixpanel.parse_track,
        "/import": mixpanel.parse_import,
        "/engage": mixpanel_profiles.parse_engage,
        "/groups": mixpanel_profiles.parse_groups,
    }
    return tuple(
        IngestRoute(path, mixpanel.NAME, parse, _mixpanel_accepted, "mixpanel", find_key=mixpanel.find_key, whole=True)
        for path, parse in parsers.items()
    )


ROUTES: tuple[IngestRoute, ...] = (
    IngestRoute(
        "/api/v1/events",
        flux.NAME,
        flux.parse_track,
        _at_once(HTTPStatus.CREATED, flux.render_track),
        "flux_single",
        allow="GET, POST, OPTIONS",
    ),
    IngestRoute(
        "/api/v1/events/batch",
        flux.NAME,
        flux.parse_batch,
        _at_once(HTTPStatus.CREATED, flux.render_batch),
        "flux_batch",
    ),
    *_bricqs_routes("/api/v1"),
    *_bricqs_routes(""),
    IngestRoute(
        "/api/v1/metrics",
        flux_metrics.NAME,
        flux_metrics.parse_metric,
        _at_once(HTTPStatus.CREATED, flux_metrics.render_metric),
        "flux_single",
        allow="GET, POST, OPTIONS",
    ),
    IngestRoute(
        "/api/v1/metrics/batch",
        flux_metrics.NAME,
        flux_metrics.parse_metrics,
        _at_once(HTTPStatus.CREATED, flux.render_batch),
        "flux_metrics_batch",
    ),
    IngestRoute(
        "/api/v1/flux/batch",
        flux.NAME,
        flux_metrics.parse_gem,
        _at_once(HTTPStatus.CREATED, flux_metrics.render_gem),
        "flux_gem",
    ),
    IngestRoute("/api/events", solute.NAME, solute.parse_batch, _solute_processed, "solute"),
    *_segment_routes(),
    IngestRoute(
        "/v1/events",
        hogsend_data.NAME,
        hogsend_data.parse_event,
        _at_once(HTTPStatus.ACCEPTED, hogsend_data.render_stored),
        "hogsend",
    ),
    *_posthog_routes(),
    _amplitude_route("/2/httpapi"),
    _amplitude_route("/batch", amplitude.claims),
    *_mixpanel_routes(),
    IngestRoute(
        "/v1/cloudevents",
        cloudevents.NAME,
        cloudevents.parse,
        _at_once(HTTPStatus.ACCEPTED, cloudevents.render_accepted),
        "cloudevents",
        whole=True,
    ),
)


class IngestResource:
    """POST takes events; OPTIONS lets browsers ask first."""

    def __init__(self, gate: Gate, metrics: Metrics, route: IngestRoute, claimants: Sequence[IngestRoute] = ()) -> None:
        self._gate = gate
        self._runtime = gate.runtime
        self._metrics = metrics
        self._route = route
        self._claimants = claimants
        self._max_bytes = gate.runtime.settings.max_request_bytes

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.allow_any_origin(req, resp)
        settings, route, max_bytes = self._runtime.settings, self._route, self._max_bytes
        if route.find_key is None or (not self._claimants and has_key(req, "ingest")):
            tenant = await self._gate.admit(req, resp, "ingest", route.limit)
            body = await read_body(req, max_bytes)
        else:
            route, tenant, body = await self._admit_by_body(req, resp)
        context = Context(tenant, clock_ms(), settings, _idempotency_key(req))
        if route.whole:
            headers = [(name.lower(), value) for name, value in req.headers.items()]
            context = msgspec.structs.replace(context, query=req.query_string, headers=headers)
        if len(body) > _LARGE_BODY_BYTES:  # would hold up every other request
            batch = await asyncio.to_thread(route.parse, body, context)
        else:
            batch = route.parse(body, context)
        receipts = await self._runtime.intake.accept(batch.items)
        self._metrics.count_batch(route.source, batch, receipts)
        status, resp.data = await route.reply(self._runtime, batch, receipts)
        resp.status = int(status)

    async def _admit_by_body(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response
    ) -> tuple[IngestRoute, Tenant, bytes]:
        """The route that the body is for, whose key the request shows, and the body."""
        body = await read_body(req, self._max_bytes)
        route, secret = self._route, ""
        for claimant in self._claimants:
            if claimant.claims and await _in_good_time(claimant.claims, body):
                route = claimant
                req.context.dialect = route.dialect
        if route.find_key and not has_key(req, "ingest"):
            secret = await _in_good_time(route.find_key, body)
        return route, await self._gate.admit(req, resp, "ingest", route.limit, secret), body

    async def on_options(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.answer_preflight(req, resp, self._route.allow)


async def _in_good_time(question: Callable[[bytes], Answer], body: bytes) -> Answer:
    """What a look at the body finds; a look at a large one would hold up every other request."""
    return await asyncio.to_thread(question, body) if len(body) > _LARGE_BODY_BYTES else question(body)


_MAX_KEY_CHARS = 255


def _idempotency_key(req: falcon.asgi.Request) -> str:
    key = (req.get_header("Idempotency-Key") or "").strip()
    if len(key) > _MAX_KEY_CHARS:
        raise InvalidRequest(
            f"The Idempotency-Key header has {len(key)} characters; at most {_MAX_KEY_CHARS} are taken."
        )
    return key
