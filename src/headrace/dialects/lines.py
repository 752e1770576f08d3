"""Newline-delimited JSON, as log shippers send it: one event per line. Pure.

Source: https://github.com/ndjson/ndjson-spec
"""

import re
from collections.abc import Callable

import msgspec

from headrace.dialects.route import Head
from headrace.dialects.spoilt import mended, problem_of
from headrace.dialects.wire import parse_items, unmarked
from headrace.model.batch import Batch, Context, Rejection
from headrace.model.errors import BatchTooLarge, InvalidRequest
from headrace.model.event import Event

# Vector sends up to 10 MB at once, which is about this many log events.
MAX_LINES = 50_000
# Otherwise, the response to a shipper whose events are all invalid would be larger than its request.
MAX_SHOWN = 100
_TYPES = frozenset(
    b"application/" + name for name in (b"x-ndjson", b"ndjson", b"jsonl", b"x-jsonl", b"jsonlines", b"x-jsonlines")
)
# JSON strings contain no bare line breaks, so these braces separate two documents.
_BETWEEN_LINES = re.compile(rb"\}[ \t\r]*\n\s*\{")


def claims(head: Head, /) -> bool:
    """Whether a request declares its body as lines of JSON."""
    return any(name == b"content-type" and value.partition(b";")[0].strip().lower() in _TYPES for name, value in head)


def are_in(body: bytes, /) -> bool:
    """Whether a body consists of several JSON objects on separate lines, whatever its media type."""
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" and _BETWEEN_LINES.search(body) is not None


def parse_lines(
    body: bytes, parse_item: Callable[[msgspec.Raw, Context], Event], context: Context, limit: int = MAX_LINES
) -> Batch:
    """Parse each line by itself, so that an invalid one costs only itself. Skips blank lines, and accepts one document over many
    lines.

    Raises InvalidRequest if there are none, BatchTooLarge if there are too many.
    """
    body = unmarked(body)
    if body.count(b"\n") > 2 * limit:
        raise _too_many(limit)
    lines = [msgspec.Raw(line) for line in body.split(b"\n") if line and not line.isspace()]
    if len(lines) > limit:
        raise _too_many(limit)

    def parse_line(raw: msgspec.Raw, context: Context) -> Event:
        try:
            return parse_item(_readable(raw), context)
        except InvalidRequest:
            if (text := mended(bytes(raw))) is None:
                raise
            return parse_item(msgspec.Raw(text), context)

    batch = parse_items(lines, parse_line, context)
    if not batch.items and len(lines) != 1 and not problem_of(body):
        return parse_items([msgspec.Raw(body)], parse_item, context)
    return batch


def _too_many(limit: int) -> BatchTooLarge:
    return BatchTooLarge(f"The body has more than {limit} lines, the limit for one request.")


def _readable(raw: msgspec.Raw) -> msgspec.Raw:
    """Raises InvalidRequest if it is not UTF-8, because parts of it are stored without being decoded."""
    text = bytes(raw)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The line is not UTF-8: byte {error.start} cannot be decoded.") from None
    return raw


def shown(batch: Batch, render: Callable[[Rejection], object], /) -> dict[str, object]:
    """How many lines were accepted and rejected, with the errors of the first rejected ones."""
    data: dict[str, object] = {"accepted": len(batch.items), "rejected": len(batch.rejections)}
    if batch.rejections:
        data["errors"] = [render(each) for each in batch.rejections[:MAX_SHOWN]]
    return data
