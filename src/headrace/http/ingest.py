"""The routes that accept events. All work the same way, as configured by their dialects' tables.

SDKs that are configured with only a host and a key may send the key in the body. Such a body is read, within its size limit,
before authentication; then the key in it counts like one in a header.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import falcon
import falcon.asgi
import msgspec

from headrace.assembly.admission import Shown
from headrace.assembly.capabilities.events import EventIntake
from headrace.assembly.clock import clock_ms
from headrace.dialects.route import Dialect, Ingest, Reacted, Route
from headrace.http.auth import shown_by, shown_by_image
from headrace.http.body import read_body
from headrace.http.gate import Gate
from headrace.http.metrics import Metrics
from headrace.http.noted import RefusalNotes
from headrace.http.warned import Warned
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import InvalidRequest, PayloadTooLarge
from headrace.model.event import Tenant
from headrace.model.settings import Settings

Answer = TypeVar("Answer")
_LARGE_BODY_BYTES = 1024 * 1024
# Proxies in front of a server accept URLs of up to 8 or 32 KiB.
_MAX_QUERY_BYTES = 32 * 1024
# Credentials are only for admission, and cookies for nobody, because pages of any origin may send here.
_NOT_FOR_PARSERS = frozenset({"authorization", "cookie", "x-api-key"})


class Served(msgspec.Struct, frozen=True):
    """A route with its dialect."""

    route: Route
    dialect: Dialect

    @property
    def does(self) -> Ingest:
        """The route's work, which is to accept events."""
        return cast("Ingest", self.route.does)


class EventTaker:
    """Accepts the events of one path and method. `claimants`: the routes that get the bodies that they claim."""

    def __init__(
        self,
        gate: Gate,
        intake: EventIntake,
        settings: Settings,
        metrics: Metrics,
        served: Served,
        claimants: Sequence[Served] = (),
        notes: RefusalNotes | None = None,
    ) -> None:
        self._gate = gate
        self._notes = notes
        self._intake = intake
        self._settings = settings
        self._metrics = metrics
        self._warned = Warned(metrics)
        self._served = served
        self._does = served.does
        self._claimants = [each for each in claimants if each.does.claims]
        self._claims_head = [(each.does.claims_head, each) for each in claimants if each.does.claims_head]
        self._reads_body = served.route.method != "GET"
        self._max_bytes = settings.max_request_bytes

    async def respond(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The complete response except for the CORS headers, which the caller adds."""
        served, does = self._served, self._does
        if self._claims_head and (claimant := self._claimed_by_head(req)):
            served, does = claimant, claimant.does
        shown = self._shown_by(req, does)
        may_be_claimed = self._claimants and served is self._served
        if does.find_key is None or (not may_be_claimed and shown.secret("ingest")):
            tenant = (await self._gate.admit(req, resp, shown, "ingest", served.route.limit)).tenant
            body = await self._body(req)
        else:
            served, tenant, body = await self._admit_by_body(req, resp, shown, served)
            does = served.does
        context = Context(tenant, clock_ms(), self._settings, idempotency_key(req))
        if does.whole:
            headers = [
                (lower, value) for name, value in req.headers.items() if (lower := name.lower()) not in _NOT_FOR_PARSERS
            ]
            context = msgspec.structs.replace(context, query=req.query_string, headers=headers)
        if len(body) > _LARGE_BODY_BYTES:  # would hold up every other request
            batch = await asyncio.to_thread(does.parse, body, context)
        else:
            batch = does.parse(body, context)
        if not self._reads_body:
            resp.set_header("Cache-Control", "no-store")  # or the next one would not come
            if req.method == "HEAD":  # answer like a GET, but accept no events
                self._say(resp, served, batch)
                return
        about_people = served.dialect.about_people
        accept = self._intake.accept_about_people if about_people else self._intake.accept
        receipts = await accept(batch.items)
        source = does.source or served.dialect.name
        self._metrics.count_batch(source, batch, receipts)
        if batch.rejections and self._notes:
            self._notes.note_rejections(req, tenant, batch.rejections)
        if context.warnings:
            self._warned.tell(tenant, source, context.warnings)
        if does.shows_event:
            batch = await self._intake.in_place_of_repeats(batch, receipts)
        if does.reacted:
            resp.status, resp.data = await self._reply_after_reactions(served, does.reacted, batch, receipts)
        else:
            self._say(resp, served, batch)
            resp.data = does.render(batch, receipts)

    def _say(self, resp: falcon.asgi.Response, served: Served, batch: Batch) -> None:
        does = served.does
        resp.status = does.status_of(batch) if does.status_of else served.route.status
        if does.media_type_of and (media_type := does.media_type_of(batch)):
            resp.content_type = media_type

    def _claimed_by_head(self, req: falcon.asgi.Request) -> Served | None:
        head = req.scope["headers"]
        for claims, claimant in self._claims_head:
            if claims(head):
                req.context.dialect = claimant.dialect
                return claimant
        return None

    def _shown_by(self, req: falcon.asgi.Request, does: Ingest) -> Shown:
        shown = shown_by(req, "ingest") if self._reads_body else shown_by_image(req)
        if (does.key_in_query or does.key_in_header) and not shown.secret("ingest"):
            in_query = (req.get_param(does.key_in_query) or "") if does.key_in_query else ""
            in_header = (req.get_header(does.key_in_header) or "") if does.key_in_header else ""
            return msgspec.structs.replace(shown, in_body=in_query or in_header.partition(":")[0].strip())
        return shown

    async def _admit_by_body(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, shown: Shown, served: Served
    ) -> tuple[Served, Tenant, bytes]:
        """The route that the body is for, the credentials, and the body."""
        body = await self._body(req)
        for claimant in self._claimants if served is self._served else ():
            if claimant.does.claims and await _in_good_time(claimant.does.claims, body):
                served = claimant
                req.context.dialect = served.dialect
        if served.does.find_key and not shown.secret("ingest"):
            shown = msgspec.structs.replace(shown, in_body=await _in_good_time(served.does.find_key, body))
            req.context.shown = shown
        admitted = await self._gate.admit(req, resp, shown, "ingest", served.route.limit)
        return served, admitted.tenant, body

    async def _body(self, req: falcon.asgi.Request) -> bytes:
        if self._reads_body:
            return await read_body(req, self._max_bytes)
        query = req.query_string.encode()
        if len(query) > _MAX_QUERY_BYTES:
            raise PayloadTooLarge(
                f"The query string has {len(query)} bytes; the limit is {_MAX_QUERY_BYTES}. Send its data as a POST."
            )
        return query

    async def _reply_after_reactions(
        self, served: Served, reacted: Reacted, batch: Batch, receipts: list[Receipt]
    ) -> tuple[int, bytes]:
        fact = await self._intake.fact_once_reacted(receipts[0], batch.items[0].event)
        if fact is None:  # the event is durable, so this is not a failure
            return reacted.late_status, served.does.render(batch, receipts)
        return served.route.status, reacted.render(receipts[0], fact.id, fact.type, clock_ms())


async def _in_good_time(question: Callable[[bytes], Answer], body: bytes) -> Answer:
    """Search the body; a large one in a thread, because that would delay every other request."""
    return await asyncio.to_thread(question, body) if len(body) > _LARGE_BODY_BYTES else question(body)


_MAX_KEY_CHARS = 255


def idempotency_key(req: falcon.asgi.Request) -> str:
    key = (req.get_header("Idempotency-Key") or "").strip()
    if len(key) > _MAX_KEY_CHARS:
        raise InvalidRequest(f"The Idempotency-Key header has {len(key)} characters; the limit is {_MAX_KEY_CHARS}.")
    return key
