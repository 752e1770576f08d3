"""Jitsu's routes, which accept events in Segment's shape. Translates; never stores.

Its clients want keys of the form `key:secret` and send them in `X-Write-Key`, in the body or by HTTP Basic. Here only the key
counts: anything may follow the colon.
Source: https://github.com/jitsucom/jitsu/blob/newjitsu/libs/jitsu-js/src/analytics-plugin.ts
"""

from collections.abc import Callable

from msgspec import structs

from headrace.dialects import segment, segment_pixels
from headrace.dialects.route import Ingest, Route
from headrace.dialects.sdk import accepted
from headrace.dialects.wire import encode_json, parse_single
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt


def find_key(body: bytes, /) -> str:
    """Raises MissingKey, InvalidRequest."""
    return segment.find_key(body).partition(":")[0]


_parse_any = segment.item_parser("", None)


def parse_event(body: bytes, context: Context, /) -> Batch:
    """One event, whose `type` says what it is."""
    return parse_single(body, _parse_any, context)


def render_one(_batch: Batch, _receipts: list[Receipt], /) -> bytes:
    return encode_json({"ok": True})


def render_batch(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    received = len(batch.items) + len(batch.rejections)
    return accepted({"ok": True, "receivedEvents": received, "okEvents": len(batch.items)}, batch)


def _takes(
    path: str,
    parse: Callable[[bytes, Context], Batch],
    render: Callable[[Batch, list[Receipt]], bytes] = render_one,
) -> Route:
    takes = Ingest(parse, render, find_key=find_key, key_in_header="X-Write-Key")
    return Route("POST", f"/api/s/{path}", "ingest", "segment", takes)


def _find_key_in_query(query: bytes) -> str:
    return segment_pixels.find_key(query).partition(":")[0]


PARSERS = {call: segment.call_parser(call) for call in segment.KINDS} | {"event": parse_event}
ROUTES = (
    *(_takes(f"{way}{call}", parse) for way in ("", "s2s/") for call, parse in PARSERS.items()),
    _takes("s2s/batch", segment.parse_batch, render_batch),
    *(
        Route(
            "GET",
            f"/api/px/{call}",
            "ingest",
            "segment",
            structs.replace(segment_pixels.pixel(call), find_key=_find_key_in_query),
        )
        for call in segment.KINDS
    ),
)
PREFIXES = ("/api/s", "/api/px")
