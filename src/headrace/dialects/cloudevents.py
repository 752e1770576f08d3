"""The CloudEvents 1.0 dialect: structured, batched and binary over HTTP. Translates; never stores.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md and
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote

import msgspec

from headrace.dialects.route import Dialect, Head, Ingest, Limit, Route
from headrace.dialects.sdk import (
    NAMES,
    SCREEN,
    event_name,
    id_of,
    joined,
    members_of,
    parse_one_or_many,
    text_in,
)
from headrace.dialects.wire import (
    ABSENT,
    confined,
    decode_item,
    decode_part,
    encode_json,
    is_empty_array,
    labels_and_numbers,
    object_of,
    parse_single,
    required_text,
)
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import Event, EventType
from headrace.model.times import parse_time

NAME = "cloudevents"
MAX_BATCH = 1000
MAX_SOURCE_CHARS = 1000


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    return encode_json({"error": error.message})


# A CloudEvents type that equals one of the store's type names becomes that type of event.
_KINDS: dict[str, EventType] = {SCREEN: "page"}
_KINDS.update((name, kind) for kind, name in NAMES.items())


class _Item(msgspec.Struct, gc=False):
    specversion: Any = None
    id: Any = None
    source: Any = None
    type: Any = None
    time: Any = None
    subject: Any = None
    data: msgspec.Raw = ABSENT
    data_base64: Any = None
    userid: Any = None
    anonymousid: Any = None
    sessionid: Any = None
    groupid: Any = None
    previousid: Any = None


_item_decoder = msgspec.json.Decoder(_Item)
_any_decoder = msgspec.json.Decoder(msgspec.Raw)
_DATA = frozenset({"data", "data_base64"})


def parse(body: bytes, context: Context, /) -> Batch:
    """Parse a binary event (if `ce-` headers and the content type say so), a JSON event, or a JSON batch."""
    attributes = {name[3:]: _unescaped(value) for name, value in context.headers if name.startswith("ce-")}
    content_type = next((value for name, value in context.headers if name == "content-type"), "")
    if attributes and not content_type.lower().startswith("application/cloudevents"):
        return parse_single(_structured(attributes, content_type, body), _parse_item, context)
    if is_empty_array(body):  # a batch may be empty: the JSON format, section 4
        return Batch([])
    return confined(body, lambda text: parse_one_or_many(text, MAX_BATCH, _parse_item, context), bare=True)


_QUOTED_PAIR = re.compile(r"\\(.)")


def _unescaped(value: str) -> str:
    """A header's value: without the quotes of a quoted string (RFC 9110 §5.6.4), and then percent-decoded once.

    Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    return unquote(value)


def _structured(attributes: dict[str, str], content_type: str, body: bytes) -> bytes:
    """The structured form of a binary event. Raises InvalidRequest if the data does not match its content type."""
    if not body:
        return encode_json(attributes)
    members: dict[str, object] = {**attributes}
    if content_type:
        members["datacontenttype"] = content_type
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("", "application/json", "text/json") or media_type.endswith("+json"):
        members["data"] = _json_of(body)
    else:
        try:
            members["data"] = body.decode()
        except UnicodeDecodeError:
            members["data_base64"] = b64encode(body).decode()
    return encode_json(members)


def _json_of(body: bytes) -> object:
    """Data declared as JSON. Words without quotes are a string, because the JavaScript SDK sends strings so. Raises
    InvalidRequest.

    Source: https://github.com/cloudevents/sdk-javascript/blob/main/src/message/http/index.ts (binary)
    """
    try:
        return confined(body, lambda text: decode_part(_any_decoder, text, "The data"))
    except InvalidRequest:
        words = body.decode(errors="replace").lstrip()
        if not words[:1].isalpha() or "\ufffd" in words or words in ("NaN", "Infinity"):
            raise
        return words


def _parse_item(raw: msgspec.Raw, context: Context) -> Event:
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    item = decode_item(_item_decoder, raw, settings)
    if type(item.specversion) is not str or not item.specversion.startswith("1."):
        raise InvalidRequest("'specversion' must be \"1.0\".")
    event_id = required_text(item.id, "id", limit)
    required_text(item.source, "source", MAX_SOURCE_CHARS)
    name = event_name(item.type, "type", settings.max_name_chars)
    kind = _KINDS.get(name, "track")
    properties, values = _data_of(item)
    group_id, previous_id = id_of(item.groupid, "groupid", limit), id_of(item.previousid, "previousid", limit)
    if kind == "group" and not group_id:
        raise InvalidRequest(f"The extension 'groupid' is required for type {name}.")
    if kind == "alias" and not previous_id:
        raise InvalidRequest(f"The extension 'previousid' is required for type {name}.")
    labels, numbers = labels_and_numbers(values, {})
    is_profile = kind in ("identify", "group")
    return Event(
        tenant.project,
        tenant.mode,
        NAME,
        name,
        # The spec demands RFC 3339, so unlike the other SDK dialects this one accepts no other form.
        context.now_ms if item.time is None or item.time == "" else parse_time(item.time, "time"),
        kind,
        user_id=id_of(item.userid, "userid", limit) or text_in({"subject": item.subject}, "subject", limit),
        anonymous_id=id_of(item.anonymousid, "anonymousid", limit),
        session_id=id_of(item.sessionid, "sessionid", limit),
        group_id=group_id,
        previous_id=previous_id,
        properties="" if is_profile else properties,
        context=joined({name: value for name, value in members_of(raw).items() if name not in _DATA}),
        traits=properties if is_profile else "",
        labels={} if is_profile else labels,
        numbers={} if is_profile else numbers,
        message_id=event_id,
    )


def _data_of(item: _Item) -> tuple[str, dict[str, Any]]:
    """The data as an object. Anything else becomes the only member of one."""
    if item.data_base64 is not None:
        members = {"data_base64": required_text(item.data_base64, "data_base64", 1 << 30)}
        return encode_json(members).decode(), members
    if item.data is ABSENT or bytes(item.data).lstrip()[:1] in (b"{", b"n"):
        return object_of(item.data, "data")
    wrapped = msgspec.Raw(b'{"data":%b}' % bytes(item.data))
    return object_of(wrapped, "data")


def render_accepted(batch: Batch, _receipts: list[Receipt], /) -> bytes:
    reply: dict[str, object] = {"accepted": len(batch.items), "rejected": len(batch.rejections)}
    if batch.rejections:
        reply["errors"] = [{"index": each.index, "error": each.error.message} for each in batch.rejections]
    return encode_json(reply)


def claims(head: Head, /) -> bool:
    """Whether a request declares CloudEvents, by its media type or by attributes in its headers."""
    for name, value in head:  # not a generator, because every Flux event passes here
        if name == b"content-type":
            if value[:23].lower() == b"application/cloudevents":
                return True
        elif name[:3] == b"ce-":
            return True
    return False


def status_at_openmeters(batch: Batch, /) -> int:
    """OpenMeter's clients accept only 204 as a success. Any other status tells them at least that something failed."""
    return 202 if batch.rejections else 204


def render_at_openmeters(batch: Batch, receipts: list[Receipt], /) -> bytes:
    return render_accepted(batch, receipts) if batch.rejections else b""


DIALECT = Dialect(
    NAME,
    render_error,
    (
        Route(
            "POST",
            "/v1/cloudevents",
            "ingest",
            "cloudevents",
            Ingest(parse, render_accepted, whole=True, grants_webhooks=True),
            202,
        ),
        # Flux's path, and OpenMeter's: https://openmeter.io/docs/metering/events/overview
        Route(
            "POST",
            "/api/v1/events",
            "ingest",
            "cloudevents",
            Ingest(
                parse,
                render_at_openmeters,
                status_of=status_at_openmeters,
                claims_head=claims,
                whole=True,
                grants_webhooks=True,
            ),
            204,
        ),
    ),
    limits=(Limit("cloudevents", "CloudEvents"),),
)
