"""Solute's calls outside batches: identify, group and alias. Translates; never stores.

Sources: https://docs.solute.so/backend-api/identify, …/group and …/alias
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec
from msgspec import structs

from headrace.dialects.sdk import NAMES, SpecItem
from headrace.dialects.solute import NAME
from headrace.dialects.wire import decode_item, encode_json, object_of, optional_text, parse_single, required_text
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event
from headrace.model.times import parse_time

Call: TypeAlias = Literal["identify", "group", "alias"]
# The fields that each call requires besides its time, which its reply also shows.
_REQUIRED: dict[Call, tuple[str, ...]] = {
    "identify": ("userId",),
    "group": ("groupId",),
    "alias": ("userId", "previousId"),
}
_item_decoder = msgspec.json.Decoder(SpecItem)


def call_parser(call: Call, /) -> Callable[[bytes, Context], Batch]:
    """A parser for `/api/<call>`, whose body is one event. Without a `messageId` it cannot be deduplicated."""

    def parse_item(raw: msgspec.Raw, context: Context) -> Event:
        settings, tenant = context.settings, context.tenant
        item = decode_item(_item_decoder, raw, settings)

        def text(value: object, field: str) -> str:
            check = required_text if field in _REQUIRED[call] else optional_text
            return check(value, field, settings.max_id_chars)

        if item.timestamp is None:
            raise InvalidRequest("'timestamp' is required: send RFC 3339 such as 2025-01-15T10:30:00Z.")
        traits, _ = object_of(item.traits, "traits")
        context_text, context_values = object_of(item.context, "context")
        session_id = context_values.get("sessionId")
        return Event(
            tenant.project,
            tenant.mode,
            NAME,
            NAMES[call],
            parse_time(item.timestamp),
            call,
            user_id=text(item.user_id, "userId"),
            anonymous_id=text(item.anonymous_id, "anonymousId"),
            session_id=session_id if type(session_id) is str and len(session_id) <= settings.max_id_chars else "",
            group_id=text(item.group_id, "groupId"),
            previous_id=text(item.previous_id, "previousId"),
            context=context_text,
            traits=traits,
            message_id=text(item.message_id, "messageId"),
        )

    def parse(body: bytes, context: Context) -> Batch:
        if (
            context.idempotency_key
        ):  # one key for two calls is no repeat: its reply would lack what the second one requires
            context = structs.replace(context, idempotency_key=f"{call}:{context.idempotency_key}")
        return parse_single(body, parse_item, context)

    return parse


def render_call(call: Call, /) -> Callable[[Batch, list[Receipt]], bytes]:
    """Render the reply, which shows the ids that the call requires; null for those that the first event of a repeat lacks."""

    def render(batch: Batch, _receipts: list[Receipt]) -> bytes:
        event = batch.items[0].event
        ids = {"userId": event.user_id, "groupId": event.group_id, "previousId": event.previous_id}
        return encode_json({"success": True} | {field: ids[field] or None for field in _REQUIRED[call]})

    return render
