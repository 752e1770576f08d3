"""Reads and inflates request bodies, within a limit for each and one for all of them. Never parses them."""

import sys
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, unquote

import falcon
import falcon.asgi
from falcon.routing import BaseConverter

from headrace.model.errors import InvalidRequest, PayloadTooLarge, Unavailable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_SLASHES = (b"%2F", b"%2f")  # in a name in the path: a user id, an event name
_GZIP_MAGIC = b"\x1f\x8b"
_Event = Mapping[str, Any]

_MAX_MEMBERS = 1000  # an empty gzip member costs the sender 20 bytes, but the server as much as any other member
_PIECE_BYTES = 64 * 1024
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15  # wbits: https://docs.python.org/3/library/zlib.html#zlib.decompressobj


class Budget:
    """Limits the bytes of all bodies in memory. Also the middleware that returns them. For the event loop's thread alone.

    Bytes count from their arrival until their request is answered. So a body that stops half-way holds what it has sent, and
    an announced Content-Length holds nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Raises Unavailable if there is no room."""
        if self.held_bytes + size > self._max_bytes:
            raise Unavailable(f"The bodies of all requests in progress exceed {self._max_bytes} bytes.")
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        self.held_bytes -= size

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        if isinstance(req, Request):
            req.give_back()


class Request(falcon.asgi.Request):
    """Yields the pieces of its body as they arrive, and keeps track of how many bytes it holds.

    Falcon's own stream is slower, and mistakes a client's disconnect for the end of the body. A slash at the end of the path's
    last name is part of the name.
    """

    __slots__ = ("first_event", "held_bytes", "receive")
    budget = Budget(1 << 62)
    names_below: tuple[str, ...] = ()
    """Prefixes of paths whose rest is a name, slashes included."""
    ids_below: tuple[str, ...] = ()
    """Prefixes of paths that contain ids, each of which is one segment, whatever is in it."""

    def __init__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[_Event]],
        first_event: _Event | None = None,
        options: falcon.RequestOptions | None = None,
    ) -> None:
        self.held_bytes = 0
        super().__init__(scope, receive, first_event, options)
        if scope.get("raw_path", b"").endswith(_SLASHES) and scope["path"].startswith(self.names_below):
            self.path = scope["path"]  # Falcon would strip it as a separator
        if b"%" in scope.get("raw_path", b"") and scope["path"].startswith(self.ids_below):
            self.path = whole_segments(scope["raw_path"])
        self.receive = receive
        self.first_event = first_event

    def hold(self, size: int) -> None:
        """Hold this many bytes of the budget, instead of any held before, until the response. Raises Unavailable."""
        self.budget.take(size - self.held_bytes)
        self.held_bytes = size

    def give_back(self) -> None:
        """Return everything to the budget, because the request has been answered."""
        self.budget.give_back(self.held_bytes)
        self.held_bytes = 0


def whole_segments(raw_path: bytes, /) -> str:
    """The path with each segment's escapes kept, so that a slash in an id is not a separator. `IdConverter` unescapes them."""
    path = "/".join(
        quote(unquote(segment.decode("latin-1"), errors="replace"), safe="") for segment in raw_path.split(b"/")
    )
    return path.removesuffix("/")


class IdConverter(BaseConverter):
    """`{user_id:id}` in a route: one segment of the path, as the client meant it."""

    def convert(self, value: str) -> str:
        return unquote(value)


def request_within(budget: Budget, /) -> type[Request]:
    """The Request class of an application whose bodies share a budget."""

    class BudgetedRequest(Request):
        __slots__ = ()

    BudgetedRequest.budget = budget
    return BudgetedRequest


async def read_body(req: falcon.asgi.Request, /, max_bytes: int) -> bytes:
    """The whole body, inflated. Raises PayloadTooLarge, InvalidRequest, and Unavailable if there is no room for it right now."""
    if (req.content_length or 0) > max_bytes:
        raise _too_large(max_bytes, req.content_length or 0)
    body = await _read(req, max_bytes)
    inflated = inflate(body, req.get_header("Content-Encoding") or "", max_bytes)
    if inflated is not body and isinstance(req, Request):
        req.hold(len(inflated))
    return inflated


async def _read(req: falcon.asgi.Request, max_bytes: int) -> bytes:
    assert isinstance(req, Request)  # noqa: S101  the application makes no other
    chunks: list[bytes] = []
    size = 0
    event = req.first_event or await req.receive()
    while True:
        if event["type"] == "http.disconnect":
            raise InvalidRequest("The request ended before its body was complete.")
        chunk: bytes = event.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        req.hold(size)
        chunks.append(chunk)
        if not event.get("more_body"):
            break
        event = await req.receive()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def inflate(body: bytes, encoding: str, max_bytes: int, /) -> bytes:
    """Decode the body's Content-Encoding. Stops inflating at the limit.

    Raises PayloadTooLarge, and InvalidRequest for an unknown encoding or a body that is not in the encoding named.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        # SDKs omit Content-Encoding, so trust the magic bytes (RFC 1952 §2.3.1), with which no JSON begins.
        encoding = "gzip" if body.startswith(_GZIP_MAGIC) else ""
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, lambda: zlib.decompressobj(_GZIP), "gzip", max_bytes)
    if encoding == "deflate":
        # RFC 9110 §8.4.1.2 says zlib's format, but some clients send a raw deflate stream.
        wbits = _ZLIB if body[:1] and body[0] & 0x0F == zlib.DEFLATED and _is_zlib(body) else _RAW_DEFLATE
        return _inflate(body, lambda: zlib.decompressobj(wbits), "deflate", max_bytes)
    if encoding == "zstd":
        return _inflate(body, zstd.ZstdDecompressor, "zstd", max_bytes)
    if encoding:
        raise InvalidRequest(f"Content-Encoding {encoding[:80]!r} is not supported: use gzip, deflate, zstd or none.")
    return body


def _is_zlib(body: bytes) -> bool:
    """Source: https://www.rfc-editor.org/rfc/rfc1950#section-2.2"""
    return len(body) > 1 and int.from_bytes(body[:2], "big") % 31 == 0


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _inflate(body: bytes, start: Callable[[], _Decompressor], name: str, max_bytes: int) -> bytes:
    """Inflate all members or frames, in pieces, because each member copies the rest of its piece."""
    parts: list[bytes] = []
    room, at = max_bytes, 0
    try:
        for _ in range(_MAX_MEMBERS + 1):
            if at == len(body):
                return b"".join(parts)
            decompressor = start()
            while not decompressor.eof:
                piece = body[at : at + _PIECE_BYTES]
                if not piece:
                    raise InvalidRequest(f"The body is not complete {name} data: it ends too early.")
                part = decompressor.decompress(piece, room + 1)
                if len(part) > room:
                    raise _too_large(max_bytes)
                parts.append(part)
                room -= len(part)
                at += len(piece)
            at -= len(decompressor.unused_data)
    except (zlib.error, zstd.ZstdError) as error:
        raise InvalidRequest(f"The body is not valid {name} data: {error}.") from None
    raise InvalidRequest(f"The body has more than {_MAX_MEMBERS} {name} members.")


def _too_large(max_bytes: int, size: int = 0) -> PayloadTooLarge:
    """size: 0 if the body was not read to its end."""
    has = f"has {size} bytes; the limit is {max_bytes}" if size else f"is larger than {max_bytes} bytes"
    return PayloadTooLarge(f"The body {has}. Send fewer or smaller events at once.")
