"""HTTP/1.1 where uvicorn's own protocol leaves something open. Refuses what never becomes a request; routes nothing.

This file parses; connection.py is about how connections begin and end.

- Invalid HTTP, requests without exactly one Host, and unsupported transfer codings are refused in the form of the dialect they
  were meant for (refusals.py, request_heads.py).
- A request's line and headers, and everything besides its body, have size limits.
- Of pipelined requests, few are parsed before their turn. Responses are sent in order.
- Fields after a body (trailers) are not treated as headers.
- A client that waits for `100 Continue` gets the final status instead if the headers decide it (expect.py).
- An `Upgrade` to an unknown protocol is ignored, and the request answered.
"""

from functools import partial

import httptools

from headrace.http.connection import Connection
from headrace.http.expect import HeadFirst
from headrace.http.lingering import MAX_DROPPED_BYTES
from headrace.http.request_heads import fault_of, without_upgrade
from headrace.http.scope import SEND_WHOLE
from headrace.http.whole_replies import send_whole
from headrace.model.errors import InvalidRequest

# Counted in whole pieces of what is read from the socket. The first is free, so this much is always accepted.
_MAX_HEAD_BYTES = 64 * 1024
# Input is parsed in pieces that end with a head and have at least this size. The requests in a piece wait in memory.
_PIECE_BYTES = 1024


class Protocol(Connection):
    """Parses a connection's input. See Connection for the options."""

    _data = b""  # the piece being parsed
    _bare_bytes = 0  # parsed since the request began, or since the last bytes of its body
    _dropped_bytes = 0  # of a body that arrived after its response

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._lingering.drop(data)
            return
        self._unparsed += data
        self._parse()

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

    def _is_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _head_again(self) -> bytes:
        """The head without its offer to upgrade, for a new parser."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        return without_upgrade(method, self.url, version, self.headers)
