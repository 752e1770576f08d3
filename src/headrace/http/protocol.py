"""HTTP/1.1 where uvicorn's own protocol leaves something open. Refuses what never becomes a request; routes nothing.

- Invalid HTTP, requests without exactly one Host, unsupported transfer codings and connections over the limit are refused in
  the form of the dialect that they were meant for (refusals.py, heads.py).
- A request has to arrive within a time limit. Its line and headers, and everything beside its body, have size limits.
- Of pipelined requests, few are parsed before their turn. Replies are sent in order.
- Fields after a body (trailers) are not treated as headers.
- A client has to read its reply at a minimum pace (unread.py).
- A request that asks for it is told if its client hangs up. A client that ends only its own side still gets its replies.
- A client that is still sending when it gets the last reply can read that reply (lingering.py).
- A client that waits for `100 Continue` gets the final status instead if the headers decide it (expect.py).
- An `Upgrade` to an unknown protocol is ignored, and the request answered.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from headrace.http.expect import HeadFirst
from headrace.http.heads import fault_of, without_upgrade
from headrace.http.lingering import MAX_DROPPED_BYTES, Lingering, ReplyTransport
from headrace.http.problems import Problems
from headrace.http.refusals import Refusals
from headrace.http.scope import HUNG_UP, SEND_WHOLE
from headrace.http.unread import Unread
from headrace.http.whole_replies import send_whole
from headrace.model.errors import HeadraceError, InvalidRequest, Unavailable

# Counted in whole pieces of what is read from the socket. The first is free, so this much is always accepted.
_MAX_HEAD_BYTES = 64 * 1024
# Input is parsed in pieces that end with a head and have at least this size. The requests in a piece wait in memory.
_PIECE_BYTES = 1024
# A client that is gone looks like one that ended only its side. For the latter's sake, a query goes on for this long.
_QUERY_AFTER_EOF_S = 2.0


class Protocol(HttpToolsProtocol):
    """One connection. timeout_s: how long a request may take to arrive, and a new connection to begin one.

    query_grace_s: how long a query may go on after the server was told to stop.
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
        self.limit_concurrency = None  # uvicorn would answer in plain text and without Retry-After
        self._one_too_many = False
        self._timeout_s = timeout_s
        self._query_grace_s = query_grace_s
        self._unread = unread
        self._refusals = Refusals(problems)
        self._answer = partial(self._refusals.answer_unless_cut, config.loaded_app)
        self._timer: asyncio.TimerHandle | None = None
        self._unparsed = b""  # waits until the requests before it are answered
        self._data = b""  # the piece being parsed
        self._start = b""  # the piece that the request began in
        self._in_head = self._in_body = False
        self._bare_bytes = 0  # parsed since the request began, or since the last bytes of its body
        self._last_words: bytes | None = None  # a refusal to send once the requests before it are answered
        self._dropped_bytes = 0  # of a body that arrived after its answer
        self._lingering: Lingering | None = None
        self._half_closed = self._stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        self._replies = ReplyTransport(transport, self._hang_up)
        # Connections that were there before are still served.
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
        """The client has ended its side, or is gone. Returns whether the connection stays open, to answer what it has asked."""
        if self._lingering or not self.cycle or (not self.pipeline and (self._in_body or self.cycle.response_complete)):
            return False
        self._half_closed = True
        self._stop_timer()
        if not self._unparsed:
            self._forget_the_incomplete()
        self.loop.call_later(_QUERY_AFTER_EOF_S, self._end_query)
        return True

    def _forget_the_incomplete(self) -> None:
        """Drop the last request, whose rest will not arrive, and which nobody has begun to work on."""
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
        """Whether to keep reading: not while requests, or unparsed input behind them, wait for their turn."""
        return not self.pipeline and not self._unparsed and self._last_words is None

    def _is_ending(self) -> bool:
        return self._lingering is not None or self.transport.is_closing()

    def _parse(self) -> None:
        """Parse the input, up to its end or to a request that has to wait."""
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
                    data = self._head_again() + self._data[upgrade.args[0] :]
            except httptools.HttpParserCallbackError:  # raised by on_headers_complete
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
        if fault := fault_of(version, self.headers):
            self._refuse(*fault)
            raise ValueError(version)  # or the parser would go on
        if self._is_upgrade():
            self._in_head = False
            return
        if (
            self.url == b"*" and self.parser.get_method() == b"OPTIONS"
        ):  # means the server, not a path (RFC 9110 §9.3.7)
            self.url = b"/"
        self.app = self._refusals.refuse_connection if self._one_too_many else self._answer
        super().on_headers_complete()  # raises for a target without a path, while _in_head still says what is wrong
        self.cycle.transport = self._replies  # pyright: ignore[reportAttributeAccessIssue]
        self.scope[SEND_WHOLE] = partial(send_whole, self.cycle)  # pyright: ignore[reportGeneralTypeIssues]
        if self.expect_100_continue:
            self.cycle.receive = HeadFirst(self.cycle, lambda: self._stopping).receive
        self._in_head, self._in_body = False, True
        self.headers = []  # trailers go there; the application has the others (RFC 9110 §6.5.1)

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
            self._unset_keepalive_if_required()  # the rest of this request, or of another, has its own time limit
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
        """Start the keep-alive timer: the request was answered before it had arrived."""
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

    def _head_again(self) -> bytes:
        """The head without its offer to upgrade, for a new parser."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        return without_upgrade(method, self.url, version, self.headers)

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
        """Refuse the request when it is its turn, unless the application has begun to answer, and hang up."""
        self._stop_timer()
        if self._is_ending() or self._last_words is not None:
            return
        words = b""
        if not self._in_body or not self.cycle.response_started:
            words = self._words_of(error, status)
        if self._in_body and self.pipeline:
            self.pipeline.popleft()  # this request, which nobody has started to handle
        elif self._in_body or not self.cycle or self.cycle.response_complete:
            self._end_with(words)
            return
        self._last_words = words
        self.flow.pause_reading()

    def _end_with(self, words: bytes) -> None:
        """Send the last words and hang up. Without words, the client has had its answer and time to read it."""
        if not words:
            self.transport.close()
            return
        self.transport.write(words)
        self._linger()

    def _hang_up(self) -> None:
        """Close the connection after its last reply."""
        if self._in_head or self._in_body or self._unparsed or self.pipeline:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        if self._is_ending() or self._half_closed:  # a client that has ended its side is not reset
            self.transport.close()
            return
        self._stop_timer()
        self._unset_keepalive_if_required()
        self._lingering = Lingering(self.transport, self.loop, stopping=self._stopping)
        self._unparsed, self._last_words = b"", None
        self.pipeline.clear()
        self.flow.resume_reading()

    def _words_of(self, error: HeadraceError, status: HTTPStatus | None) -> bytes:
        scope: Mapping[str, Any] = self.cycle.scope if self._in_body else {}
        return self._refusals.as_bytes(self._start, error, status, scope, self.server_state.default_headers)


class _Flow(FlowControl):
    """The flow control of a connection. The application resumes reading whenever it begins to read a body."""

    def __init__(self, transport: asyncio.Transport, protocol: Protocol) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if self._protocol.takes_more():
            super().resume_reading()
