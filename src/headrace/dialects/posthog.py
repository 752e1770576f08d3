"""The PostHog dialect: capture. Translates; never stores. posthog_config.py answers the SDKs' other requests.

Source: https://posthog.com/docs/api/capture
"""

from typing import Any

import msgspec
from msgspec import structs

from headrace.dialects.errors import Kind, kind_of
from headrace.dialects.forms import Opener, opened, opened_query, sent_at_in
from headrace.dialects.sdk import (
    MAX_BATCH,
    NAMES,
    SCREEN,
    accepted,
    at_least_one,
    elements_of,
    event_name,
    id_of,
    joined,
    members_of,
    merged,
    needed,
    object_in,
    parse_one_or_many,
    sent_at_of,
    short_text,
    text_in,
    time_or_receipt,
    without_secrets,
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
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import Event, EventType

NAME = "posthog"
MAX_PERSON_CHARS = 200

_KINDS: dict[Kind, tuple[str, str]] = {
    "invalid_request": ("validation_error", "invalid_payload"),
    "unauthorized": ("authentication_error", "invalid_api_key"),
    "forbidden": ("authentication_error", "permission_denied"),
    "not_found": ("invalid_request", "not_found"),
    "method_not_allowed": ("invalid_request", "method_not_allowed"),
    "payload_too_large": ("validation_error", "payload_too_large"),
    "rate_limited": ("throttled_error", "rate_limited"),
    "unavailable": ("server_error", "unavailable"),
}


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    kind, code = _KINDS[kind_of(error)]
    return encode_json({"type": kind, "code": code, "detail": error.message, "attr": None})


_SECRETS = frozenset({"token", "api_key"})  # the properties in which to look for a key

# The types of PostHog's own events. All others are track events with their own names.
_TYPES: dict[str, tuple[EventType, str]] = {
    "$identify": ("identify", NAMES["identify"]),
    "$set": ("identify", NAMES["identify"]),
    "$set_once": ("identify", NAMES["identify"]),
    "$unset": ("identify", NAMES["identify"]),
    "$create_alias": ("alias", NAMES["alias"]),
    "$merge_dangerously": ("alias", NAMES["alias"]),
    "$groupidentify": ("group", NAMES["group"]),
    "$pageview": ("page", NAMES["page"]),
    "$screen": ("page", SCREEN),
}


class _Set(msgspec.Struct, rename={"all": "$set", "once": "$set_once", "group": "$group_set"}):
    all: msgspec.Raw = ABSENT
    once: msgspec.Raw = ABSENT
    group: msgspec.Raw = ABSENT


class _Item(msgspec.Struct, rename={"set": "$set", "set_once": "$set_once"}, gc=False):
    event: Any = None
    distinct_id: Any = None
    properties: msgspec.Raw = ABSENT
    timestamp: Any = None
    offset: Any = None
    uuid: Any = None
    sent_at: Any = None
    set: msgspec.Raw = ABSENT
    set_once: msgspec.Raw = ABSENT


class _Envelope(msgspec.Struct):
    batch: msgspec.Raw = ABSENT
    sent_at: msgspec.Raw = ABSENT


_item_decoder = msgspec.json.Decoder(_Item)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_set_decoder = msgspec.json.Decoder(_Set)


def parse(body: bytes, context: Context, /) -> Batch:
    """`{"batch":[…]}`, an array of events, or one event; each as it is or as a form's `data`."""
    return _parse(body, opened, context)


def parse_query(query: bytes, context: Context, /) -> Batch:
    """The same in the query's `data`."""
    return _parse(query, opened_query, context)


def _parse(body: bytes, opener: Opener, context: Context) -> Batch:
    _, text = opener(body)
    if (sent_at_ms := sent_at_in(context.query)) is not None:
        context = structs.replace(context, sent_at_ms=sent_at_ms)
    return confined(text, lambda text: _parse_text(text, context), "batch")


def _parse_text(text: bytes, context: Context) -> Batch:
    if text.lstrip()[:1] == b"[":
        return parse_one_or_many(text, MAX_BATCH, parse_event, context)
    envelope = decode_part(_envelope_decoder, text, "The body")
    if envelope.batch is ABSENT:
        return parse_single(text, parse_event, context)
    elements = elements_of(envelope.batch, "batch", MAX_BATCH)
    if (sent_at_ms := sent_at_of(short_text(envelope.sent_at))) is not None:
        context = structs.replace(context, sent_at_ms=sent_at_ms)
    return at_least_one(parse_items(elements, parse_event, context))


def parse_event(raw: msgspec.Raw, context: Context, /) -> Event:
    """One event as an SDK sends it. Raises InvalidRequest or the subclass that fits."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    item = decode_item(_item_decoder, raw, settings)
    own_name = event_name(item.event, "event", settings.max_name_chars)
    kind, name = _TYPES.get(own_name, ("track", own_name))
    properties, values = object_of(item.properties, "properties")
    distinct_id = _person_id(item.distinct_id, "distinct_id", limit) or _person_id(
        values.get("distinct_id"), "properties.distinct_id", limit
    )
    if not distinct_id:
        raise InvalidRequest("'distinct_id' is required: send a non-empty string.")
    uuid = id_of(item.uuid, "uuid", limit) or text_in(values, "$insert_id", limit)
    user_id, anonymous_id = _whose(distinct_id, values, limit)
    group_id = previous_id = ""
    if kind == "group":
        group_id = needed(text_in(values, "$group_key", limit), "properties.$group_key")
        if distinct_id == f"${values.get('$group_type')}_{group_id}":
            user_id = anonymous_id = ""  # invented by the SDK, for a group that no particular person identified
    elif kind == "alias":
        alias = needed(_person_id_in(values, "alias", limit), "properties.alias")
        # An alias is the newer name; a merge goes in the other direction. https://posthog.com/docs/product-analytics/identify
        user_id, previous_id = (distinct_id, alias) if own_name == "$merge_dangerously" else (alias, distinct_id)
        anonymous_id = ""
    else:
        group_id = next(
            (text_in(groups, name, limit) for groups in (object_in(values, "$groups"),) for name in groups), ""
        )
    traits = _traits_of(kind, item, properties, values)
    properties, values = _with_sets_beside(item, properties, values)
    properties, values = without_secrets(properties, values, _SECRETS)
    labels, numbers = labels_and_numbers(values, {})
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        _time_of(item, context),
        kind,
        user_id=user_id,
        anonymous_id=anonymous_id,
        session_id=text_in(values, "$session_id", limit),
        group_id=group_id,
        previous_id=previous_id,
        properties=properties,
        traits=traits,
        labels=labels,
        numbers=numbers,
        message_id=uuid,
        sent_at_ms=context.sent_at_ms if (sent_at_ms := sent_at_of(item.sent_at)) is None else sent_at_ms,
    )


def _with_sets_beside(item: _Item, properties: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The properties, including what the event sets on its person beside them, where PostHog puts it as well."""
    beside = {"$set": item.set, "$set_once": item.set_once}
    given = {name: raw for name, raw in beside.items() if object_of(raw, name)[1]}
    if not given:
        return properties, values
    members = members_of(properties.encode()) if values else {}
    for name, raw in given.items():
        held = members.get(name, ABSENT)
        members[name] = msgspec.Raw(
            merged(held if type(values.get(name)) is dict else ABSENT, raw, field=name).encode()
        )
    text = joined(members)
    return text, object_of(msgspec.Raw(text.encode()), "properties")[1]


def _person_id(value: object, field: str, limit: int) -> str:
    """A distinct id, truncated as PostHog does, so that an event is not lost because of a long one.

    Source: https://github.com/PostHog/posthog/blob/master/rust/capture/src/v0_request.rs (extract_distinct_id)
    """
    if type(value) is str:
        value = value[: min(MAX_PERSON_CHARS, limit)]
    return id_of(value, field, limit)


def _whose(distinct_id: str, values: dict[str, Any], limit: int) -> tuple[str, str]:
    """(user id, anonymous id). A distinct id is anonymous until its person is identified; the SDKs say which it is."""
    device_id = _person_id_in(values, "$device_id", limit)
    if (
        values.get("$is_identified") is False
        or values.get("$process_person_profile") is False
        or distinct_id == device_id
    ):
        return "", distinct_id
    before = _person_id_in(values, "$anon_distinct_id", limit) or device_id
    return distinct_id, "" if before == distinct_id else before


def _person_id_in(values: dict[str, Any], field: str, limit: int) -> str:
    """A member that may be a distinct id, truncated like one; "" if there is none."""
    value = values.get(field)
    return text_in({field: value[: min(MAX_PERSON_CHARS, limit)] if type(value) is str else value}, field, limit)


def _time_of(item: _Item, context: Context) -> int:
    """The event's time. `offset`: milliseconds between the event and its sending, which posthog-js sends with retries."""
    offset, now_ms = item.offset, context.now_ms
    if item.timestamp is None and (type(offset) is int or type(offset) is float) and 0 <= offset <= now_ms:
        return now_ms - int(offset)
    return time_or_receipt(item.timestamp, context)


def _traits_of(kind: EventType, item: _Item, properties: str, values: dict[str, Any]) -> str:
    """The traits that the event sets on its person or, if it identifies a group, on the group."""
    inner = _Set()
    if "$set" in values or "$set_once" in values or "$group_set" in values:
        inner = decode_part(_set_decoder, properties.encode(), "'properties'")
    if kind == "group":
        return merged(inner.group, field="$group_set")
    return merged(inner.once, item.set_once, inner.all, item.set, field="$set")


def render_accepted(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    return accepted({"status": 1}, batch)
