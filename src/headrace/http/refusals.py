"""Refusals that the protocol sends in place of the application: as bytes before there is a request, and through ASGI after that.

The dialect of the request's path renders each refusal. Decides nothing: the caller has decided to refuse.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog

from headrace.http.problems import Problems
from headrace.http.scope import RATE_HEADERS
from headrace.model.errors import HeadraceError, Unavailable

_log = structlog.get_logger("headrace.http")
_PATH = re.compile(rb"\S+ +([^\s?#]*)")


class Refusals:
    """Renders refusals. One for each server."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def as_bytes(
        self,
        start: bytes,
        error: HeadraceError,
        status: HTTPStatus | None,
        scope: Mapping[str, Any],
        default_headers: Iterable[tuple[bytes, bytes]],
    ) -> bytes:
        """A whole response, after which the connection closes.

        start: the first bytes of the request, which may name a path. scope: the request's, {} if it has none yet. status: set if
        HTTP prescribes it.
        """
        found = _PATH.match(start)
        path = found[1].decode("latin-1") if found else ""
        status, headers, body = self._problems.reply_to(path, error, status=status)
        headers |= scope.get(RATE_HEADERS, {})
        headers |= {name.decode(): value.decode() for name, value in default_headers}
        lines = [f"HTTP/1.1 {int(status)} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join((*lines, f"content-length: {len(body)}", "connection: close", "", ""))
        return head.encode() + body

    async def answer_unless_cut(self, application: Any, scope: Any, receive: Any, send: Any) -> None:
        """Run the application. If uvicorn cancels it at the end of the grace period, refuse the request instead of failing."""
        try:
            await application(scope, receive, send)
        except asyncio.CancelledError:
            _log.warning("request_cut", method=scope["method"], dialect=self._problems.dialect_of(scope["path"]).name)
            error = Unavailable("The server is shutting down before it could answer; try again.", retry_after_s=5)
            await self.send(scope, send, error)  # raises, and so hangs up, if the response has begun

    async def refuse_connection(self, scope: Any, _receive: Any, send: Any) -> None:
        """An ASGI application for connections over the limit."""
        await self.send(scope, send, Unavailable("Too many connections."))

    async def send(self, scope: Any, send: Any, error: HeadraceError) -> None:
        """Answer the last request of a connection."""
        await self._problems.send(send, scope["path"], error, {**scope.get(RATE_HEADERS, {}), "connection": "close"})
