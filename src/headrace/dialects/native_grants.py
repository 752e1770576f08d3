"""How admins grant points and revoke badges in the native dialect. Translates; never decides."""

from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.dialects import native
from headrace.dialects.names import decode_known
from headrace.dialects.wire import text_of_body
from headrace.model.errors import InvalidRequest
from headrace.model.event import render_evt
from headrace.model.ledger import Grant, Granted, Revocation
from headrace.model.times import render_time_short

MAX_POINTS = 10**9
MAX_KEY_CHARS = MAX_ID_CHARS = 255
_Reason = Annotated[str, Meta(max_length=500)]


class _Grant(msgspec.Struct, forbid_unknown_fields=True):
    points: int
    reason: _Reason = ""
    allow_negative: bool = False
    key: str | None = None


class _Revocation(msgspec.Struct, forbid_unknown_fields=True):
    participant: str
    reason: Annotated[_Reason, Meta(min_length=1)]


_grant_decoder = msgspec.json.Decoder(_Grant)
_revocation_decoder = msgspec.json.Decoder(_Revocation)


def parse_grant(participant: str, body: bytes, header_key: str, /) -> tuple[Grant, str]:
    """The grant, and its key from the body or else the header Idempotency-Key. Raises InvalidRequest."""
    given = decode_known(_grant_decoder, text_of_body(body), "The body", _Grant)
    if not given.points or abs(given.points) > MAX_POINTS:
        raise InvalidRequest(f"'points' must be a whole number from -{MAX_POINTS} to {MAX_POINTS}, and not 0.")
    if given.key and header_key and given.key != header_key:
        raise InvalidRequest("'key' and the header Idempotency-Key differ: send one of them.")
    key = given.key or header_key
    if not key:
        raise InvalidRequest(
            "A key is required, so that a retry does not grant twice: send 'key' or the header Idempotency-Key."
        )
    _check_id("key", key)
    _check_id("participant", participant)
    return Grant(participant, given.points, given.reason, given.allow_negative), key


def render_granted(granted: Granted, /) -> bytes:
    grant = granted.grant
    return native.render_data(
        {
            "participant": grant.participant,
            "points": grant.points,
            "reason": grant.reason or None,
            "balance": granted.balance,
            "repeated": granted.repeated,
        }
    )


def parse_revocation(body: bytes, /) -> tuple[str, str]:
    """The participant and the reason. Raises InvalidRequest."""
    given = decode_known(_revocation_decoder, text_of_body(body), "The body", _Revocation)
    _check_id("participant", given.participant)
    return given.participant, given.reason


def revocation_value(revocation: Revocation, /) -> dict[str, object]:
    return {
        "badge": revocation.badge,
        "participant": revocation.participant,
        "event_id": render_evt(revocation.event_id),
        "reason": revocation.reason,
        "revoked_at": render_time_short(revocation.revoked_at_ms),
    }


def _check_id(field: str, value: str) -> None:
    if not 1 <= len(value) <= MAX_ID_CHARS:
        raise InvalidRequest(f"'{field}' must have 1 to {MAX_ID_CHARS} characters; it has {len(value)}.")
