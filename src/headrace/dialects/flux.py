"""The Flux dialect: custom events with tags. Translates; never stores. Its queries are in flux_queries.py.

Source: shared/seeds/000, and shared/CONTRACT.md "flux".
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import msgspec

from headrace.dialects import lines
from headrace.dialects.errors import kind_of
from headrace.dialects.wire import (
    ABSENT,
    array_of,
    confined,
    decode_item,
    decode_part,
    encode_json,
    item_text,
    labels_and_numbers,
    name_of,
    number_of,
    object_of,
    optional_text,
    parse_items,
    parse_single,
    tags_of,
    text_of,
)
from headrace.model import errors
from headrace.model.batch import Batch, Context, Rejection
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import Event, render_evt
from headrace.model.times import parse_time, render_time_short

NAME = "flux"
MAX_BATCH = 500

# Errors with their own code, which the other APIs do not distinguish. Most specific first.
_CODES: tuple[tuple[type[HeadraceError], str], ...] = (
    (errors.MissingName, "missing_name"),
    (errors.InvalidTimestamp, "invalid_timestamp"),
    (errors.BatchTooLarge, "batch_too_large"),
    (errors.InvalidTags, "invalid_tags"),
    (errors.InvalidMetricType, "invalid_type"),
    (errors.InvalidMetricValue, "invalid_value"),
    (errors.MissingKey, "missing_api_key"),
    (errors.Unauthorized, "invalid_api_key"),
    (errors.MethodNotAllowed, "invalid_request"),
)


def code_of(error: HeadraceError, /) -> str:
    return errors.look_up(error, _CODES, "") or kind_of(error)


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    return encode_json({"error": {"code": code_of(error), "message": error.message}})


class FluxItem(msgspec.Struct, gc=False):
    name: Any = None
    timestamp: Any = None
    user_id: Any = None
    value: Any = None
    properties: msgspec.Raw = ABSENT
    tags: Any = None
    session_id: Any = None
    environment: Any = None
    service: Any = None
    host: Any = None
    request_id: Any = None
    idempotency_key: Any = None
    messageId: Any = None  # noqa: N815  the field's name on the wire


class _Envelope(msgspec.Struct):
    events: msgspec.Raw = ABSENT


_item_decoder = msgspec.json.Decoder(FluxItem)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


@cache
def _plain_decoder(name_chars: int, id_chars: int, tags: int, tag_chars: int) -> msgspec.json.Decoder[Any]:
    """A decoder for valid items, which checks the fields on the way and refuses everything else.

    It exists only for speed: items that it refuses are parsed again, field by field, so that the error can say what is wrong.
    """
    identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=id_chars)]
    tag = Annotated[str, msgspec.Meta(max_length=tag_chars)]
    optional = [(field, Annotated[str, msgspec.Meta(max_length=id_chars)], "") for field in _OPTIONAL]
    fields: list[Any] = [
        ("name", Annotated[str, msgspec.Meta(min_length=1, max_length=name_chars)]),
        ("timestamp", str | None, None),
        ("user_id", identifier, ""),
        ("value", float | None, None),
        ("properties", msgspec.Raw, ABSENT),
        ("tags", Annotated[dict[tag, tag], msgspec.Meta(max_length=tags)], msgspec.field(default_factory=dict)),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Plain", [*fields, *optional], gc=False))


_OPTIONAL = ("session_id", "environment", "service", "host", "request_id", "idempotency_key", "messageId")


def parse_track(body: bytes, context: Context, /) -> Batch:
    return parse_single(body, _parser(context), context)


def parse_batch(body: bytes, context: Context, /) -> Batch:
    """`{"events":[…]}` or a bare array."""
    parse_item = _parser(context)

    def parse(text: bytes) -> Batch:
        bare = text.lstrip().startswith(b"[")
        events = text if bare else decode_part(_envelope_decoder, text, "The body").events
        return parse_items(array_of(events, "events", MAX_BATCH), parse_item, context)

    try:
        return confined(body, parse, "events")
    except InvalidRequest:
        if not lines.are_in(body):
            raise
    return lines.parse_lines(body, parse_item, context, MAX_BATCH)


def parse_lines(body: bytes, context: Context, /) -> Batch:
    """A batch labelled as newline-delimited JSON. An array, or `{"events":[…]}` on one line, is accepted as well."""
    batch = lines.parse_lines(body, _parser(context), context)
    if batch.items or len(batch.rejections) != 1:
        return batch
    try:
        return parse_batch(body, context)
    except InvalidRequest:
        return batch


def _parser(context: Context) -> Callable[[msgspec.Raw, Context], Event]:
    """The parser of one event; made once for each request, because looking up its decoder costs as much as a small event."""
    settings, tenant = context.settings, context.tenant
    decode = _plain_decoder(
        settings.max_name_chars, settings.max_id_chars, settings.max_tags, settings.max_tag_chars
    ).decode

    def parse(raw: msgspec.Raw, context: Context) -> Event:
        text = item_text(raw, settings)
        try:
            item = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _parse_item_slowly(text, context)
        if item.name.isspace():
            return _parse_item_slowly(text, context)
        timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
        properties, values = object_of(item.properties, "properties")
        labels, numbers = labels_and_numbers(values, item.tags) if values else ({}, {})
        key = item.idempotency_key or item.messageId
        return Event(
            tenant.project,
            tenant.mode,
            NAME,
            item.name,
            timestamp_ms,
            "track",
            item.user_id,
            "",
            item.session_id,
            "",
            "",
            item.value,
            properties,
            "",
            "",
            item.tags,
            labels,
            numbers,
            item.environment,
            item.service,
            item.host,
            item.request_id,
            key,
        )

    return parse


def _parse_item_slowly(text: bytes, context: Context) -> Event:
    """Parse an item that the plain decoder refused: it has null for an absent field, or an invalid field to be named."""
    return event_of(decode_part(_item_decoder, text, "The event"), context)


def decode_event(raw: msgspec.Raw, context: Context, /) -> FluxItem:
    """An event's fields, unchecked. Raises EventTooLarge, InvalidRequest."""
    return decode_item(_item_decoder, raw, context.settings)


def event_of(item: FluxItem, context: Context, /) -> Event:
    """Raises InvalidRequest or the subclass that fits."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    name = name_of(item.name, "name", settings.max_name_chars)
    timestamp_ms = context.now_ms if item.timestamp is None else parse_time(item.timestamp)
    tags = tags_of(item.tags, settings)
    properties, values = object_of(item.properties, "properties")
    labels, numbers = labels_and_numbers(values, tags)
    key = optional_text(item.idempotency_key, "idempotency_key", limit) or optional_text(
        item.messageId, "messageId", limit
    )
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        timestamp_ms,
        user_id=text_of(item.user_id, "user_id", limit),
        session_id=optional_text(item.session_id, "session_id", limit),
        value=number_of(item.value, "value"),
        properties=properties,
        tags=tags,
        labels=labels,
        numbers=numbers,
        environment=optional_text(item.environment, "environment", limit),
        service=optional_text(item.service, "service", limit),
        host=optional_text(item.host, "host", limit),
        request_id=optional_text(item.request_id, "request_id", limit),
        message_id=key,
    )


def render_track(batch: Batch, receipts: list[Receipt], /) -> bytes:
    event = batch.items[0].event
    return encode_json(
        {
            "data": {
                "id": render_evt(receipts[0].id),
                "name": event.name,
                "timestamp": render_time_short(event.timestamp_ms),
                "user_id": event.user_id or None,
                "value": event.value,
            }
        }
    )


def render_batch(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    data: dict[str, object] = {"accepted": len(batch.items), "rejected": len(batch.rejections)}
    if batch.rejections:
        data["errors"] = [_render_rejection(rejection) for rejection in batch.rejections]
    return encode_json({"data": data})


def render_lines(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    """Like `render_batch`, with only the first errors."""
    return encode_json({"data": lines.shown(batch, _render_rejection)})


def _render_rejection(rejection: Rejection) -> dict[str, object]:
    error = rejection.error
    return {"index": rejection.index, "code": code_of(error), "message": error.message}
