"""The one event that every dialect becomes, its id, and its codec. No I/O.

A **position** is a 64-bit integer that the log gives at append: `milliseconds << 20 | sequence`. It strictly increases
and is never used again. The **event id** is a UUIDv7 whose leading bits are the position (RFC 9562 §6.2, method 1), so
ids sort as positions do, and either gives the time of receipt. See docs/decisions/0002-the-id-holds-the-position.md.
"""

import re
from hashlib import blake2b
from typing import Literal
from uuid import UUID

import msgspec

Mode = Literal["live", "test"]
EventType = Literal["track", "identify", "page", "group", "alias"]

SEQUENCE_BITS = 20
TAIL_BITS = 54
MAX_TAIL = (1 << TAIL_BITS) - 1
_MAX_POSITION = (1 << 64) - 1
_SEQUENCE_LOW_BITS = 8  # of the sequence's 20 bits, 12 fit before the variant of a UUIDv7 and 8 after it


class Tenant(msgspec.Struct, frozen=True):
    """Whose data: nothing crosses from one project and mode to another."""

    project: str
    mode: Mode

    @property
    def metrics(self) -> "Tenant":
        """The tenant's own namespace of metric points: no project's name has a slash, so no query of events reaches it.

        See docs/decisions/0060-metric-points.md.
        """
        return Tenant(f"{self.project}/metrics", self.mode)


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What happened, checked, as one record; its fields are the store's columns of the same names.

    Absent text is "", an absent number None. `properties`, `context` and `traits` are the JSON text of an object, byte
    for byte as it was sent, or "". `labels` are the string properties that no tag of the same name shadows, and
    `numbers` the numeric ones as doubles, so that no tag filter and no statistic has to read the properties.

    The first six may be given by position: a call with more than 15 keywords costs CPython a dict, and twice the time.
    """

    project: str
    mode: Mode
    source: str
    name: str
    timestamp_ms: int
    type: EventType = "track"
    user_id: str = ""
    anonymous_id: str = ""
    session_id: str = ""
    group_id: str = ""
    previous_id: str = ""
    value: float | None = None
    properties: str = ""
    context: str = ""
    traits: str = ""
    tags: dict[str, str] = {}
    labels: dict[str, str] = {}
    numbers: dict[str, float] = {}
    environment: str = ""
    service: str = ""
    host: str = ""
    request_id: str = ""
    message_id: str = ""
    sent_at_ms: int | None = None


class StoredEvent(Event, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An event as the store returns it: `id` is 32 hex digits."""

    id: str
    position: int

    @property
    def received_at_ms(self) -> int:
        return received_at_ms(self.position)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event, /) -> bytes:
    """The event as one JSON object: what the log holds and, with its id and position put in front, the store reads."""
    return _encoder.encode(event)


def decode(payload: bytes, /) -> Event:
    """The inverse of `encode`. Raises msgspec.DecodeError for what `encode` did not write."""
    return _decoder.decode(payload)


def received_at_ms(position: int, /) -> int:
    return position >> SEQUENCE_BITS


def first_position(milliseconds: int, /) -> int:
    """The least position that an event received in that millisecond can have."""
    return milliseconds << SEQUENCE_BITS


def event_id(position: int, tail: int, /) -> str:
    """The UUIDv7 of the event at a position, as 32 hex digits; `tail` fills the bits that the position leaves.

    Source: https://www.rfc-editor.org/rfc/rfc9562#section-5.7
    """
    milliseconds, sequence = position >> SEQUENCE_BITS, position & ((1 << SEQUENCE_BITS) - 1)
    high = milliseconds << 16 | 7 << 12 | sequence >> _SEQUENCE_LOW_BITS
    low = 0b10 << 62 | (sequence & 0xFF) << TAIL_BITS | tail & MAX_TAIL
    return f"{high:016x}{low:016x}"


def position_of(event_id: str, /) -> int:
    """The position that an id holds; for an id that is not ours, some 64-bit integer."""
    high, low = int(event_id[:16], 16), int(event_id[16:], 16)
    position = (high >> 16) << SEQUENCE_BITS | (high & 0xFFF) << _SEQUENCE_LOW_BITS | low >> TAIL_BITS & 0xFF
    return position & _MAX_POSITION


def tail_of(event_id: str, /) -> int:
    """The bits of an id that are not its position."""
    return int(event_id[16:], 16) & MAX_TAIL


_ID = re.compile(r"(?:evt_)?([0-9a-f]{32})|([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.ASCII)


def parse_id(text: str, /) -> str | None:
    """An id's 32 hex digits from any form that a dialect shows: `evt_…`, a UUID, or the digits; else None."""
    if len(text) > 36 or not (match := _ID.fullmatch(text.lower())):
        return None
    return match[1] or match[2].replace("-", "")


def render_evt(event_id: str, /) -> str:
    return f"evt_{event_id}"


def render_uuid(event_id: str, /) -> str:
    return str(UUID(event_id))


def fact_id(event_id: str, rule_id: str, /) -> str:
    """`fact_` and 32 hex digits, always the same for one event and one rule."""
    seed = f"{event_id}\0{rule_id}".encode()
    return f"fact_{blake2b(seed, digest_size=16).hexdigest()}"
