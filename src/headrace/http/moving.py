"""The routes that move events out of the server and into it. Each parses, asks, and renders; an export piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

import falcon
import falcon.asgi
import structlog

from headrace.assembly.capabilities.events import EventIntake
from headrace.assembly.capabilities.moving import Export, Mover
from headrace.assembly.clock import clock_ms
from headrace.dialects import native_exports, native_imports
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.http.scope import HUNG_UP, BrokenOff
from headrace.model.batch import Context
from headrace.model.errors import HeadraceError
from headrace.model.event import StoredEvent, Tenant
from headrace.model.exports import Imported
from headrace.model.settings import Settings

_log = structlog.get_logger("headrace.http.moving")


class Exporting:
    def __init__(self, mover: Mover) -> None:
        self._mover = mover

    def handlers(self) -> Handlers:
        return {"export": self.export}

    async def export(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        query = native_exports.parse_export(parameters(req), clock_ms())
        render = native_exports.render_rows if query.format == "csv" else _lines
        export = await self._mover.export(tenant.metrics if query.of == "metrics" else tenant, query, render)
        first = await export.piece()  # before the head goes out, so that what is wrong can still be said
        resp.content_type = native_exports.MEDIA_TYPES[query.format]
        resp.set_header("Headrace-Events", str(export.left))
        if export.next:
            resp.set_header("Headrace-Next", export.next)
        resp.set_header("Content-Disposition", f'attachment; filename="{query.of}.{query.format}"')
        resp.set_header("Cache-Control", "no-store")
        if req.method == "HEAD":
            return
        resp.stream = _pieces(req, export, first)


def _lines(events: Sequence[StoredEvent], *, head: bool) -> bytes:  # noqa: ARG001  lines have no head
    return native_exports.render_lines(events)


async def _pieces(req: falcon.asgi.Request, export: Export, first: bytes | None) -> AsyncIterator[bytes]:
    """The pieces, until the last or until the client hangs up. What ends it early breaks the connection: half a file is none."""
    asked: asyncio.Future[bytes | None] | None = None
    is_over = False

    def hang_up() -> None:
        nonlocal is_over
        is_over = True
        if asked is not None:
            asked.cancel()

    req.scope[HUNG_UP] = hang_up
    try:
        piece = first
        while piece is not None:
            yield piece
            if is_over:
                raise BrokenOff  # the client hung up, or the server is shutting down
            asked = asyncio.ensure_future(export.piece())
            try:
                piece = await asked
            except asyncio.CancelledError:
                if not is_over:
                    raise
                raise BrokenOff from None
            except HeadraceError as error:
                _log.warning("export_broken_off", why=error.message)
                raise BrokenOff from None
    finally:
        req.scope.pop(HUNG_UP, None)


class Importing:
    def __init__(
        self, mover: Mover, intake: EventIntake, settings: Settings, count: Callable[[str, Imported, int], None]
    ) -> None:
        """count: told whose export it was, what became of the valid lines, and how many were rejected."""
        self._mover = mover
        self._intake = intake
        self._settings = settings
        self._count = count

    def handlers(self) -> Handlers:
        return {"import": self.take}

    async def take(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        query = native_imports.parse_import(parameters(req))
        body = await read_body(req, self._settings.max_request_bytes)
        context = Context(tenant, clock_ms(), self._settings)
        batch = await asyncio.to_thread(native_imports.parser_of(query), body, context)
        accept = partial(self._intake.accept_about_people, history=not query.react)
        imported = await self._mover.take(tenant, batch.items, batch.ids, accept)
        self._count(query.vendor, imported, len(batch.rejections))
        resp.data = native_imports.render_imported(batch, imported)
