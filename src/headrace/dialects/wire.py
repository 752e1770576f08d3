"""Shared by the dialects: decodes untrusted JSON, and checks one field at a time. Pure.

Every check raises an error that names the field, and says what is wrong and what to send instead.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from headrace.dialects.spoilt import mended, problem_in
from headrace.model import labels
from headrace.model.batch import Batch, Context, Item, Rejection
from headrace.model.errors import (
    BatchTooLarge,
    EventTooLarge,
    HeadraceError,
    InvalidRequest,
    InvalidTags,
    MissingName,
)
from headrace.model.event import Event
from headrace.model.repeats import Places, named_by_header
from headrace.model.settings import Settings

labels_and_numbers = labels.labels_and_numbers  # which every parser of events needs

ABSENT = msgspec.Raw(b"")
UNREADABLE = "$unreadable"  # the only member of an object that is not JSON where it is stored
_EMPTY_OBJECT = msgspec.Raw(b"{}")

Pairs: TypeAlias = Sequence[tuple[str, str]]
T = TypeVar("T")


Parsed = TypeVar("Parsed")
_object_decoder: msgspec.json.Decoder[dict[str, Any] | None] = msgspec.json.Decoder(dict[str, Any] | None)
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()
_BOM = b"\xef\xbb\xbf"


def encode_json(value: object, /) -> bytes:
    return _encoder.encode(value)


def raw_object(text: str, /) -> msgspec.Raw:
    """An event's properties, context or traits as they go into a reply: byte for byte, and `{}` where there are none.

    What is stored there was checked when it came. Should it be no JSON all the same, the reply still is, and shows the text.
    """
    if not text:
        return _EMPTY_OBJECT
    raw = text.encode(errors="replace")
    try:
        _raw_decoder.decode(raw)
    except msgspec.DecodeError:
        return msgspec.Raw(_encoder.encode({UNREADABLE: raw.decode()}))
    return msgspec.Raw(raw)


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes, /) -> T:
    """Decode a request's body. Raises InvalidRequest for anything that `decoder` does not accept."""
    return decode_part(decoder, text_of_body(body), "The body")


def text_of_body(body: bytes, /) -> bytes:
    """The body without a byte order mark. Raises InvalidRequest if it is empty or not UTF-8."""
    body = unmarked(body)
    if not body.isascii():
        try:
            body.decode()  # otherwise parts that stay undecoded would not be checked
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    return body


def unmarked(body: bytes, /) -> bytes:
    """The body without a byte order mark. Raises InvalidRequest if it is empty."""
    body = body.removeprefix(_BOM)  # RFC 8259 §8.1 lets a receiver skip it
    if not body or body.isspace():
        raise InvalidRequest("The body is empty: send a JSON document.")
    return body


def decode_part(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw, what: str, /) -> T:
    """Decode a part of a body, which errors call `what`. Raises InvalidRequest."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequest(problem_in(raw) or f"{what} is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error).removeprefix("JSON is malformed: ")
        raise InvalidRequest(f"{what} is not valid JSON: {problem}.") from None
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply.") from None


def confined(
    body: bytes, parse: Callable[[bytes], Parsed], /, *arrays: str, bare: bool = False, lines: bool = False
) -> Parsed:
    """Parse the body's text so that invalid JSON inside one event of a batch is only that event's error.

    The other arguments tell `spoilt.mended` where the batch is. Raises what `parse` raises, and InvalidRequest.
    """
    try:
        return parse(text_of_body(body))
    except InvalidRequest:
        if (text := mended(body, *arrays, bare=bare, lines=lines)) is None:
            raise
    return parse(text)


def array_of(raw: bytes | msgspec.Raw, field: str, limit: int, /, what: str = "events") -> Sequence[msgspec.Raw]:
    """The elements of a batch. Raises InvalidRequest if it is not an array or is empty, BatchTooLarge over the limit."""
    if raw is ABSENT:
        raise InvalidRequest(f"'{field}' is required: send an array of {what}.")
    elements = msgspec.structs.astuple(decode_part(_elements_decoder(limit), raw, f"'{field}'"))
    if elements[0] is ABSENT:
        raise InvalidRequest(f"'{field}' is empty: send 1 to {limit} {what}.")
    if elements[limit] is not ABSENT:
        raise BatchTooLarge(f"'{field}' has more than {limit} {what}, the limit for one request.")
    return elements[: elements.index(ABSENT)]


@cache
def _elements_decoder(limit: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """A decoder that reads the first `limit` + 1 elements of an array undecoded, and skips the rest.

    A list would hold all of the millions that fit into a body, at forty times its size.
    """
    fields = [(f"element_{index}", msgspec.Raw, ABSENT) for index in range(limit + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("Elements", fields, array_like=True))


def parse_items(
    raws: Iterable[msgspec.Raw],
    parse_item: Callable[[msgspec.Raw, Context], Event],
    context: Context,
    /,
) -> Batch:
    """Parse each element on its own, so that an invalid one does not affect the others.

    The Idempotency-Key header, combined with the element's bytes, overrides an element's own key.
    """
    batch = Batch([], [])
    places = Places() if context.idempotency_key else None
    for index, raw in enumerate(raws):
        place = places.of(raw) if places else ""
        try:
            event = parse_item(raw, context)
        except HeadraceError as error:
            # Its traceback refers to this batch: a cycle that would keep the whole body in memory until the collector runs.
            error.__traceback__ = error.__context__ = None
            batch.rejections.append(Rejection(index, error))
            continue
        if place:
            event = named_by_header(event, context.idempotency_key, place)
        batch.items.append(Item(index, event))
    return batch


def parse_single(body: bytes, parse_item: Callable[[msgspec.Raw, Context], Event], context: Context, /) -> Batch:
    """Parse a body that is one event. Raises what `parse_item` raises."""
    try:
        raw = decode_body(_raw_decoder, body)
    except InvalidRequest:
        if (text := mended(body)) is None:
            raise
        raw = msgspec.Raw(text)
    event = parse_item(raw, context)
    if context.idempotency_key:
        event = named_by_header(event, context.idempotency_key)
    return Batch([Item(0, event)])


def decode_item(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, settings: Settings, /) -> T:
    """Decode one event. Raises EventTooLarge, and InvalidRequest if it is not an object or is nested too deeply."""
    return decode_part(decoder, item_text(raw, settings), "The event")


def item_text(raw: msgspec.Raw, settings: Settings, /) -> bytes:
    """One event's JSON. Raises EventTooLarge, and InvalidRequest if it is nested too deeply."""
    text = bytes(raw)
    if len(text) > settings.max_event_bytes:
        raise EventTooLarge(f"The event has {len(text)} bytes; the limit is {settings.max_event_bytes}.")
    if text.count(b"{") + text.count(b"[") > settings.max_depth and _depth_of(text) > settings.max_depth:
        raise InvalidRequest(f"The event is nested deeper than {settings.max_depth} levels.")
    return text


# Possessive, so that no input makes it backtrack.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _depth_of(text: bytes) -> int:
    """The nesting depth of a JSON text; 0 for a number or a string."""
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKET)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def text_of(value: object, field: str, limit: int, /) -> str:
    """An optional string of 1..limit characters; null and absent are ""."""
    if value is None:
        return ""
    if type(value) is not str:
        raise InvalidRequest(f"'{field}' must be a string.")
    if not 1 <= len(value) <= limit:
        raise InvalidRequest(f"'{field}' must have 1 to {limit} characters; it has {len(value)}.")
    return value


def optional_text(value: object, field: str, limit: int, /) -> str:
    """An optional string of up to `limit` characters; empty counts as absent."""
    return "" if value is None or value == "" else text_of(value, field, limit)


def required_text(value: object, field: str, limit: int, /) -> str:
    if value is None:
        raise InvalidRequest(f"'{field}' is required: send a string of 1 to {limit} characters.")
    return text_of(value, field, limit)


def name_of(value: object, field: str, limit: int, /) -> str:
    """An event's name. Raises MissingName if it is absent or blank, InvalidRequest if it is not a string or is too long."""
    if value is None or (type(value) is str and not value.strip()):
        raise MissingName(f"'{field}' is required: send a string of 1 to {limit} characters.")
    return text_of(value, field, limit)


def number_of(value: object, field: str, /) -> float | None:
    """An optional finite double; true and false are not numbers."""
    if value is None:
        return None
    if type(value) is float:
        return value
    if type(value) is int and abs(value) <= labels.LARGEST:
        return float(value)
    raise InvalidRequest(f"'{field}' must be a finite number.")


_EMPTY_ARRAY = re.compile(rb"\s*\[\s*\]\s*")


def is_empty_array(raw: bytes | msgspec.Raw, /) -> bool:
    """Whether it is an empty array, as PHP encodes an empty map."""
    return _EMPTY_ARRAY.fullmatch(raw) is not None


def object_of(raw: msgspec.Raw, field: str, /) -> tuple[str, dict[str, Any]]:
    """An optional object, as the text that was sent and as decoded values; ("", {}) for null and absent.

    An empty array counts as an empty object, because PHP does not distinguish them.
    """
    if raw is ABSENT:
        return "", {}
    try:
        values = _object_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if is_empty_array(raw):
            return "{}", {}
        decode_part(_object_decoder, raw, f"'{field}'")  # for its error
        raise
    return ("", {}) if values is None else (str(raw, "utf-8"), values)


def tags_of(value: object, settings: Settings, /) -> dict[str, str]:
    """Raises InvalidTags for anything but a flat object of strings, or over the limits. An empty array has no tags (PHP)."""
    if value is None or value == []:
        return {}
    if type(value) is not dict:
        raise InvalidTags("'tags' must be a flat object of strings.")
    tags = cast("dict[str, Any]", value)
    if len(tags) > settings.max_tags:
        raise InvalidTags(f"'tags' has {len(tags)} entries; the limit is {settings.max_tags}.")
    limit = settings.max_tag_chars
    for name, text in tags.items():
        if type(text) is not str:
            raise InvalidTags(f"The tag {name[:80]!r} must be a string; quote it.")
        if len(text) > limit or len(name) > limit:
            raise InvalidTags(f"The tag {name[:80]!r} is longer than {limit} characters.")
    return tags


_INTEGER = re.compile(r"-?\d+", re.ASCII)
_FARTHEST = 10**18


def integer_of(text: str, field: str, /) -> int:
    """A query parameter's integer, limited to ±10^18."""
    if not _INTEGER.fullmatch(text):
        raise InvalidRequest(f"'{field}' must be a whole number; it is {text[:80]!r}.")
    return max(-_FARTHEST, min(_FARTHEST, int(text[:100])))
