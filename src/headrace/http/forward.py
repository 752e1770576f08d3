"""What a gateway leaves to the active worker: changing anything but events, the console, and looking into the worker.

Passes requests and replies on as they come, and keeps nothing of them. The worker admits, limits and audits them: it is told who
asked, by `X-Forwarded-…`, and believes it if the gateway is among its `trusted_proxies`.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import falcon.asgi
import httptools

from headrace.dialects.route import Dialect, Handled, Route
from headrace.http.addresses import Addresses
from headrace.http.body import whole_segments
from headrace.http.console_paths import is_console
from headrace.http.direct import App
from headrace.http.problems import Problems
from headrace.http.scope import HUNG_UP, SEND_WHOLE, STREAM
from headrace.model.errors import HeadraceError, Unavailable

Message = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]

_LOOKS_INTO_THE_WORKER = frozenset({"live", "status", "trace"})
# Of one connection, and so not passed on (RFC 9110 §7.6.1), besides what this server says anew.
_OWN = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade expect "
    b"forwarded x-forwarded-for x-forwarded-proto x-forwarded-host date x-content-type-options".split()
)
_CONNECT_TIMEOUT_S, _SILENCE_S = 3.0, 90.0
_READ_BYTES = 64 * 1024
_PARAMETER = re.compile(r"\{\w+(:\w+)?\}")


class Forwarding:
    """The ASGI application of a gateway, around that of a server that does everything."""

    def __init__(
        self,
        app: App,
        dialects: Sequence[Dialect],
        problems: Problems,
        addresses: Addresses,
        worker_url: Callable[[], str],
    ) -> None:
        """worker_url: returns where the active worker answers; "" if none is known."""
        self._app = app
        self._problems = problems
        self._addresses = addresses
        self._worker_url = worker_url
        self._paths = Paths(route for dialect in dialects for route in dialect.routes if is_for_worker(route))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._is_for_worker(scope):
            scope.pop(SEND_WHOLE, None)
            await self._pass_on(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_for_worker(self, scope: Message) -> bool:
        method, path = scope["method"], scope["path"]
        if method == "POST" and path in self._app.posters:
            return False
        return is_console(path) or self._paths.have(scope)

    async def _pass_on(self, scope: Message, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        exchange: _Exchange | None = None
        try:
            head = self._head(scope, receive)
            if not (url := self._worker_url()):
                raise Unavailable("No worker is active right now; another one is about to take over.", retry_after_s=5)
            exchange = await _Exchange.begin(url, head, scope, receive)
            status = await exchange.answer(send)
        except HeadraceError as error:
            status = await self._problems.send(send, scope["path"], error)
        finally:
            if exchange is not None:
                exchange.close()
        self._app.metrics.observe(scope["method"], "forwarded", status, started)

    def _head(self, scope: Message, receive: Receive) -> bytes:
        """The request line and the headers. Raises InvalidRequest for an invalid Host."""
        req = falcon.asgi.Request(scope, receive)
        scheme, host = self._addresses.asked(req)
        fields = [(name, value) for name, value in scope["headers"] if name not in _OWN]
        if any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            fields = [(name, value) for name, value in fields if name != b"content-length"]
            fields.append((b"transfer-encoding", b"chunked"))
        fields += [
            (b"connection", b"close"),
            (b"x-forwarded-for", self._addresses.client_of(req).encode()),
            (b"x-forwarded-proto", scheme.encode()),
            (b"x-forwarded-host", host.encode()),
        ]
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        line = b"%b %b%b HTTP/1.1\r\n" % (scope["method"].encode(), scope["raw_path"], query)
        return line + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"


class _Exchange:
    """One request and its reply, on a connection of their own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scope: Message) -> None:
        self._reader = reader
        self._writer = writer
        self._is_head = scope["method"] == "HEAD"
        self._is_chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self._sending: asyncio.Task[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._has_head = self._is_done = False

    @classmethod
    async def begin(cls, url: str, head: bytes, scope: Message, receive: Receive) -> "_Exchange":
        """Raises Unavailable if the worker cannot be reached."""
        parts = urlsplit(url)
        try:
            connecting = asyncio.open_connection(parts.hostname, parts.port or 80)
            reader, writer = await asyncio.wait_for(connecting, _CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError):
            raise Unavailable("The active worker cannot be reached right now.", retry_after_s=5) from None
        self = cls(reader, writer, scope)
        scope[HUNG_UP] = scope[STREAM] = self.close
        writer.write(head)
        self._sending = asyncio.ensure_future(self._send_body(receive))
        return self

    async def answer(self, send: Send, /) -> int:
        """Pass the reply on; its status. Raises Unavailable if none begins. One that breaks off is left incomplete."""
        started = False
        while not self._is_done:
            try:
                data = await asyncio.wait_for(self._reader.read(_READ_BYTES), _SILENCE_S)
            except (OSError, TimeoutError):
                data = b""
            if data:
                try:
                    self._parser.feed_data(data)
                except httptools.HttpParserError:
                    data = b""
            ends_here = not data and self._has_head and not self._has_length() and not self._is_done
            if not data and not self._has_head:
                raise Unavailable(
                    "The active worker went away before it answered: see whether it did what was asked.",
                    retry_after_s=5,
                )
            if self._has_head and not started:
                started = True
                status = self._parser.get_status_code()
                fields = [(name, value) for name, value in self._fields if name not in _OWN]
                await send({"type": "http.response.start", "status": status, "headers": fields})
            body, self._pieces = b"".join(self._pieces), []
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if not data and not ends_here and not self._is_done:
                return (
                    self._parser.get_status_code()
                )  # uvicorn breaks the connection, so that nobody takes it for whole
            if ends_here:
                break
        await send({"type": "http.response.body", "body": b""})
        return self._parser.get_status_code()

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self._writer.close()

    def _has_length(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self._fields)

    async def _send_body(self, receive: Receive) -> None:
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self._writer.close()
                    return
                if body := message.get("body", b""):
                    self._writer.write(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)
                if not message.get("more_body"):
                    break
                await self._writer.drain()
            if self._is_chunked:
                self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
        except OSError:
            pass  # the reply, or that there is none, tells

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._has_head = True
        self._is_done = self._is_done or self._is_head

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._is_done = True


def is_for_worker(route: Route, /) -> bool:
    """Whether a gateway leaves a route to the worker."""
    does = route.does
    return isinstance(does, Handled) and (route.scope == "admin" or does.by in _LOOKS_INTO_THE_WORKER)


class Paths:
    """The paths of some routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_method: dict[str, list[str]] = {}
        for route in routes:
            by_method.setdefault(route.method, []).append(route.path)
        self._patterns = {method: _any_of(paths) for method, paths in by_method.items()}

    def have(self, scope: Message) -> bool:
        """Whether a request is for one of the routes."""
        method = scope["method"]
        if (paths := self._patterns.get("GET" if method == "HEAD" else method)) is None:
            return False
        if paths.fullmatch(scope["path"]):
            return True
        # Routed by whole segments where there are ids, and escapes may stand for any letter: see `Request`.
        return b"%" in scope["raw_path"] and paths.fullmatch(whole_segments(scope["raw_path"])) is not None


def _any_of(templates: Iterable[str]) -> re.Pattern[str]:
    patterns: list[str] = []
    for template in templates:
        literal = [re.escape(each) for each in _PARAMETER.split(template)[::2]]
        holes = [".+" if hole.endswith(":path}") else "[^/]+" for hole in re.findall(r"\{[^}]+\}", template)]
        patterns.append("".join(text + hole for text, hole in zip(literal, [*holes, ""], strict=True)))
    return re.compile(f"(?:{'|'.join(patterns)})/?")
