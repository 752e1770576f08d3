"""Refuses unknown names in queries and commands, and suggests the nearest known one. Pure."""

from collections.abc import Collection
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from headrace.dialects.wire import Pairs, decode_part
from headrace.model.errors import InvalidRequest
from headrace.model.nearest import nearest_name

T = TypeVar("T")
_MAX_SHOWN = 80
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def nearest(name: str, known: Collection[str], /) -> str:
    """The end of a sentence about an unknown name: the most likely known name, or all of them."""
    if found := nearest_name(name, known):
        return f"did you mean '{found}'?"
    return f"known are {', '.join(sorted(known))}." if known else "it takes none."


def fingerprint(pairs: Pairs, /, *left_out: str) -> str:
    """16 hex digits that identify a query's parameters, whatever their order, without the empty and the excluded ones."""
    given = sorted((name, value) for name, value in pairs if name not in left_out and (value or "[" in name))
    return blake2b(
        ascii(given).encode(), digest_size=8
    ).hexdigest()  # ASCII, because text may contain half of a surrogate pair


def decode_known(
    decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw, what: str, struct: type[msgspec.Struct], /
) -> T:
    """Decode a part of a body that may have only the members of `struct`. Raises InvalidRequest, with the nearest name."""
    try:
        return decode_part(decoder, raw, what)
    except InvalidRequest as error:
        if "contains unknown field" not in error.message:
            raise
    members: dict[str, Any] = decode_part(_members_decoder, raw, what) or {}
    known = struct.__struct_encode_fields__
    unknown = next(name for name in members if name not in known)
    raise InvalidRequest(f"{what} has no member {unknown[:_MAX_SHOWN]!r}: {nearest(unknown, known)}")
