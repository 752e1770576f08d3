"""Hogsend's data plane, which accepts single events. Translates; never stores.

Source: https://hogsend.com/docs/data-api/events
"""

from typing import Any

import msgspec

from headrace.dialects.hogsend import NAME
from headrace.dialects.sdk import joined, number_in, time_of, with_members
from headrace.dialects.wire import (
    ABSENT,
    decode_item,
    encode_json,
    labels_and_numbers,
    name_of,
    number_of,
    object_of,
    optional_text,
    parse_single,
)
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event


class _Item(msgspec.Struct, rename="camel", gc=False):
    name: Any = None
    email: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    event_properties: msgspec.Raw = ABSENT
    properties: msgspec.Raw = ABSENT
    contact_properties: msgspec.Raw = ABSENT
    lists: msgspec.Raw = ABSENT
    idempotency_key: Any = None
    timestamp: Any = None
    value: Any = None
    currency: Any = None
    groups: msgspec.Raw = ABSENT


_item_decoder = msgspec.json.Decoder(_Item)


def parse_event(body: bytes, context: Context, /) -> Batch:
    return parse_single(body, _parse_item, context)


def _parse_item(raw: msgspec.Raw, context: Context) -> Event:
    """Properties of the contact become traits. An event with only an email belongs to the user with that email as id."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    item = decode_item(_item_decoder, raw, settings)
    name = name_of(item.name, "name", settings.max_name_chars)
    email = optional_text(item.email, "email", limit).strip().lower()
    user_id = optional_text(item.user_id, "userId", limit) or email
    anonymous_id = optional_text(item.anonymous_id, "anonymousId", limit)
    if not user_id and not anonymous_id:
        raise InvalidRequest("'email' or 'userId' is required: send one of them.")
    sent_as = "eventProperties" if item.event_properties is not ABSENT else "properties"
    properties, values = object_of(
        item.event_properties if item.event_properties is not ABSENT else item.properties, sent_as
    )
    traits, contact = object_of(item.contact_properties, "contactProperties")
    lists, memberships = object_of(item.lists, "lists")
    groups, of_groups = object_of(item.groups, "groups")
    currency = optional_text(item.currency, "currency", limit)
    kept = {"lists": lists if memberships else "", "groups": groups if of_groups else ""}
    kept["currency"] = encode_json(currency).decode() if currency else ""
    labels, numbers = labels_and_numbers(values, {})
    key = optional_text(item.idempotency_key, "idempotencyKey", limit)
    traits = with_members(traits, {"email": email} if email and "email" not in contact else {})
    if of_groups and not traits:
        traits = "{}"  # marks the event as saying something about a person
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        context.now_ms if item.timestamp is None else time_of(item.timestamp, context.now_ms),
        user_id=user_id,
        anonymous_id=anonymous_id,
        properties=properties,
        value=number_of(number_in(item.value), "value"),
        context=joined({name: msgspec.Raw(text.encode()) for name, text in kept.items() if text}),
        traits=traits,
        labels=labels,
        numbers=numbers,
        message_id=key,
    )


def render_stored(batch: Batch, receipts: list[Receipt], /) -> bytes:
    """`exits` would list exits from Hogsend's own journeys, which this server does not run. Lists stay with the event."""
    event = batch.items[0].event
    reply: dict[str, object] = {
        "stored": not receipts[0].duplicate,
        "exits": [],
        "contactKey": event.user_id or event.anonymous_id,
    }
    if '"lists":' in event.context:
        reply["listsError"] = "The lists are stored with the event; this server does not manage memberships."
    return encode_json(reply)
