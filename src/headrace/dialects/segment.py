"""The Segment dialect, which RudderStack's SDKs speak too. Translates; never stores.

Pixels are in segment_pixels.py, the SDKs' requests for settings in segment_config.py.

Sources: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/ and
https://www.rudderstack.com/docs/api/http-api/
"""

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.dialects.errors import Kind, kind_of
from headrace.dialects.sdk import (
    MAX_BATCH,
    NAMES,
    SCREEN,
    SpecItem,
    accepted,
    at_least_one,
    elements_of,
    event_name,
    id_of,
    key_of,
    needed,
    page_properties,
    sent_at_of,
    short_text,
    text_in,
    time_or_receipt,
    with_members,
)
from headrace.dialects.wire import (
    ABSENT,
    confined,
    decode_item,
    decode_part,
    encode_json,
    labels_and_numbers,
    object_of,
    parse_items,
    parse_single,
)
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import EventTooLarge, HeadraceError, InvalidRequest, PayloadTooLarge
from headrace.model.event import Event, EventType

NAME = "segment"

# Codes that differ from the kind's name.
_CODES: dict[Kind, str] = {"unauthorized": "invalid_write_key"}


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    kind = kind_of(error)
    return encode_json({"success": False, "code": _CODES.get(kind, kind), "message": error.message})


# The paths of calls, and the values of an event's `type`.
KINDS: dict[str, EventType] = {
    "track": "track",
    "identify": "identify",
    "page": "page",
    "screen": "page",
    "group": "group",
    "alias": "alias",
}


class _Item(SpecItem, gc=False):
    original_timestamp: Any = None
    sent_at: Any = None
    channel: Any = None


class _Envelope(msgspec.Struct, rename="camel"):
    batch: msgspec.Raw = ABSENT
    sent_at: msgspec.Raw = ABSENT
    write_key: msgspec.Raw = ABSENT


class _WithTraits(msgspec.Struct):
    traits: msgspec.Raw = ABSENT


_item_decoder = msgspec.json.Decoder(_Item)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_with_traits_decoder = msgspec.json.Decoder(_WithTraits)


NO_KEY = "No write key: send it as the user name of HTTP Basic, or as 'writeKey' in the body."


def find_key(body: bytes, /) -> str:
    """The key in the body. Raises MissingKey, InvalidRequest."""
    return key_of([confined(body, key_in, "batch")], NO_KEY)


def key_in(text: bytes, /) -> str:
    """The key that a batch or an event carries, or "". Raises InvalidRequest."""
    return short_text(_envelope(text).write_key)


def _envelope(text: bytes) -> _Envelope:
    return decode_part(_envelope_decoder, text, "The body")


def parse_batch(body: bytes, context: Context, /) -> Batch:
    return confined(body, lambda text: _parse_text(text, len(body), context), "batch")


def _parse_text(text: bytes, size: int, context: Context) -> Batch:
    envelope = _envelope(text)
    elements = elements_of(envelope.batch, "batch", MAX_BATCH)
    limit = context.settings.segment_max_request_bytes
    if size > limit and not _is_rudderstacks(elements[0]):
        raise PayloadTooLarge(f"The body has {size} bytes; the limit is {limit}. Send fewer or smaller events at once.")
    sent_at_ms = sent_at_of(short_text(envelope.sent_at))
    return at_least_one(parse_items(elements, item_parser("", sent_at_ms), context))


def _is_rudderstacks(raw: msgspec.Raw) -> bool:
    """Whether RudderStack's SDK sent it: its events have a channel. It sends up to 4 MiB at once, and drops what gets a 413."""
    try:
        return _item_decoder.decode(raw).channel is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def call_parser(call: str, /) -> Callable[[bytes, Context], Batch]:
    """A parser for `/v1/<call>`, whose body is one event."""
    parse_item = item_parser(call, None)

    def parse(body: bytes, context: Context) -> Batch:
        return parse_single(body, parse_item, context)

    return parse


def item_parser(call: str, sent_at_ms: int | None, *, of_sdk: bool = True) -> Callable[[msgspec.Raw, Context], Event]:
    """A parser for one event. call: the event's type, from the path; "" if the event says it.

    sent_at_ms: the batch's time of sending; None to use the event's own. of_sdk: whether an SDK sent it, whose events have a
    limit of their own; Segment adds to what it writes into files.
    """

    def parse(raw: msgspec.Raw, context: Context) -> Event:
        settings, tenant = context.settings, context.tenant
        item = decode_item(_item_decoder, raw, settings)
        size, most = len(bytes(raw)), settings.segment_max_event_bytes
        if of_sdk and size > most and item.channel is None:
            raise EventTooLarge(f"The event has {size} bytes; the limit is {most}.")
        limit = settings.max_id_chars
        said = call or _type_of(item.type)
        kind = KINDS[said]
        context_text, context_values = object_of(item.context, "context")
        properties, values = object_of(item.properties, "properties")
        traits, _ = object_of(item.traits, "traits")
        if kind == "page":
            added = page_properties(item.name, item.category, values)
            properties, values = with_members(properties, added), values | added
        if kind == "identify" and not traits and type(context_values.get("traits")) is dict:
            # RudderStack's SDKs send a person's traits only here.
            within = decode_part(_with_traits_decoder, context_text.encode(), "'context'")
            traits, _ = object_of(within.traits, "context.traits")
        user_id = id_of(item.user_id, "userId", limit)
        anonymous_id = id_of(item.anonymous_id, "anonymousId", limit)
        if not user_id and not anonymous_id:
            raise InvalidRequest("'userId' or 'anonymousId' is required: send at least one of them.")
        group_id = id_of(item.group_id, "groupId", limit)
        previous_id = id_of(item.previous_id, "previousId", limit)
        message_id = id_of(item.message_id, "messageId", limit)
        labels, numbers = labels_and_numbers(values, {})
        at = item.original_timestamp if item.timestamp is None else item.timestamp
        return Event(
            tenant.project,
            tenant.mode,
            NAME,
            _name_of(said, kind, item.event, settings.max_name_chars),
            time_or_receipt(at, context),
            kind,
            user_id=user_id,
            anonymous_id=anonymous_id,
            session_id=text_in(context_values, "sessionId", limit),
            group_id=needed(group_id, "groupId") if kind == "group" else group_id,
            previous_id=needed(previous_id, "previousId") if kind == "alias" else previous_id,
            properties=properties,
            context=context_text,
            traits=traits,
            labels=labels,
            numbers=numbers,
            message_id=message_id,
            sent_at_ms=sent_at_of(item.sent_at) if sent_at_ms is None else sent_at_ms,
        )

    return parse


def _type_of(value: object) -> str:
    if type(value) is str and value in KINDS:
        return value
    raise InvalidRequest(f"'type' must be one of {', '.join(KINDS)}.")


def _name_of(said: str, kind: EventType, value: object, limit: int) -> str:
    if kind == "track":
        return event_name(value, "event", limit)
    return SCREEN if said == "screen" else NAMES[kind]


def render_accepted(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    return accepted({"success": True}, batch)
