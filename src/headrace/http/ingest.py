"""The routes that take events: one table, one handler. Adding a dialect adds rows."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import falcon
import falcon.asgi
import msgspec

from headrace.dialects import bricqs, flux, solute
from headrace.dialects.wire import Batch, Context
from headrace.errors import InvalidRequest
from headrace.http.body import read_body
from headrace.http.gate import Gate
from headrace.http.metrics import Metrics
from headrace.ports import Receipt
from headrace.reactions import stage
from headrace.runtime import Runtime, clock_ms

Reply = tuple[HTTPStatus, bytes]
_LARGE_BODY_BYTES = 1024 * 1024
_ALLOWED_HEADERS = "authorization, content-type, x-api-key, idempotency-key"


class IngestRoute(msgspec.Struct, frozen=True):
    """`limit` is the setting `limit_<limit>`; `reply` answers once the events are durable; `allow`: all of the path's methods."""

    path: str
    source: str
    parse: Callable[[bytes, Context], Batch]
    reply: Callable[[Runtime, Batch, list[Receipt]], Awaitable[Reply]]
    limit: str
    allow: str = "POST, OPTIONS"


def _at_once(status: HTTPStatus, render: Callable[[Batch, list[Receipt]], bytes]):
    async def reply(_runtime: Runtime, batch: Batch, receipts: list[Receipt]) -> Reply:
        return status, render(batch, receipts)

    return reply


async def _bricqs_processed(runtime: Runtime, batch: Batch, receipts: list[Receipt]) -> Reply:
    """After the reactions have run; past the deadline as if it had been the asynchronous route, for the event is safe."""
    receipt = receipts[0]
    if not await runtime.reacted(receipt.position):
        return HTTPStatus.ACCEPTED, bricqs.render_accepted(batch, receipts)
    fact = stage.fact_of(receipt.id, batch.items[0].event)
    return HTTPStatus.OK, bricqs.render_processed(receipt, fact.id, fact.type, clock_ms())


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
    IngestRoute("/api/events", solute.NAME, solute.parse_batch, _solute_processed, "solute"),
)


class IngestResource:
    """POST takes events; OPTIONS lets browsers ask first."""

    def __init__(self, gate: Gate, metrics: Metrics, route: IngestRoute) -> None:
        self._gate = gate
        self._runtime = gate.runtime
        self._metrics = metrics
        self._route = route

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.set_header("Access-Control-Allow-Origin", "*")
        settings = self._runtime.settings
        tenant = await self._gate.admit(req, resp, "ingest", self._route.limit)
        body = await read_body(req, settings.max_request_bytes)
        context = Context(tenant, clock_ms(), settings, _idempotency_key(req))
        if len(body) > _LARGE_BODY_BYTES:  # would hold up every other request
            batch = await asyncio.to_thread(self._route.parse, body, context)
        else:
            batch = self._route.parse(body, context)
        receipts = await self._runtime.intake.accept(tenant, batch.items)
        self._metrics.count_batch(self._route.source, batch, receipts)
        status, resp.data = await self._route.reply(self._runtime, batch, receipts)
        resp.status = int(status)
        resp.content_type = falcon.MEDIA_JSON

    async def on_options(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.status = int(HTTPStatus.NO_CONTENT)
        resp.set_headers(
            {
                "Allow": self._route.allow,
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": "POST, OPTIONS",
                "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
                "Access-Control-Max-Age": "86400",
            }
        )


_MAX_KEY_CHARS = 255


def _idempotency_key(req: falcon.asgi.Request) -> str:
    key = (req.get_header("Idempotency-Key") or "").strip()
    if len(key) > _MAX_KEY_CHARS:
        raise InvalidRequest(
            f"The Idempotency-Key header has {len(key)} characters; at most {_MAX_KEY_CHARS} are taken."
        )
    return key
