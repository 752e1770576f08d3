"""A request's body: read within limits, and inflated within the same limits. Never parses it."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

import falcon.asgi
from backports import zstd

from headrace.errors import InvalidRequest, PayloadTooLarge, Unavailable

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15  # wbits: https://docs.python.org/3/library/zlib.html#zlib.decompressobj


async def read_body(req: falcon.asgi.Request, /, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body, inflated. Raises PayloadTooLarge, InvalidRequest, and Unavailable for one that does not arrive."""
    if (req.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            body = await _read(req, max_bytes)
    except TimeoutError:
        raise Unavailable(f"The body did not arrive within {timeout_s:g} s.") from None
    return inflate(body, req.get_header("Content-Encoding") or "", max_bytes)


async def _read(req: falcon.asgi.Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in req.stream:
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def inflate(body: bytes, encoding: str, max_bytes: int, /) -> bytes:
    """The body without its Content-Encoding. Stops inflating at the limit.

    Raises PayloadTooLarge, and InvalidRequest for an unknown encoding and for what is not in the encoding named.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        # SDKs omit Content-Encoding, so trust the magic bytes (RFC 1952 §2.3.1): no JSON begins with them.
        encoding = "gzip" if body.startswith(_GZIP_MAGIC) else ""
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, lambda: zlib.decompressobj(_GZIP), "gzip", max_bytes)
    if encoding == "deflate":
        # RFC 9110 §8.4.1.2 means zlib's format; some clients send the bare stream.
        wbits = _ZLIB if body[:1] and body[0] & 0x0F == zlib.DEFLATED and _is_zlib(body) else _RAW_DEFLATE
        return _inflate(body, lambda: zlib.decompressobj(wbits), "deflate", max_bytes)
    if encoding == "zstd":
        return _inflate(body, zstd.ZstdDecompressor, "zstd", max_bytes)
    if encoding:
        raise InvalidRequest(f"Content-Encoding {encoding[:80]!r} is not known: use gzip, deflate, zstd or none.")
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
    """All members or frames, one after another."""
    parts: list[bytes] = []
    room = max_bytes
    try:
        while body:
            decompressor = start()
            part = decompressor.decompress(body, room + 1)
            if len(part) > room:
                raise _too_large(max_bytes)
            if not decompressor.eof:
                raise InvalidRequest(f"The body is no complete {name}: it ends too early.")
            parts.append(part)
            room -= len(part)
            body = decompressor.unused_data
    except (zlib.error, zstd.ZstdError) as error:
        raise InvalidRequest(f"The body is no valid {name}: {error}.") from None
    return b"".join(parts)


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {max_bytes} bytes; send fewer or smaller events at once.")
