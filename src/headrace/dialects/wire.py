"""What the dialects share: decoding JSON without trusting it, and checking one field at a time. Pure.

Every check raises an error that names the field, says what was wrong and what to send instead.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any, TypeAlias, TypeVar

import msgspec

from headrace.errors import (
    BatchTooLarge,
    EventTooLarge,
    HeadraceError,
    InvalidRequest,
    InvalidTags,
    MissingName,
)
from headrace.event import Event, Tenant
from headrace.settings import Settings

ABSENT = msgspec.Raw(b"")
EMPTY_OBJECT = msgspec.Raw(b"{}")

Pairs: TypeAlias = Sequence[tuple[str, str]]
T = TypeVar("T")


class Dialect(msgspec.Struct, frozen=True):
    """A wire dialect: its name, which is also the `source` of its events, and how it words an error."""

    name: str
    render_error: Callable[[HeadraceError, int], bytes]


class Context(msgspec.Struct, frozen=True):
    """What a parser may know beside the bytes. `idempotency_key` is the header's, "" without one."""

    tenant: Tenant
    now_ms: int
    settings: Settings
    idempotency_key: str = ""


class Item(msgspec.Struct, frozen=True):
    """An event that is fit to be stored. `key` makes it unique within its dialect; "" for none."""

    index: int
    event: Event
    key: str


class Rejection(msgspec.Struct, frozen=True):
    """An event of a batch that is not, and why."""

    index: int
    error: HeadraceError


class Batch(msgspec.Struct, frozen=True):
    """One request's events, each kind in the order in which they were sent."""

    items: list[Item]
    rejections: list[Rejection] = []


_any_decoder = msgspec.json.Decoder()
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_encoder = msgspec.json.Encoder()
_BOM = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def encode_json(value: object, /) -> bytes:
    return _encoder.encode(value)


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes, /) -> T:
    """A request's body as `decoder` reads it. Raises InvalidRequest for whatever is not that."""
    body = body.removeprefix(_BOM)  # RFC 8259 §8.1 lets a receiver skip it
    if not body.strip():
        raise InvalidRequest("The body is empty: send a JSON document.")
    try:
        body.decode()  # parts that stay undecoded would otherwise be taken on trust
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    return decode_part(decoder, body, "The body")


def decode_part(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw, what: str, /) -> T:
    """A part of a body, in an error called `what`. Raises InvalidRequest."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{what} does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{what} is not valid JSON: {error}.") from None
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply.") from None


def array_of(raw: msgspec.Raw, field: str, limit: int, /) -> list[msgspec.Raw]:
    """The elements of a batch. Raises InvalidRequest when it is no array or empty, BatchTooLarge over the limit."""
    if not bytes(raw).startswith(b"["):
        raise InvalidRequest(f"'{field}' must be an array of events.")
    elements = decode_part(_array_decoder, raw, f"'{field}'")
    if not elements:
        raise InvalidRequest(f"'{field}' is empty: send 1 to {limit} events.")
    if len(elements) > limit:
        raise BatchTooLarge(f"'{field}' has {len(elements)} events; at most {limit} fit in one request.")
    return elements


def parse_items(
    raws: Iterable[msgspec.Raw],
    parse_item: Callable[[msgspec.Raw, Context], tuple[Event, str]],
    context: Context,
    /,
) -> Batch:
    """Each element on its own, so that a bad one costs only itself.

    The Idempotency-Key header, counted together with the index, wins over an element's own key.
    """
    batch = Batch([], [])
    for index, raw in enumerate(raws):
        try:
            event, key = parse_item(raw, context)
        except HeadraceError as error:
            batch.rejections.append(Rejection(index, error))
            continue
        if context.idempotency_key:
            key = f"{context.idempotency_key}:{index}"
        batch.items.append(Item(index, event, key))
    return batch


def parse_single(
    body: bytes, parse_item: Callable[[msgspec.Raw, Context], tuple[Event, str]], context: Context, /
) -> Batch:
    """A body that is one event. Raises what `parse_item` raises."""
    raw = decode_body(_raw_decoder, body)
    event, key = parse_item(raw, context)
    return Batch([Item(0, event, context.idempotency_key or key)])


_raw_decoder = msgspec.json.Decoder(msgspec.Raw)


def decode_item(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, settings: Settings, /) -> T:
    """One event as `decoder` reads it. Raises EventTooLarge, and InvalidRequest for what is no object or too deep."""
    text = bytes(raw)
    if len(text) > settings.max_event_bytes:
        raise EventTooLarge(
            f"The event has {len(text)} bytes; at most {settings.max_event_bytes} are taken."
        )
    if not text.startswith(b"{"):
        raise InvalidRequest("An event must be a JSON object.")
    if text.count(b"{") + text.count(b"[") > settings.max_depth:
        _check_depth(text, settings.max_depth)
    return decode_part(decoder, raw, "The event")


def _check_depth(text: bytes, limit: int) -> None:
    depth = 0
    for byte in _STRING.sub(b"", text):
        if byte in b"{[":
            depth += 1
            if depth > limit:
                raise InvalidRequest(f"The event is nested deeper than {limit} levels.")
        elif byte in b"}]":
            depth -= 1


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
    """An optional string of up to `limit` characters that says nothing when it is empty."""
    return "" if value == "" else text_of(value, field, limit)


def required_text(value: object, field: str, limit: int, /) -> str:
    if value is None:
        raise InvalidRequest(f"'{field}' is required: send a string of 1 to {limit} characters.")
    return text_of(value, field, limit)


def name_of(value: object, field: str, limit: int, /) -> str:
    """An event's name. Raises MissingName when absent or blank, InvalidRequest when it is no string or too long."""
    if value is None or (type(value) is str and not value.strip()):
        raise MissingName(f"'{field}' is required: send a string of 1 to {limit} characters.")
    return text_of(value, field, limit)


def number_of(value: object, field: str, /) -> float | None:
    """An optional finite double; true and false are no numbers."""
    if value is None:
        return None
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isfinite(number):
            return number
    raise InvalidRequest(f"'{field}' must be a finite number.")


def object_of(raw: msgspec.Raw, field: str, /) -> tuple[str, dict[str, Any]]:
    """An optional object, as the text that was sent and as values; ("", {}) for null and absent."""
    text = bytes(raw)
    if not text or text == b"null":
        return "", {}
    values: object = decode_part(_any_decoder, raw, f"'{field}'")
    if type(values) is not dict:
        raise InvalidRequest(f"'{field}' must be an object.")
    return text.decode(), values


def tags_of(value: object, settings: Settings, /) -> dict[str, str]:
    """Raises InvalidTags for what is no flat object of strings, or over the limits."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise InvalidTags("'tags' must be an object of string values.")
    if len(value) > settings.max_tags:
        raise InvalidTags(f"'tags' has {len(value)} entries; at most {settings.max_tags} are taken.")
    for name, text in value.items():
        if type(text) is not str:
            raise InvalidTags(f"The tag {name[:80]!r} must be a string; quote it.")
        if len(text) > settings.max_tag_chars or len(name) > settings.max_tag_chars:
            raise InvalidTags(f"The tag {name[:80]!r} is longer than {settings.max_tag_chars} characters.")
    return value


def labels_of(values: dict[str, Any], tags: dict[str, str], /) -> dict[str, str]:
    """The string properties that no tag of the same name shadows."""
    return {
        name: value for name, value in values.items() if type(value) is str and name not in tags
    }


def numbers_of(values: dict[str, Any], /) -> dict[str, float]:
    """The numeric properties as doubles, less those that no double can hold."""
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if type(value) is float:
            numbers[name] = value
        elif type(value) is int:
            with suppress(OverflowError):
                numbers[name] = float(value)
    return numbers


_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def integer_of(text: str, field: str, /) -> int:
    """A query parameter's whole number."""
    if not _INTEGER.fullmatch(text):
        raise InvalidRequest(f"'{field}' must be a whole number; it is {text[:80]!r}.")
    return int(text)
