"""Mixpanel's updates of people and groups. Translates; never stores.

Source: https://developer.mixpanel.com/reference/user-profiles
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from headrace.dialects.forms import opened_query
from headrace.dialects.mixpanel import MILLISECONDS_FROM, NAME, bare_id, body_parser, is_device, moment_of
from headrace.dialects.sdk import NAMES, id_of, joined, members_of, needed
from headrace.dialects.wire import ABSENT, decode_item, labels_and_numbers, object_of
from headrace.model.batch import Context
from headrace.model.event import Event, EventType


class _Update(
    msgspec.Struct,
    rename={
        "distinct_id": "$distinct_id",
        "group_id": "$group_id",
        "time": "$time",
        "set": "$set",
        "set_once": "$set_once",
    },
    gc=False,
):
    distinct_id: Any = None
    group_id: Any = None
    time: Any = None
    set: msgspec.Raw = ABSENT
    set_once: msgspec.Raw = ABSENT


_update_decoder = msgspec.json.Decoder(_Update)


def _update_parser(kind: EventType) -> Callable[[msgspec.Raw, Context], Event]:
    """A parser for updates of people or groups. The operations become properties, the values that they set become traits."""

    def parse(raw: msgspec.Raw, context: Context) -> Event:
        settings, tenant = context.settings, context.tenant
        limit = settings.max_id_chars
        item = decode_item(_update_decoder, raw, settings)
        field = "$group_id" if kind == "group" else "$distinct_id"
        owner = needed(id_of(item.group_id if kind == "group" else item.distinct_id, field, limit), field)
        traits = next((text for text, values in map(_set_of, (item.set, item.set_once)) if values), "")
        properties = joined({name: value for name, value in members_of(raw).items() if name != "$token"})
        _, values = object_of(msgspec.Raw(properties.encode()), "The update")
        labels, numbers = labels_and_numbers(values, {})
        # Updates have no id, so the same update at the same moment is a repeat. `$time` must be more exact than a second, or two
        # increments within one second would count as one.
        exact = type(item.time) is float or (type(item.time) is int and item.time >= MILLISECONDS_FROM)
        return Event(
            tenant.project,
            tenant.mode,
            NAME,
            NAMES[kind],
            moment_of(item.time, context.now_ms, "$time"),
            kind,
            user_id="" if kind == "group" or is_device(owner) else owner,
            anonymous_id=bare_id(owner) if kind != "group" and is_device(owner) else "",
            group_id=owner if kind == "group" else "",
            properties=properties,
            traits=traits,
            labels=labels,
            numbers=numbers,
            sent_at_ms=context.sent_at_ms,
            message_id=blake2b(properties.encode(), digest_size=16).hexdigest() if exact else "",
        )

    return parse


def _set_of(raw: msgspec.Raw) -> tuple[str, dict[str, Any]]:
    return object_of(raw, "$set")


parse_engage = body_parser(_update_parser("identify"))
parse_engage_query = body_parser(_update_parser("identify"), opened_query)
parse_groups = body_parser(_update_parser("group"))
parse_groups_query = body_parser(_update_parser("group"), opened_query)
