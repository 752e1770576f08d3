"""Shared by the dialects of other vendors' SDKs: names, ids that may be numbers, keys in bodies. Pure.

JSON inside forms and query strings: forms.py.

SDKs pass on what their users gave them, so these dialects are more tolerant than ours. They also drop events that are answered
with 4xx, so an invalid event never costs the valid ones beside it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from headrace.dialects.wire import (
    ABSENT,
    array_of,
    decode_part,
    encode_json,
    object_of,
    optional_text,
    parse_items,
    parse_single,
)
from headrace.model.batch import Batch, Context, Rejection
from headrace.model.errors import (
    BatchTooLarge,
    HeadraceError,
    InvalidRequest,
    InvalidTimestamp,
    MissingKey,
    MissingName,
    PayloadTooLarge,
)
from headrace.model.event import Event, EventType
from headrace.model.printed_times import printed_time
from headrace.model.times import EARLIEST_MS, LATEST_MS, parse_time

# The names under which events other than track events are stored.
NAMES: dict[EventType, str] = {
    "page": "page.viewed",
    "identify": "user.identified",
    "group": "group.identified",
    "alias": "user.aliased",
}
SCREEN = "screen.viewed"  # for the type page
MAX_BATCH = 2500

Part = TypeVar("Part")


class SpecItem(msgspec.Struct, rename="camel", gc=False):
    """An event as Segment's spec defines it, which Solute's SDK uses too. Unchecked."""

    type: Any = None
    timestamp: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    message_id: Any = None
    context: msgspec.Raw = ABSENT
    event: Any = None
    properties: msgspec.Raw = ABSENT
    traits: msgspec.Raw = ABSENT
    name: Any = None
    category: Any = None
    group_id: Any = None
    previous_id: Any = None


_MAX_SHORT_BYTES = 2048
_MAX_DIGITS = 16
_text_decoder = msgspec.json.Decoder(str)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SECRETS = frozenset({"token"})  # because SDKs repeat the key in each event's properties


def elements_of(raw: bytes | msgspec.Raw, field: str, limit: int, /) -> Sequence[msgspec.Raw]:
    """A batch's events. More than `limit` raise PayloadTooLarge, on which some SDKs send halves; on 400 all SDKs drop it."""
    try:
        return array_of(raw, field, limit)
    except BatchTooLarge as error:
        raise PayloadTooLarge(error.message) from None


def parse_one_or_many(
    text: bytes, limit: int, parse_item: Callable[[msgspec.Raw, Context], Event], context: Context, /
) -> Batch:
    """Parse a body that is one event or an array of events."""
    if text.lstrip()[:1] == b"[":
        return at_least_one(parse_items(elements_of(text, "The body", limit), parse_item, context))
    return parse_single(text, parse_item, context)


def first_text(*values: object) -> str:
    """The first non-empty string, or ""."""
    return next((value for value in values if type(value) is str and value), "")


def short_text(raw: msgspec.Raw, /) -> str:
    """A string where a key or a time is expected, else "". Other values are not decoded: they may be as large as the body."""
    text = memoryview(raw)
    if not 0 < text.nbytes <= _MAX_SHORT_BYTES or text[0] != ord('"'):
        return ""
    return decode_part(_text_decoder, raw, "The body")


def key_of(keys: Iterable[object], where: str, /) -> str:
    """The key that a body's parts carry. Raises MissingKey if none does, InvalidRequest if they carry different ones."""
    found = set(map(first_text, keys)) - {""}
    if len(found) > 1:
        raise InvalidRequest("The batch contains events with different keys: send the events of each key separately.")
    if not found:
        raise MissingKey(where)
    return found.pop()


def readable(decoder: msgspec.json.Decoder[Part], raws: Iterable[msgspec.Raw], /) -> Iterator[Part]:
    """The elements that `decoder` can decode. The others are left out here, and refused one by one when they are parsed."""
    for raw in raws:
        try:
            part = decode_part(decoder, raw, "An event")
        except InvalidRequest:
            continue
        yield part


def id_of(value: object, field: str, limit: int, /) -> str:
    """An optional id, which SDKs may send as a number. Absent, null and empty are ""."""
    if type(value) is int or type(value) is float:
        value = str(value)
    return optional_text(value, field, limit)


def needed(text: str, field: str, /) -> str:
    if not text:
        raise InvalidRequest(f"'{field}' is required: send a non-empty string.")
    return text


def event_name(value: object, field: str, limit: int, /) -> str:
    """A track event's own name. Raises MissingName, InvalidRequest."""
    name = id_of(value, field, limit)
    if not name.strip():
        raise MissingName(f"'{field}' is required: send a string of 1 to {limit} characters.")
    return name


def time_of(value: object, now_ms: int, field: str = "timestamp", *, unit_ms: int = 0) -> int:
    """A time as text or, if `unit_ms` gives the unit, as a number since 1970. Absent, null and "" mean now.

    Text may be in any form that programming languages print. Raises InvalidTimestamp.
    """
    if value is None or value == "":
        return now_ms
    if unit_ms and (type(value) is int or type(value) is float):
        milliseconds = int(value * unit_ms) if abs(value) < LATEST_MS else -1
        if EARLIEST_MS <= milliseconds <= LATEST_MS:
            return milliseconds
        value = str(value)[:60]
    try:
        return parse_time(value, field)
    except InvalidTimestamp:
        if type(value) is str and (milliseconds := printed_time(value)) is not None:
            return milliseconds
        raise


def time_or_receipt(value: object, context: Context, field: str = "timestamp", /) -> int:
    """Like `time_of`, but an unreadable time becomes the time of receipt, with a warning, as with these SDKs' own vendors."""
    try:
        return time_of(value, context.now_ms, field)
    except InvalidTimestamp as error:
        context.warnings.append(f"{error.message} The time of receipt is used instead.")
        return context.now_ms


def sent_at_of(value: object, /) -> int | None:
    """The time of sending. It says nothing about the events, so an invalid one costs none of them."""
    try:
        return time_of(value, 0) if value else None
    except InvalidRequest:
        return None


def number_in(value: object, /) -> object:
    """Convert the text of a finite number, as some languages send decimals, into the number; leave anything else as it is."""
    if type(value) is not str or not value.isascii() or "_" in value:
        return value
    try:
        number = int(value) if value.isdigit() and len(value) < _MAX_DIGITS else float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def object_in(values: Mapping[str, Any], field: str, /) -> dict[str, Any]:
    """The member if it is an object, else {}."""
    value = values.get(field)
    return cast("dict[str, Any]", value) if type(value) is dict else {}


def text_in(values: Mapping[str, Any], field: str, limit: int, /) -> str:
    """The member if it may be an id, else ""."""
    value = values.get(field)
    if type(value) is int:
        value = str(value)
    return value if type(value) is str and len(value) <= limit else ""


def with_members(properties: str, added: Mapping[str, object], /) -> str:
    """The object's text with more members at its end. What was sent is not changed."""
    if not added:
        return properties
    more = encode_json(added).decode()
    head = properties[:-1].rstrip()
    return more if head in ("", "{") else f"{head},{more[1:]}"


def without_secrets(
    properties: str, values: dict[str, Any], /, secrets: frozenset[str] = _SECRETS
) -> tuple[str, dict[str, Any]]:
    """An object's text and values without the key in them, which must not be readable later. The rest stays as it was sent."""
    if secrets.isdisjoint(values):
        return properties, values
    members = _members_decoder.decode(properties)
    return (
        joined({name: raw for name, raw in members.items() if name not in secrets}),
        {name: value for name, value in values.items() if name not in secrets},
    )


def joined(members: Mapping[str, msgspec.Raw], /) -> str:
    """An object's text, made of its members' texts; "" if there are none."""
    text = ",".join(f"{encode_json(name).decode()}:{str(raw, 'utf-8')}" for name, raw in members.items())
    return f"{{{text}}}" if text else ""


def members_of(raw: msgspec.Raw | bytes, /) -> dict[str, msgspec.Raw]:
    """The members of an object's text, each as it was sent."""
    return _members_decoder.decode(raw)


def merged(*raws: msgspec.Raw, field: str) -> str:
    """One object with the members of all, as they were sent; the last of each name wins; "" if there are none."""
    texts = [text for text, values in (object_of(raw, field) for raw in raws) if values]
    if len(texts) == 1:
        return texts[0]
    members: dict[str, msgspec.Raw] = {}
    for text in texts:
        members |= members_of(text.encode())
    return joined(members)


def page_properties(name: object, category: object, values: Mapping[str, Any], /) -> dict[str, str]:
    """A page's name and category, of any length, unless its properties have them. Values other than text are ignored."""
    own = {"name": first_text(name), "category": first_text(category)}
    return {field: text for field, text in own.items() if text and field not in values}


def at_least_one(batch: Batch, /) -> Batch:
    """The batch if it has a valid event. Otherwise raises the first event's error, with its index."""
    if batch.items or not batch.rejections:
        return batch
    raise named(batch.rejections[0])


def accepted(reply: Mapping[str, object], batch: Batch, /) -> bytes:
    """The reply that an SDK expects, plus the rejected events, which no SDK looks at."""
    errors = [{"index": each.index, "message": each.error.message} for each in batch.rejections]
    return encode_json({**reply, "errors": errors} if errors else reply)


def named(rejection: Rejection, /) -> HeadraceError:
    """The rejection's error, with its place."""
    error = rejection.error
    error.message = f"Event {rejection.index}: {error.message}"
    error.args = (error.message,)
    return error
