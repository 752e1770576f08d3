"""HTTP/1.1 where uvicorn's own protocol leaves something open. Answers what never becomes a request; routes nothing.

- What is no HTTP, lacks its one Host, or comes in a transfer coding not spoken here, and one connection too many, is refused
  in the words of the dialect that it was meant for.
- A request has to arrive within a time, and its line and headers, and what there is beside its body, within a size.
- Of the requests that are sent without waiting for replies, few are looked at before their turn; replies come in order.
- Fields after a body are no headers.
- A reply has to be read, at a least pace.
- A request whose client hangs up is told so, if it has asked to be. A client that ends only its own side gets its replies.
- A client that is still sending when it is answered for the last time gets to read the answer.
- Who waits for `100 Continue` gets the final status instead, where the headers decide it.
- An `Upgrade` that nobody here speaks is ignored, and the request answered.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from headrace.http.expect import HeadFirst
from headrace.http.lingering import MAX_DROPPED_BYTES, Lingering, ReplyTransport
from headrace.http.problems import Problems
from headrace.http.unread import Unread
from headrace.model.errors import HeadraceError, InvalidRequest, Unavailable

_log = structlog.get_logger("headrace.http")
# Counted in whole pieces of what is read from the socket, the first one free; so this much is always taken.
_MAX_HEAD_BYTES = 64 * 1024
# What is read is parsed in pieces that end with a head, and are no smaller than this: the requests in one wait in memory.
_PIECE_BYTES = 1024
# Where a request's scope holds what the rate limit says in its answer.
RATE_HEADERS = "headrace.rate_headers"
# And what is to be called should the client hang up before it has its answer.
HUNG_UP = "headrace.hung_up"
# A client that has gone looks like one that has only ended its side; a query goes on for so long for the latter's sake.
_QUERY_AFTER_EOF_S = 2.0
_PATH = re.compile(rb"\S+ +([^\s?#]*)")


class Protocol(HttpToolsProtocol):
    """One connection. `timeout_s`: how long a request may take to arrive, and a new connection to begin one.

    query_grace_s: how long after the server was told to stop a query may go on.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        timeout_s: float,
        query_grace_s: float | None = None,
        unread: Unread,
        problems: Problems,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._max_connections = self.limit_concurrency
        self.limit_concurrency = None  # uvicorn would answer in plain text, and without Retry-After
        self._one_too_many = False
        self._timeout_s = timeout_s
        self._query_grace_s = query_grace_s
        self._unread = unread
        self._problems = problems
        self._timer: asyncio.TimerHandle | None = None
        self._unparsed = b""  # until the requests before it are answered
        self._data = b""  # what is being parsed
        self._start = b""  # what the request began in
        self._in_head = self._in_body = False
        self._bare_bytes = 0  # parsed since the request began, or since the last of its body
        self._last_words: bytes | None = None  # to be sent once the requests before are answered
        self._dropped_bytes = 0  # of a body that came after its answer
        self._lingering: Lingering | None = None
        self._half_closed = self._stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        self._replies = ReplyTransport(transport, self._hang_up)
        # Those that were there before are served on.
        self._one_too_many = self._max_connections is not None and len(self.connections) > self._max_connections
        self._timer = self.loop.call_later(self._timeout_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unread.forget(self.transport)
        if self._lingering:
            self._lingering.stop()
        super().connection_lost(exc)
        self._end_query()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._lingering.drop(data)
            return
        self._unparsed += data
        self._parse()

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The client has ended its side, or is gone. Whether the connection stays open, for what it has asked to be answered."""
        if self._lingering or not self.cycle or (not self.pipeline and (self._in_body or self.cycle.response_complete)):
            return False
        self._half_closed = True
        self._stop_timer()
        if not self._unparsed:
            self._forget_the_incomplete()
        self.loop.call_later(_QUERY_AFTER_EOF_S, self._end_query)
        return True

    def _forget_the_incomplete(self) -> None:
        """The rest of the last request will not come, and nobody has begun to work on it."""
        if self._in_body:
            cycle, _ = self.pipeline.popleft()
            cycle.response_complete = True
        self._in_head = self._in_body = False

    def shutdown(self) -> None:
        self._stopping = True
        if self._query_grace_s is not None:
            self.loop.call_later(self._query_grace_s, self._end_query)
        if self._lingering:
            self._lingering.end_soon()
        elif self._in_body and self.cycle.response_complete:
            self._linger()
        else:
            super().shutdown()

    def _end_query(self) -> None:
        if hang_up := getattr(self.cycle, "scope", {}).pop(HUNG_UP, None):
            hang_up()

    def takes_more(self) -> bool:
        """Whether to read on: not while requests, or what has been read behind them, wait for their turn."""
        return not self.pipeline and not self._unparsed and self._last_words is None

    def _is_ending(self) -> bool:
        return self._lingering is not None or self.transport.is_closing()

    def _parse(self) -> None:
        """What has been read, to its end or to a request that has to wait."""
        data, at = self._unparsed, 0
        self._unparsed = b""
        while at < len(data) and self.takes_more() and not self._is_ending():
            head_end = data.find(b"\r\n\r\n", at + _PIECE_BYTES)
            end = len(data) if head_end < 0 else head_end + 4
            self._parse_piece(data[at:end])
            at = end
        self._unparsed = b"" if self._is_ending() else data[at:]
        if not self.takes_more():
            self.flow.pause_reading()

    def _parse_piece(self, data: bytes) -> None:
        self._bare_bytes += len(data)
        while data:
            self._data, data = data, b""
            try:
                self.parser.feed_data(self._data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._is_upgrade():
                    data = self._without_upgrade(self._data[upgrade.args[0] :])
            except httptools.HttpParserCallbackError:  # of on_headers_complete
                self._refuse(InvalidRequest("The request target has no valid path; send /path?query."))
                return
            except httptools.HttpParserError as error:
                self._refuse(InvalidRequest(f"Not a valid HTTP/1.1 request: {error}."))
                return
        if self._bare_bytes > _MAX_HEAD_BYTES:
            what = (
                "The request line and headers are"
                if self._in_head
                else "Everything that the request sends besides its body is"
            )
            self._refuse(InvalidRequest(f"{what} larger than {_MAX_HEAD_BYTES} bytes."))

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()
        self._start = self._data
        self._in_head = True
        self._bare_bytes = self._dropped_bytes = 0
        if self._timer is None:
            self._timer = self.loop.call_later(self._timeout_s, self._give_up)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refuse(InvalidRequest(f"HTTP/{version} is not supported; use HTTP/1.1."))
            raise ValueError(version)  # or the parser would go on
        self._require_one_host_and_coding(version)
        if self._is_upgrade():
            self._in_head = False
            return
        if self.url == b"*" and self.parser.get_method() == b"OPTIONS":  # the server, and no path (RFC 9110 §9.3.7)
            self.url = b"/"
        self.app = self._refuse_politely if self._one_too_many else self._answer
        super().on_headers_complete()  # raises for a target without a path: still the head is what is wrong
        self.cycle.transport = self._replies  # pyright: ignore[reportAttributeAccessIssue]
        if self.expect_100_continue:
            self.cycle.receive = HeadFirst(self.cycle, lambda: self._stopping).receive
        self._in_head, self._in_body = False, True
        self.headers = []  # trailers go there, and the application has the others (RFC 9110 §6.5.1)

    def _require_one_host_and_coding(self, version: str) -> None:
        """Source: https://www.rfc-editor.org/rfc/rfc9112#section-3.2, #section-6.1"""
        hosts, codings = 0, b""
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                codings += b"," + value.strip().lower()
        if codings not in (b"", b",chunked") and codings.endswith(b"chunked"):  # others are the parser's to refuse
            self._refuse(
                InvalidRequest("Of transfer codings only chunked is supported; name others in Content-Encoding."),
                HTTPStatus.NOT_IMPLEMENTED,
            )
            raise ValueError(codings)  # or the parser would go on
        if hosts > 1 or (not hosts and version == "1.1"):
            self._refuse(InvalidRequest(f"The request has {hosts or 'no'} Host headers; send one."))
            raise ValueError(hosts)

    def on_body(self, body: bytes) -> None:
        self._bare_bytes = 0
        super().on_body(body)
        if self.cycle.response_complete:
            self._dropped_bytes += len(body)
            if self._dropped_bytes > MAX_DROPPED_BYTES:
                self.transport.close()

    def on_message_complete(self) -> None:
        if self._is_upgrade():
            return
        self._in_body = False
        self._bare_bytes = 0
        self._stop_timer()
        if self.cycle.response_complete:
            self._wait_for_another()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._lingering:
            self.server_state.total_requests += 1
            return
        was_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if was_last and self._last_words is not None:
            self._end_with(self._last_words)
            return
        if self._in_head or self._in_body:
            self._unset_keepalive_if_required()  # the rest of this request, or of another, has its own time
        if self._unparsed:
            self._parse()
        if self._half_closed and not self._unparsed:
            if self._in_body and self.pipeline:
                self._forget_the_incomplete()
            elif self._in_body or (was_last and self.cycle.response_complete):
                self.transport.close()
                return
        self.flow.resume_reading()

    def _wait_for_another(self) -> None:
        """The request was answered before it had arrived."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.watch(self.transport)

    def resume_writing(self) -> None:
        self._unread.forget(self.transport)
        super().resume_writing()

    def _is_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _without_upgrade(self, rest: bytes) -> bytes:
        """What a new parser is to be given: the request without that offer, which RFC 9110 §7.8 allows.

        Java's HttpClient and `curl --http2` offer h2c; the parser would take the body for that protocol's first bytes.
        """
        head = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        head += [b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        return b"".join((*head, b"\r\n", rest))

    def _give_up(self) -> None:
        self._timer = None
        if self._in_head or self._in_body:
            self._refuse(Unavailable(f"The request did not arrive within {self._timeout_s:g} s."))
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: HeadraceError, status: HTTPStatus | None = None) -> None:
        """Answer when it is this request's turn, unless the application has begun to, and hang up."""
        self._stop_timer()
        if self._is_ending() or self._last_words is not None:
            return
        words = b""
        if not self._in_body or not self.cycle.response_started:
            words = self._words_of(error, status)
        if self._in_body and self.pipeline:
            self.pipeline.popleft()  # this request, which nobody has begun to work on
        elif self._in_body or not self.cycle or self.cycle.response_complete:
            self._end_with(words)
            return
        self._last_words = words
        self.flow.pause_reading()

    def _end_with(self, words: bytes) -> None:
        """Answer for the last time; with nothing where the client has had its answer and time to read it."""
        if not words:
            self.transport.close()
            return
        self.transport.write(words)
        self._linger()

    def _hang_up(self) -> None:
        """A reply was the last."""
        if self._in_head or self._in_body or self._unparsed or self.pipeline:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        if self._is_ending() or self._half_closed:  # who sends no more is not reset
            self.transport.close()
            return
        self._stop_timer()
        self._unset_keepalive_if_required()
        self._lingering = Lingering(self.transport, self.loop, stopping=self._stopping)
        self._unparsed, self._last_words = b"", None
        self.pipeline.clear()
        self.flow.resume_reading()

    def _words_of(self, error: HeadraceError, status: HTTPStatus | None) -> bytes:
        found = _PATH.match(self._start)
        path = found[1].decode("latin-1") if found else ""
        status, headers, body = self._problems.reply_to(path, error, status=status)
        if self._in_body:
            headers |= self.cycle.scope.get(RATE_HEADERS, {})
        headers |= {name.decode(): value.decode() for name, value in self.server_state.default_headers}
        lines = [f"HTTP/1.1 {int(status)} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join((*lines, f"content-length: {len(body)}", "connection: close", "", ""))
        return head.encode() + body

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The application; and what uvicorn cuts at the end of the grace is refused, and not a failure."""
        try:
            await self.config.loaded_app(scope, receive, send)
        except asyncio.CancelledError:
            _log.warning("request_cut", method=scope["method"], dialect=self._problems.dialect_of(scope["path"]).name)
            error = Unavailable("The server is shutting down before it could answer; try again.", retry_after_s=5)
            await self._send_refusal(scope, send, error)  # raises, and so hangs up, where the answer has begun

    async def _refuse_politely(self, scope: Any, _receive: Any, send: Any) -> None:
        """The application while there are too many connections."""
        await self._send_refusal(scope, send, Unavailable("Too many connections."))

    async def _send_refusal(self, scope: Any, send: Any, error: HeadraceError) -> None:
        """For the last request of the connection."""
        status, headers, body = self._problems.reply_to(scope["path"], error)
        headers |= scope.get(RATE_HEADERS, {})
        fields = headers | {"content-length": str(len(body)), "connection": "close"}
        await send(
            {
                "type": "http.response.start",
                "status": int(status),
                "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            }
        )
        await send({"type": "http.response.body", "body": body})


class _Flow(FlowControl):
    """A connection's, which the application asks to read on whenever it begins to read a body."""

    def __init__(self, transport: asyncio.Transport, protocol: Protocol) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if self._protocol.takes_more():
            super().resume_reading()
