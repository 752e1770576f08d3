"""An HTTP/1.1 connection that posts and reads bounded replies. Chooses no address and sets no time limit: see client.py."""

import asyncio
from typing import cast

import httptools
import msgspec

MAX_REPLY_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_SWITCHING = 101


class Answer(msgspec.Struct, frozen=True):
    """A reply. `body`: at most `MAX_REPLY_BYTES` of it; is_cut: there was more, or it was encoded."""

    status: int
    retry_after: str
    body: bytes
    is_cut: bool


class BrokenReply(Exception):
    """The receiver closed the connection in mid-reply, or its reply is not valid HTTP/1.1."""


class ClosedUnasked(BrokenReply):
    """The connection ended before the reply: a reused connection may have been closed before the request arrived."""


class Connection(asyncio.Protocol):
    """Carries one request at a time, repeatedly while `is_reusable`. For one event loop's thread."""

    def __init__(self) -> None:
        self.is_reusable = False
        self.opened_at = 0.0
        self.uses = 0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._retry_after = ""
        self._has_length = self._is_encoded = self._is_cut = self._has_head = False

    async def post(self, request: bytes, /) -> Answer:
        """Send a request, as bytes, and return its answer. Raises BrokenReply, OSError."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ClosedUnasked("The connection was closed before the request was sent.")
        self._begin()
        self.uses += 1
        self.is_reusable = False
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            return await waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Close the connection at once, even if there is still something to send or read."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():  # unrequested bytes: a farewell, or a protocol error
            self.close()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the reply is complete, and what follows is of another protocol
            self.close()
        except httptools.HttpParserError as error:
            if not self._is_over():
                self._fail(BrokenReply(f"The reply is not HTTP: {error or 'it cannot be parsed'}."))
        if not self._is_over() and not self._has_head and self._received > _MAX_HEAD_BYTES:
            self._fail(BrokenReply(f"The reply's headers have more than {_MAX_HEAD_BYTES} bytes."))

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        self._ended(exc)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        elif name == b"retry-after":
            self._retry_after = value.decode("latin-1")[:100]
        elif name == b"content-encoding":
            self._is_encoded = value.lower() != b"identity"

    def on_headers_complete(self) -> None:
        if not self._is_interim():
            self._has_head = True

    def on_body(self, body: bytes) -> None:
        if self._is_over():
            return
        room = MAX_REPLY_BYTES - self._body_bytes
        self._body.append(body[:room])
        self._body_bytes += min(len(body), room)
        if len(body) > room:  # only the status matters
            self._is_cut = True
            self._answer(reusable=False)

    def on_message_complete(self) -> None:
        if self._is_interim():
            self._has_length, self._retry_after = False, ""
        else:
            self._answer(reusable=self._parser.should_keep_alive())

    def _is_interim(self) -> bool:
        status = self._parser.get_status_code()
        return 100 <= status < 200 and status != _SWITCHING

    def _is_over(self) -> bool:
        return self._waiter is None or self._waiter.done()

    def _answer(self, *, reusable: bool) -> None:
        if self._waiter is None or self._waiter.done():
            return
        self.is_reusable = reusable and self._transport is not None and not self._transport.is_closing()
        is_cut = self._is_cut or self._is_encoded
        self._waiter.set_result(Answer(self._parser.get_status_code(), self._retry_after, b"".join(self._body), is_cut))
        if not self.is_reusable:
            self.close()

    def _ended(self, error: Exception | None) -> None:
        if self._is_over():
            return
        if self._has_head and not self._has_length:  # the body ends where the connection does (RFC 9112 §6.3)
            self._answer(reusable=False)
        elif not self._received:
            self._fail(ClosedUnasked(f"The connection was closed without a reply{f': {error}' if error else ''}."))
        else:
            self._fail(BrokenReply(f"The connection was closed in mid-reply{f': {error}' if error else ''}."))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.close()
