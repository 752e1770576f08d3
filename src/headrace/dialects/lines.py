"""Newline-delimited JSON, as log shippers send it: one event a line. Pure.

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

# Vector sends up to 10 MB at once, which are about so many log events.
MAX_LINES = 50_000
# A shipper whose events are all wrong would otherwise be told so at greater length than it sent them.
MAX_SHOWN = 100
_TYPES = frozenset(
    b"application/" + name for name in (b"x-ndjson", b"ndjson", b"jsonl", b"x-jsonl", b"jsonlines", b"x-jsonlines")
)
# No string holds a bare line break, so these braces are the ends of two documents.
_BETWEEN_LINES = re.compile(rb"\}[ \t\r]*\n\s*\{")


def claims(head: Head, /) -> bool:
    """Whether a request says that its body is lines of JSON."""
    return any(name == b"content-type" and value.partition(b";")[0].strip().lower() in _TYPES for name, value in head)


def are_in(body: bytes, /) -> bool:
    """Whether a body is several JSON objects on lines of their own, whatever it is labelled."""
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" and _BETWEEN_LINES.search(body) is not None


def parse_lines(
    body: bytes, parse_item: Callable[[msgspec.Raw, Context], Event], context: Context, limit: int = MAX_LINES
) -> Batch:
    """Each line on its own, so that a bad one costs only itself; blank ones are passed over. One document on many lines is one.

    Raises InvalidRequest when there are none, BatchTooLarge for too many.
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
    """Raises InvalidRequest for what is no UTF-8: parts of it that nobody decodes would be taken on trust."""
    text = bytes(raw)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The line is not UTF-8: byte {error.start} cannot be decoded.") from None
    return raw


def shown(batch: Batch, render: Callable[[Rejection], object], /) -> dict[str, object]:
    """How many were taken and refused, and why; of the refused, no more than a shipper may be told of."""
    data: dict[str, object] = {"accepted": len(batch.items), "rejected": len(batch.rejections)}
    if batch.rejections:
        data["errors"] = [render(each) for each in batch.rejections[:MAX_SHOWN]]
    return data
