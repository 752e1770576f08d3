"""The Bricqs dialect: gamification events, queued, batched or processed at once. Translates; never stores.

Source: shared/seeds/001, and shared/CONTRACT.md "bricqs".
"""

from typing import Any

import msgspec

from headrace.dialects.route import Dialect, Ingest, Limit, Reacted, Route
from headrace.dialects.wire import (
    ABSENT,
    array_of,
    confined,
    decode_item,
    decode_part,
    encode_json,
    labels_and_numbers,
    name_of,
    object_of,
    optional_text,
    parse_items,
    parse_single,
    required_text,
)
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError
from headrace.model.event import Event, received_at_ms, render_evt, within_ms
from headrace.model.times import parse_time, render_time_short

NAME = "bricqs"
MAX_BATCH = 100
MAX_NAME_CHARS = 100
MAX_ID_CHARS = 255


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    return encode_json({"detail": error.message})


class _Item(msgspec.Struct, gc=False):
    event_name: Any = None
    participant_id: Any = None
    properties: msgspec.Raw = ABSENT
    timestamp: Any = None
    idempotency_key: Any = None
    messageId: Any = None  # noqa: N815  the field's name on the wire


class _Envelope(msgspec.Struct):
    events: msgspec.Raw = ABSENT


_item_decoder = msgspec.json.Decoder(_Item)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


def parse_event(body: bytes, context: Context, /) -> Batch:
    return parse_single(body, _parse_item, context)


def parse_batch(body: bytes, context: Context, /) -> Batch:
    def parse(text: bytes) -> Batch:
        envelope = decode_part(_envelope_decoder, text, "The body")
        return parse_items(array_of(envelope.events, "events", MAX_BATCH), _parse_item, context)

    return confined(body, parse, "events")


def _parse_item(raw: msgspec.Raw, context: Context) -> Event:
    tenant = context.tenant
    item = decode_item(_item_decoder, raw, context.settings)
    name = name_of(item.event_name, "event_name", MAX_NAME_CHARS)
    timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
    properties, values = object_of(item.properties, "properties")
    labels, numbers = labels_and_numbers(values, {})
    key = optional_text(item.idempotency_key, "idempotency_key", MAX_ID_CHARS) or optional_text(
        item.messageId, "messageId", MAX_ID_CHARS
    )
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        timestamp_ms,
        user_id=required_text(item.participant_id, "participant_id", MAX_ID_CHARS),
        properties=properties,
        labels=labels,
        numbers=numbers,
        message_id=key,
    )


def message_id(position: int, /) -> str:
    """A position in the form of a Redis Stream's entry id. Source: https://redis.io/docs/latest/develop/data-types/streams/"""
    return f"{received_at_ms(position)}-{within_ms(position)}"


def render_accepted(_batch: Batch, receipts: list[Receipt], /) -> bytes:
    return encode_json({"accepted": True, "message_id": message_id(receipts[0].position)})


def render_batch(batch: Batch, receipts: list[Receipt], /) -> bytes:
    reply: dict[str, object] = {
        "accepted": len(batch.items),
        "rejected": len(batch.rejections),
        "message_ids": [message_id(receipt.position) for receipt in receipts],
    }
    if batch.rejections:
        reply["errors"] = [
            {"index": rejection.index, "error": rejection.error.message} for rejection in batch.rejections
        ]
    return encode_json(reply)


def render_processed(receipt: Receipt, fact_id: str, fact_type: str, processed_at_ms: int, /) -> bytes:
    return encode_json(
        {
            "event_id": render_evt(receipt.id),
            "fact_id": fact_id,
            "fact_type": fact_type,
            "processed_at": render_time_short(processed_at_ms),
        }
    )


def _routes(prefix: str) -> tuple[Route, ...]:
    path = f"{prefix}/ingest/events"
    processed = Reacted(render_processed, late_status=202)
    return (
        Route("POST", path, "ingest", "bricqs", Ingest(parse_event, render_accepted), 202),
        Route("POST", f"{path}/batch", "ingest", "bricqs", Ingest(parse_batch, render_batch), 202),
        Route(
            "POST",
            f"{path}/sync",
            "ingest",
            "bricqs",
            Ingest(parse_event, render_accepted, reacted=processed, shows_event=True),
        ),
    )


DIALECT = Dialect(
    NAME,
    render_error,
    (*_routes("/api/v1"), *_routes("")),
    limits=(Limit("bricqs", "Bricqs"),),
    prefixes=("/api/v1/ingest", "/ingest"),
)
