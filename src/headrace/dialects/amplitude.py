"""The Amplitude dialect: its HTTP V2 and batch upload. Translates; never stores.

Amplitude accepts all of a request or nothing, and says which events were invalid; its SDKs then drop those and resend the
others. We do the same: valid events beside an invalid one are not stored, so the SDK's retry neither loses nor doubles them.
The exception is a beacon, whose sender never sees the response: its valid events are stored.

Sources: https://amplitude.com/docs/apis/analytics/http-v2 and https://amplitude.com/docs/apis/analytics/batch-event-upload
"""

import re
from typing import Any, cast

import msgspec
from msgspec import structs

from headrace.dialects.route import Dialect, Ingest, Limit, Route
from headrace.dialects.sdk import (
    NAMES,
    SCREEN,
    accepted,
    elements_of,
    event_name,
    id_of,
    joined,
    key_of,
    members_of,
    merged,
    named,
    number_in,
    sent_at_of,
    short_text,
    text_in,
    time_of,
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
)
from headrace.model import errors
from headrace.model.batch import Batch, Context, Rejection
from headrace.model.entries import Receipt
from headrace.model.errors import EventsRejected, HeadraceError, InvalidRequest, PayloadTooLarge
from headrace.model.event import Event, EventType

NAME = "amplitude"
MAX_BATCH = 2000  # https://amplitude.com/docs/apis/analytics/batch-event-upload


def render_error(error: HeadraceError, status: int, /) -> bytes:
    reply: dict[str, object] = {"code": status, "error": _prefixed(error)}
    if isinstance(error, EventsRejected):
        missing: dict[str, list[int]] = {}
        invalid: dict[str, list[int]] = {}
        for index, message in error.events:
            by_field = missing if "is required" in message else invalid
            by_field.setdefault(_field_in(message), []).append(index)
        reply["events_with_missing_fields"] = missing
        reply["events_with_invalid_fields"] = invalid
    return encode_json(reply)


def _prefixed(error: HeadraceError) -> str:
    """The SDKs recognise a wrong key by the beginning of the error message, and then give up."""
    return f"Invalid API key: {error.message}" if isinstance(error, errors.Unauthorized) else error.message


_QUOTED = re.compile(r"'([^']{1,80})'")


def _field_in(message: str) -> str:
    """The field that a message begins with. Every message about a field begins with it."""
    match = _QUOTED.match(message)
    return match[1] if match else "event"


_TYPES: dict[str, tuple[EventType, str]] = {
    "$identify": ("identify", NAMES["identify"]),
    "$groupidentify": ("group", NAMES["group"]),
    "[Amplitude] Page Viewed": ("page", NAMES["page"]),
    "[Amplitude] Screen Viewed": ("page", SCREEN),
}


class _Item(msgspec.Struct, gc=False):
    event_type: Any = None
    user_id: Any = None
    device_id: Any = None
    time: Any = None
    event_properties: msgspec.Raw = ABSENT
    user_properties: msgspec.Raw = ABSENT
    group_properties: msgspec.Raw = ABSENT
    groups: Any = None
    insert_id: Any = None
    session_id: Any = None
    price: Any = None
    quantity: Any = None
    revenue: Any = None
    productId: Any = None  # noqa: N815  the field's name on the wire
    revenueType: Any = None  # noqa: N815  the field's name on the wire


_READ = frozenset(_Item.__struct_fields__) - {"user_properties", "group_properties", "groups"} | {"api_key"}
_AMOUNTS = frozenset({"price", "quantity", "revenue"})
_SALE = ("price", "quantity", "revenue", "productId", "revenueType")


class _Envelope(msgspec.Struct):
    api_key: msgspec.Raw = ABSENT
    events: msgspec.Raw = ABSENT
    batch: msgspec.Raw = ABSENT
    client_upload_time: msgspec.Raw = ABSENT


class _Set(msgspec.Struct, rename={"all": "$set", "once": "$setOnce"}):
    all: msgspec.Raw = ABSENT
    once: msgspec.Raw = ABSENT


_ARRAYS = ("events", "batch")  # the second is PostHog's, see `claims`
_item_decoder = msgspec.json.Decoder(_Item)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_set_decoder = msgspec.json.Decoder(_Set)


class Upload(Batch, frozen=True):
    """A batch with the size of its body in bytes, which the reply repeats."""

    size: int = 0
    now_ms: int = 0


def claims(body: bytes, /) -> bool:
    """Whether a body sent to `/batch`, which PostHog uses too, is Amplitude's: its events are in `events`."""
    try:
        envelope = confined(body, _envelope, *_ARRAYS)
    except InvalidRequest:
        return False
    return envelope.events is not ABSENT and envelope.batch is ABSENT


def find_key(body: bytes, /) -> str:
    key = confined(body, lambda text: short_text(_envelope(text).api_key), *_ARRAYS)
    return key_of([key], "send it as 'api_key' in the body.")


def _envelope(text: bytes) -> _Envelope:
    return decode_part(_envelope_decoder, text, "The body")


def parse(body: bytes, context: Context, /) -> Upload:
    """Raises EventsRejected if any event is invalid, PayloadTooLarge if the only event is too large."""

    def parse_text(text: bytes) -> Batch:
        envelope = _envelope(text)
        sent = structs.replace(context, sent_at_ms=sent_at_of(short_text(envelope.client_upload_time)))
        return parse_items(elements_of(envelope.events, "events", MAX_BATCH), parse_event, sent)

    batch = confined(body, parse_text, *_ARRAYS)
    if batch.rejections and not (batch.items and _is_beacon(context)):
        raise _refusal(batch.rejections, len(batch.items))
    return Upload(batch.items, batch.rejections, len(body), context.now_ms)


def _is_beacon(context: Context) -> bool:
    """Whether a page that is being left sent this, as plain text: nobody will read the response and resend the valid events.

    Source: https://w3c.github.io/beacon/#sec-processing-model (a string is sent as text/plain)
    """
    return any(name == "content-type" and value.startswith("text/plain") for name, value in context.headers)


def _refusal(rejections: list[Rejection], good: int) -> HeadraceError:
    first = rejections[0]
    if isinstance(first.error, PayloadTooLarge) and len(rejections) == 1 and not good:
        return named(first)
    message = (
        f"{len(rejections)} of {len(rejections) + good} events are wrong, and none was stored; "
        f"the first is event {first.index}: {first.error.message}"
    )
    return EventsRejected(message, [(each.index, each.error.message) for each in rejections])


def parse_event(raw: msgspec.Raw, context: Context, /) -> Event:
    """One event as an SDK sends it. Raises InvalidRequest or the subclass that fits."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    item = decode_item(_item_decoder, raw, settings)
    own_name = event_name(item.event_type, "event_type", settings.max_name_chars)
    kind, name = _TYPES.get(own_name, ("track", own_name))
    user_id = id_of(item.user_id, "user_id", limit)
    device_id = id_of(item.device_id, "device_id", limit)
    if not user_id and not device_id:
        raise InvalidRequest("'user_id' is required, or 'device_id': send at least one of them.")
    insert_id = id_of(item.insert_id, "insert_id", limit)
    properties, values = object_of(item.event_properties, "event_properties")
    sale: dict[str, Any] = {
        field: number_in(value) if field in _AMOUNTS else value
        for field in _SALE
        if (value := getattr(item, field)) is not None and field not in values
    }
    properties, values = with_members(properties, sale), values | sale
    labels, numbers = labels_and_numbers(values, {})
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        time_of(item.time, context.now_ms, "time", unit_ms=1),
        kind,
        user_id=user_id,
        anonymous_id=device_id,
        session_id="" if item.session_id == -1 else id_of(item.session_id, "session_id", limit),
        group_id=_group_in(item.groups, limit),
        properties=properties,
        context=_rest_of(raw),
        traits=_traits_of(
            *(
                (item.group_properties, "group_properties")
                if kind == "group"
                else (item.user_properties, "user_properties")
            )
        ),
        labels=labels,
        numbers=numbers,
        message_id=insert_id,
        sent_at_ms=context.sent_at_ms,
    )


def _group_in(groups: object, limit: int) -> str:
    """The first of `{"company": "acme"}` or `{"company": ["acme", …]}`."""
    if type(groups) is not dict:
        return ""
    value: object = next(iter(cast("dict[str, Any]", groups).values()), None)
    if type(value) is list:
        value = next(iter(cast("list[Any]", value)), None)
    return text_in({"group": value}, "group", limit)


def _traits_of(raw: msgspec.Raw, field: str) -> str:
    """The traits that the event sets on the person or group. Operations on existing values are not traits."""
    traits, values = object_of(raw, field)
    if not any(name.startswith("$") for name in values):
        return traits if values else ""
    operations = decode_part(_set_decoder, traits.encode(), f"'{field}'")
    return merged(operations.once, operations.all, field=f"{field}.$set")


def _rest_of(raw: msgspec.Raw) -> str:
    """The context: all fields without a column, such as platform and versions, byte for byte."""
    return joined({name: value for name, value in members_of(raw).items() if name not in _READ})


def render_accepted(batch: Batch, receipts: list[Receipt], /) -> bytes:
    upload = batch if isinstance(batch, Upload) else Upload(batch.items)
    reply: dict[str, object] = {
        "code": 200,
        "events_ingested": len(receipts),
        "payload_size_bytes": upload.size,
        "server_upload_time": upload.now_ms,
    }
    return accepted(reply, upload)


_TAKES = Ingest(parse, render_accepted, find_key=find_key, whole=True)
DIALECT = Dialect(
    NAME,
    render_error,
    (
        Route("POST", "/2/httpapi", "ingest", "amplitude", _TAKES),
        Route("POST", "/batch", "ingest", "amplitude", structs.replace(_TAKES, claims=claims)),
    ),
    limits=(Limit("amplitude", "Amplitude"),),
    prefixes=("/2",),
    about_people=True,
)
