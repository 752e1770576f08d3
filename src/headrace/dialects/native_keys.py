"""API keys in the native dialect: making, rotating, listing and revoking them. Translates; never makes a secret."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from headrace.dialects.names import decode_known
from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import integer_of, text_of_body
from headrace.model.errors import InvalidRequest
from headrace.model.keys import SCOPES, Key, KeyUse, NewKey, Style, parse_origins, parse_scopes
from headrace.model.times import parse_time, render_time_short

PREFIXES = ("/api/v1/keys", "/api/v1/audit")
DEFAULT_OVERLAP_S = 86_400
MAX_OVERLAP_S = 366 * 86_400
MOST_USES = 100
Status = Literal["works", "expired", "revoked"]


def _route(method: Literal["GET", "POST", "DELETE"], path: str, handler: str, status: int = 200) -> Route:
    changes = method != "GET"
    return Route(method, f"/api/v1/keys{path}", "admin", "native", Handled(handler, in_control=changes), status)


ROUTES = (
    _route("GET", "", "keys"),
    _route("POST", "", "create_key", 201),
    _route("GET", "/{key_id}", "key"),
    _route("GET", "/{key_id}/uses", "key_uses"),
    _route("DELETE", "/{key_id}", "revoke_key"),
    _route("POST", "/{key_id}/rotate", "rotate_key", 201),
)


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """expires_at_ms: of the new key; None means that it lives as long as the former one was to live."""

    overlap_s: int
    expires_at_ms: int | None


class _New(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    style: Style | None = None
    scopes: list[str] | None = None
    expires_at: str | None = None
    origins: list[str] = []


class _Rotation(msgspec.Struct, forbid_unknown_fields=True):
    overlap_seconds: int = DEFAULT_OVERLAP_S
    expires_at: str | None = None


_new_decoder = msgspec.json.Decoder(_New)
_rotation_decoder = msgspec.json.Decoder(_Rotation)


def parse_new(body: bytes, /) -> NewKey:
    """Raises InvalidRequest, InvalidTimestamp; whether a key may be like that is not decided here."""
    given = decode_known(_new_decoder, text_of_body(body), "The body", _New)
    return NewKey(
        style=given.style or ("publishable" if given.origins else "flux"),
        scopes=None if given.scopes is None else parse_scopes(",".join(given.scopes)),
        expires_at_ms=_expiry(given.expires_at),
        origins=parse_origins(",".join(given.origins)) if given.origins else (),
        name=given.name,
    )


def parse_rotation(body: bytes, /) -> Rotation:
    """Raises InvalidRequest, InvalidTimestamp."""
    given = _Rotation()
    if body.strip():
        given = decode_known(_rotation_decoder, text_of_body(body), "The body", _Rotation)
    if not 0 <= given.overlap_seconds <= MAX_OVERLAP_S:
        raise InvalidRequest(f"'overlap_seconds' must be 0 to {MAX_OVERLAP_S}; it is {given.overlap_seconds}.")
    return Rotation(overlap_s=given.overlap_seconds, expires_at_ms=_expiry(given.expires_at))


def _expiry(text: str | None) -> int | None:
    return None if text is None else parse_time(text, "expires_at")


def parse_place(cursor: str | None, /) -> tuple[int, str]:
    """The place after which a page begins, from its cursor. Raises InvalidRequest."""
    if cursor is None:
        return -1, ""
    at_ms, _, key_id = cursor.partition(" ")
    return integer_of(at_ms, "cursor"), key_id


def place_of(key: Key, /) -> str:
    """The inverse of `parse_place`."""
    return f"{key.created_at_ms} {key.id}"


def status_of(key: Key, now_ms: int, /) -> Status:
    if key.revoked_at_ms is not None:
        return "revoked"
    return "works" if key.works_at(now_ms) else "expired"


def key_value(key: Key, now_ms: int, secret: str = "") -> Mapping[str, object]:
    """A key as a value; with its secret where that is new, which is the only time that it is shown."""
    value: dict[str, object] = {
        "id": key.id,
        "name": key.name or None,
        "prefix": key.prefix,
        "style": key.style,
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "origins": key.origins,
        "status": status_of(key, now_ms),
        "created_at": render_time_short(key.created_at_ms),
        "expires_at": _time(key.expires_at_ms),
        "revoked_at": _time(key.revoked_at_ms),
        "last_used_at": _time(key.last_used_at_ms),
        "replaced_by": key.replaced_by or None,
    }
    return value | {"secret": secret} if secret else value


def uses_value(
    key: Key, day: Sequence[KeyUse], hour: Sequence[KeyUse], /
) -> tuple[list[dict[str, object]], dict[str, object]]:
    """What a key was used for in the last day and hour, as data and meta. The sums count all, the rows show the most used."""
    latest = {(each.kind, each.route, each.client): each.requests for each in hour}
    data: list[dict[str, object]] = [
        {
            "kind": each.kind,
            "route": each.route,
            "client": each.client or None,
            "last_hour": latest.get((each.kind, each.route, each.client), 0),
            "last_day": each.requests,
            "last_used_at": _time(each.last_ms),
        }
        for each in day[:MOST_USES]
    ]
    last_ms = max([key.last_used_at_ms or 0, *(each.last_ms for each in day)])
    meta: dict[str, object] = {
        "last_hour": sum(each.requests for each in hour),
        "last_day": sum(each.requests for each in day),
        "last_used_at": _time(last_ms or None),
        "more": len(day) > MOST_USES,
    }
    return data, meta


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else render_time_short(at_ms)
