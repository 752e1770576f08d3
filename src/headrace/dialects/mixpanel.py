"""The Mixpanel dialect: events and imports. Translates; never stores. Updates of people and groups: mixpanel_profiles.py.

Sources: https://developer.mixpanel.com/reference/track-event and https://developer.mixpanel.com/reference/import-events
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl

import msgspec
from msgspec import structs

from headrace.dialects.forms import Opener, fields_of, opened, opened_query, sent_at_in
from headrace.dialects.pixels import GIF, GIF_TYPE
from headrace.dialects.sdk import (
    NAMES,
    accepted,
    at_least_one,
    elements_of,
    event_name,
    first_text,
    id_of,
    key_of,
    needed,
    readable,
    short_text,
    text_in,
    time_of,
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
)
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import Event, EventType

NAME = "mixpanel"
MAX_BATCH = 2000  # https://developer.mixpanel.com/reference/import-events


def render_error(error: HeadraceError, status: int, /) -> bytes:
    """The SDKs check `error`, and `status`, which must be 1 for success."""
    return encode_json({"code": status, "status": 0, "error": error.message})


_TYPES: dict[str, tuple[EventType, str]] = {
    "$identify": ("identify", NAMES["identify"]),
    "$create_alias": ("alias", NAMES["alias"]),
    "$merge": ("alias", NAMES["alias"]),
    "$mp_web_page_view": ("page", NAMES["page"]),
}
_DEVICE = "$device:"
MILLISECONDS_FROM = 100_000_000_000  # a number this large is in milliseconds: in seconds it would be in the year 5138


class _Item(msgspec.Struct, gc=False):
    event: Any = None
    properties: msgspec.Raw = ABSENT


class _Keyed(msgspec.Struct, rename={"own_token": "$token"}):
    token: msgspec.Raw = ABSENT
    own_token: msgspec.Raw = ABSENT
    properties: msgspec.Raw = ABSENT


_BETWEEN_LINES = re.compile(rb"\}[ \t\r]*\n\s*\{")
_document_decoder = msgspec.json.Decoder(msgspec.Raw)
_item_decoder = msgspec.json.Decoder(_Item)
_keyed_decoder = msgspec.json.Decoder(_Keyed)


class Sent(Batch, frozen=True):
    """A batch with the form in which its client wants the answer.

    verbose: answer with an object, not with a bare 1. strict: answer 400 if part of an import failed.
    image: answer with a pixel. callback: answer with a script that calls this function.
    """

    verbose: bool = False
    image: bool = False
    callback: str = ""
    imported: bool = False
    strict: bool = False


def find_key(body: bytes, /) -> str:
    """The key: the events' project token. Raises MissingKey, InvalidRequest."""
    return _find_key(body, opened)


def find_key_in_query(query: bytes, /) -> str:
    """The token of an event sent by GET. Raises MissingKey, InvalidRequest."""
    return _find_key(query, opened_query) if "data" in fields_of(query) else key_of([], _NO_KEY)


_NO_KEY = "No project token: send it as 'token' in the properties, '$token' in an update, or by HTTP Basic."


def _find_key(body: bytes, opener: Opener) -> str:
    form, text = opener(body)
    keys = confined(text, _keys_in, lines=True)
    return key_of(keys if any(keys) else [form.get("api_key")], _NO_KEY)


def _keys_in(text: bytes) -> list[str]:
    return [_key_in(keyed) for keyed in readable(_keyed_decoder, _elements(text))]


def _key_in(keyed: _Keyed) -> str:
    inner = next(readable(_keyed_decoder, [keyed.properties]), keyed)
    return first_text(*map(short_text, (keyed.own_token, inner.own_token, inner.token)))


def _elements(text: bytes) -> Sequence[msgspec.Raw]:
    """An array's elements, lines of JSON, or the one document. Raises InvalidRequest."""
    if text.lstrip()[:1] == b"[":
        return elements_of(text, "The body", MAX_BATCH)
    # JSON strings contain no bare line breaks, so these braces separate two documents. https://github.com/ndjson/ndjson-spec
    joined_lines, breaks = _BETWEEN_LINES.subn(b"},{", text)
    if breaks:
        return elements_of(b"[%b]" % joined_lines, "The body", MAX_BATCH)
    return [decode_part(_document_decoder, text, "The body")]


def body_parser(
    parse_item: Callable[[msgspec.Raw, Context], Event], opener: Opener = opened, *, imported: bool = False
) -> Callable[[bytes, Context], Sent]:
    """A parser for bodies whose elements `parse_item` parses. imported: whether it is an import and not a track call.

    opener: `opened_query` makes it a parser for queries.
    """

    def parse(body: bytes, context: Context) -> Sent:
        form, text = opener(body)
        wishes = dict(parse_qsl(context.query)) | form
        callback = _callback_in(wishes)
        context = structs.replace(context, sent_at_ms=sent_at_in(context.query))
        batch = confined(text, lambda text: at_least_one(parse_items(_elements(text), parse_item, context)), lines=True)
        return Sent(
            batch.items,
            batch.rejections,
            verbose=wishes.get("verbose") == "1",
            image=wishes.get("img") == "1",
            callback=callback,
            imported=imported and not form,
            strict=wishes.get("strict") != "0",
        )

    return parse


# mixpanel-browser's default, if its caller gave none: https://github.com/mixpanel/mixpanel-js (_send_request)
_NO_CALLBACK = "(function(){})"
_CALLBACK = re.compile(r"[A-Za-z_$][\w$]{0,99}(?:\.[A-Za-z_$][\w$]{0,99}){0,9}", re.ASCII)


def _callback_in(wishes: Mapping[str, str]) -> str:
    """The function that the reply's script should call. Raises InvalidRequest, also for options that are not supported."""
    if wishes.get("redirect"):
        raise InvalidRequest("'redirect' is not supported, because it could lead visitors to any site: omit it.")
    callback = wishes.get("callback", "")
    if callback and callback != _NO_CALLBACK and not _CALLBACK.fullmatch(callback):
        raise InvalidRequest("'callback' must be the name of a function, such as mixpanel.done.")
    return callback


def parse_event(raw: msgspec.Raw, context: Context, /) -> Event:
    """One event as an SDK sends it. Raises InvalidRequest or the subclass that fits."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    item = decode_item(_item_decoder, raw, settings)
    own_name = event_name(item.event, "event", settings.max_name_chars)
    kind, name = _TYPES.get(own_name, ("track", own_name))
    properties, values = object_of(item.properties, "properties")
    distinct_id = id_of(values.get("distinct_id"), "properties.distinct_id", limit)
    insert_id = id_of(values.get("$insert_id"), "properties.$insert_id", limit)
    user_id, anonymous_id = _whose(distinct_id, values, limit)
    previous_id = ""
    if own_name == "$create_alias":
        user_id, previous_id = (
            needed(text_in(values, "alias", limit), "properties.alias"),
            bare_id(needed(distinct_id, "properties.distinct_id")),
        )
    elif own_name == "$merge":
        user_id, previous_id = _merged(values.get("$distinct_ids"), limit)
    elif own_name == "$identify":
        user_id = text_in(values, "$identified_id", limit) or user_id
        anonymous_id = bare_id(text_in(values, "$anon_id", limit)) or anonymous_id
    properties, values = without_secrets(properties, values)
    labels, numbers = labels_and_numbers(values, {})
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        moment_of(values.get("time"), context.now_ms, "properties.time"),
        kind,
        user_id=user_id,
        anonymous_id=anonymous_id if kind != "alias" else "",
        session_id=text_in(values, "$session_id", limit),
        previous_id=previous_id,
        properties=properties,
        labels=labels,
        numbers=numbers,
        message_id=insert_id,
        sent_at_ms=context.sent_at_ms,
    )


def _whose(distinct_id: str, values: dict[str, Any], limit: int) -> tuple[str, str]:
    """(user id, anonymous id). Source: https://docs.mixpanel.com/docs/tracking-methods/id-management"""
    user_id = text_in(values, "$user_id", limit)
    device_id = text_in(values, "$device_id", limit)
    if not user_id and is_device(distinct_id):
        return "", device_id or bare_id(distinct_id)
    if not user_id and distinct_id == device_id:
        return "", device_id
    user_id = user_id or distinct_id
    return user_id, "" if device_id == user_id else device_id


def is_device(distinct_id: str, /) -> bool:
    """Whether the SDKs made this id from an anonymous visitor's device id."""
    return distinct_id.startswith(_DEVICE)


def bare_id(distinct_id: str, /) -> str:
    """An id as it appears in `$device_id`."""
    return distinct_id.removeprefix(_DEVICE)


def _merged(ids: object, limit: int) -> tuple[str, str]:
    pair = cast("list[object]", ids) if type(ids) is list else []
    if len(pair) != 2:
        raise InvalidRequest("'properties.$distinct_ids' is required: send an array of two ids.")
    kept, other = (needed(id_of(each, "properties.$distinct_ids", limit), "properties.$distinct_ids") for each in pair)
    return kept, bare_id(other)


def moment_of(value: object, now_ms: int, field: str, /) -> int:
    """Seconds or milliseconds since 1970, or text."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    large = (type(value) is int or type(value) is float) and value >= MILLISECONDS_FROM
    return time_of(value, now_ms, field, unit_ms=1 if large else 1000)


parse_track = body_parser(parse_event)
parse_track_query = body_parser(parse_event, opened_query)
parse_import = body_parser(parse_event, imported=True)


def failed(batch: Batch, /) -> bool:
    """Whether the reply reports that part of the request failed, as a strict import's does."""
    return isinstance(batch, Sent) and batch.imported and batch.strict and bool(batch.rejections)


def media_type_of(batch: Batch, /) -> str:
    """The reply's media type; "" means JSON."""
    if not isinstance(batch, Sent):
        return ""
    return GIF_TYPE if batch.image else "text/javascript" if batch.callback else ""


def render_accepted(batch: Batch, receipts: list[Receipt], /) -> bytes:
    sent = batch if isinstance(batch, Sent) else Sent(batch.items, batch.rejections)
    if sent.image:
        return GIF
    reply = _render_reply(sent, receipts)
    return b"%b(%b);" % (sent.callback.encode(), reply) if sent.callback else reply


def _render_reply(sent: Sent, receipts: list[Receipt]) -> bytes:
    if not sent.imported:
        return accepted({"status": 1, "error": None}, sent) if sent.verbose else b"1"
    reply: dict[str, object] = {
        "code": 400 if failed(sent) else 200,
        "num_records_imported": len(receipts),
        "status": "Bad Request" if failed(sent) else "OK",
    }
    if sent.rejections:
        reply["error"] = "some data points in the request failed validation"
        reply["failed_records"] = [{"index": each.index, "message": each.error.message} for each in sent.rejections]
    return encode_json(reply)
