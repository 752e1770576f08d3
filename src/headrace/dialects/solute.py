"""The Solute dialect: batches of a Segment-style SDK. Translates; never stores. Calls outside them: solute_calls.py.

Source: shared/seeds/002, and shared/CONTRACT.md "solute".
"""

from collections.abc import Callable

import msgspec

from headrace.dialects.errors import Kind, kind_of
from headrace.dialects.route import Told
from headrace.dialects.sdk import NAMES, SpecItem, page_properties, with_members
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
    required_text,
)
from headrace.model import errors
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import Event, EventType
from headrace.model.times import parse_time, render_time_short

NAME = "solute"
MAX_BATCH = 100

# Codes that differ from the kind's name.
_CODES: dict[Kind, str] = {
    "invalid_request": "VALIDATION_ERROR",
    "unauthorized": "INVALID_API_KEY",
    "rate_limited": "RATE_LIMIT_EXCEEDED",
}


def render_error(error: HeadraceError, status: int, /) -> bytes:
    kind = kind_of(error)
    code = _CODES.get(kind, kind.upper())
    return encode_json({"error": {"code": code, "message": error.message, "details": {}}, "statusCode": status})


class Sent(Batch, frozen=True):
    """A batch, and whether repeats in it are answered as processed or as failed."""

    reject_duplicates: bool = False


class _Envelope(msgspec.Struct):
    batch: msgspec.Raw = ABSENT
    sentAt: str | None = None  # noqa: N815  the field's name on the wire


_item_decoder = msgspec.json.Decoder(SpecItem)
_envelope_decoder = msgspec.json.Decoder(_Envelope)

# A track event has its own name.
_NAMES: dict[EventType, str] = {"track": "", **NAMES}


def parse_batch(body: bytes, context: Context, /) -> Sent:
    return confined(body, lambda text: _parse_text(text, context), "batch")


def _parse_text(text: bytes, context: Context) -> Sent:
    envelope = decode_part(_envelope_decoder, text, "The body")
    elements = array_of(envelope.batch, "batch", MAX_BATCH)
    if envelope.sentAt is None:
        raise InvalidRequest("'sentAt' is required: send the time of sending, like 2025-01-15T10:30:05Z.")
    sent_at_ms = parse_time(envelope.sentAt, "sentAt")
    batch = parse_items(elements, _item_parser(sent_at_ms), context)
    return Sent(batch.items, batch.rejections, reject_duplicates=context.settings.solute_duplicates == "reject")


def _item_parser(sent_at_ms: int) -> Callable[[msgspec.Raw, Context], Event]:
    def parse(raw: msgspec.Raw, context: Context) -> Event:
        settings, tenant = context.settings, context.tenant
        item = decode_item(_item_decoder, raw, settings)
        limit = settings.max_id_chars
        kind = _type_of(item.type)
        message_id = required_text(item.message_id, "messageId", limit)
        if item.timestamp is None:
            raise InvalidRequest("'timestamp' is required: send RFC 3339 such as 2025-01-15T10:30:00Z.")
        context_text, context_values = object_of(item.context, "context")
        if not context_text:
            raise InvalidRequest("'context' is required: send an object.")
        properties, values = object_of(item.properties, "properties")
        traits, _ = object_of(item.traits, "traits")
        if kind == "page":
            names = settings.max_name_chars
            title, category = optional_text(item.name, "name", names), optional_text(item.category, "category", names)
            added = page_properties(title, category, values)
            properties, values = with_members(properties, added), values | added
        labels, numbers = labels_and_numbers(values, {})
        session_id = context_values.get("sessionId")
        return Event(
            tenant.project,
            tenant.mode,
            NAME,
            _NAMES[kind] or name_of(item.event, "event", settings.max_name_chars),
            parse_time(item.timestamp),
            kind,
            user_id=optional_text(item.user_id, "userId", limit),
            anonymous_id=optional_text(item.anonymous_id, "anonymousId", limit),
            session_id=session_id if type(session_id) is str and len(session_id) <= limit else "",
            group_id=_needed(kind, "group", item.group_id, "groupId", limit),
            previous_id=_needed(kind, "alias", item.previous_id, "previousId", limit),
            properties=properties,
            context=context_text,
            traits=traits,
            labels=labels,
            numbers=numbers,
            message_id=message_id,
            sent_at_ms=sent_at_ms,
        )

    return parse


def _type_of(value: object) -> EventType:
    for kind in _NAMES:
        if value == kind:
            return kind
    raise InvalidRequest(f"'type' must be one of {', '.join(_NAMES)}.")


def _needed(kind: EventType, for_kind: EventType, value: object, field: str, limit: int) -> str:
    """A field that one type requires and the others may have."""
    return required_text(value, field, limit) if kind == for_kind else optional_text(value, field, limit)


def render_batch(batch: Batch, receipts: list[Receipt], /) -> bytes:
    failed = [(rejection.index, rejection.error.message) for rejection in batch.rejections]
    if isinstance(batch, Sent) and batch.reject_duplicates:
        failed += [
            (item.index, errors.Duplicate().message)
            for item, receipt in zip(batch.items, receipts, strict=True)
            if receipt.duplicate
        ]
    size = len(batch.items) + len(batch.rejections)
    reply: dict[str, object] = {
        "success": len(failed) < size,
        "processed": size - len(failed),
        "failed": len(failed),
    }
    if failed:
        reply["errors"] = [{"index": index, "error": error} for index, error in sorted(failed)]
    return encode_json(reply)


def render_flags(told: Told, /) -> bytes:
    """No flags and no experiments: the SDK then uses its callers' defaults.

    Source: https://docs.solute.so/backend-api/feature-flags
    """
    return encode_json({"flags": {}, "experiments": {}, "timestamp": render_time_short(told.now_ms)})
