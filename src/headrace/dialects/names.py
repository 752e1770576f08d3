"""Names that a question or a command uses and nobody knows: refused, with the nearest that is known. Pure."""

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
    """The end of a sentence about an unknown name: the one it most likely is, or all there are."""
    if found := nearest_name(name, known):
        return f"did you mean '{found}'?"
    return f"known are {', '.join(sorted(known))}." if known else "it takes none."


def fingerprint(pairs: Pairs, /, *left_out: str) -> str:
    """16 hex digits that stand for a query's parameters in any order, less those left out and the empty ones."""
    given = sorted((name, value) for name, value in pairs if name not in left_out and (value or "[" in name))
    return blake2b(ascii(given).encode(), digest_size=8).hexdigest()  # ascii: text may hold half of a surrogate pair


def decode_known(
    decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw, what: str, struct: type[msgspec.Struct], /
) -> T:
    """A part of a body in which every member is known, as `struct` names them. Raises InvalidRequest, with the nearest name."""
    try:
        return decode_part(decoder, raw, what)
    except InvalidRequest as error:
        if "contains unknown field" not in error.message:
            raise
    members: dict[str, Any] = decode_part(_members_decoder, raw, what) or {}
    known = struct.__struct_encode_fields__
    unknown = next(name for name in members if name not in known)
    raise InvalidRequest(f"{what} has no member {unknown[:_MAX_SHOWN]!r}: {nearest(unknown, known)}")
