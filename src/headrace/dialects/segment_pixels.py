"""Segment's and RudderStack's pixels: events in an image's URL. Translates; never stores.

Sources: https://segment.com/docs/connections/sources/catalog/libraries/server/pixel-tracking-api/ and
https://www.rudderstack.com/docs/api/pixel-api/
"""

from collections.abc import Callable

from headrace.dialects.forms import fields_of, opened_query
from headrace.dialects.pixels import GIF, GIF_TYPE, nested
from headrace.dialects.route import Ingest
from headrace.dialects.sdk import key_of
from headrace.dialects.segment import item_parser, key_in
from headrace.dialects.wire import confined, encode_json, parse_single
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt


def _event_in(query: bytes) -> bytes:
    """The JSON in `data`, or else the object that all the parameters form. Raises InvalidRequest."""
    fields = fields_of(query)
    if "data" in fields:
        return opened_query(query)[1]
    if anonymous_id := fields.get("anonymousId"):
        fields["anonymousId"] = anonymous_id.strip('"')  # AMP pages write it in quotes
    return encode_json(nested(fields))


def find_key(query: bytes, /) -> str:
    """The key beside the event or in it. Raises MissingKey, InvalidRequest."""
    return key_of(
        [fields_of(query).get("writeKey"), confined(_event_in(query), key_in)],
        "No write key: send it as 'writeKey' in the query, or in the JSON in 'data'.",
    )


def _parser(call: str) -> Callable[[bytes, Context], Batch]:
    parse_item = item_parser(call, None)

    def parse(query: bytes, context: Context) -> Batch:
        return parse_single(_event_in(query), parse_item, context)

    return parse


def _render(_batch: Batch, _receipts: list[Receipt]) -> bytes:
    return GIF


def _media_type_of(_batch: Batch) -> str:
    return GIF_TYPE


def pixel(call: str, /) -> Ingest:
    """Accepts the pixels of one call of Segment's spec."""
    return Ingest(_parser(call), _render, find_key=find_key, media_type_of=_media_type_of)
