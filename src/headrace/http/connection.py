"""How a connection begins, how long it may take, and how it ends. Parses nothing: see protocol.py.

- Connections over the limit, and requests that take too long to arrive, are refused in the form of their dialect (refusals.py).
- A client must read its response at a minimum pace (unread.py).
- A request that asks for it is told if its client hangs up. A client that ends only its own side still gets its responses.
- A client that is still sending when it gets the last response can read that response (lingering.py).
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from headrace.http.lingering import Lingering, ReplyTransport
from headrace.http.problems import Problems
from headrace.http.refusals import Refusals
from headrace.http.scope import HUNG_UP, STREAM
from headrace.http.unread import Unread
from headrace.model.errors import HeadraceError, Unavailable

# A client that is gone looks like one that ended only its side. For the latter's sake, a query goes on for this long.
_QUERY_AFTER_EOF_S = 2.0


class Connection(HttpToolsProtocol):
    """timeout_s: how long a request may take to arrive, and a new connection to begin one.

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
        self._start = b""  # the piece that the request began in
        self._in_head = self._in_body = False
        self._last_words: bytes | None = None  # a refusal to send once the requests before it are answered
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
            if end := getattr(self.cycle, "scope", {}).pop(STREAM, None):  # it would go on for the whole grace period
                end()

    def _end_query(self) -> None:
        if hang_up := getattr(self.cycle, "scope", {}).pop(HUNG_UP, None):
            hang_up()

    def takes_more(self) -> bool:
        """Whether to keep reading: not while requests, or unparsed input behind them, wait for their turn."""
        return not self.pipeline and not self._unparsed and self._last_words is None

    def _is_ending(self) -> bool:
        return self._lingering is not None or self.transport.is_closing()

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

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if self._connection.takes_more():
            super().resume_reading()
