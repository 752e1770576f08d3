"""The canonical event that every dialect is translated into, its id, and its codec. No I/O.

A **position** is a 64-bit integer that the log assigns at append: `milliseconds << 20 | sequence << 6 | partition`. Positions
strictly increase within a partition, and no two partitions ever assign the same one. Positions older than partitions have a
sequence of 20 bits instead and stay valid. The **event id** is a UUIDv7 whose leading bits are the position (RFC 9562 §6.2,
method 1), so ids sort like positions, and either gives the time of receipt.
The tail's highest bit says that the event is **history**: it was imported, and no rule judges it unless a replay asks. So the
log, the store and everyone who has the id know it, at no cost. See docs/decisions/0002-the-id-holds-the-position.md,
0090-partition-bits.md and 0135-history-is-a-bit-of-the-id.md.
"""

import re
from hashlib import blake2b
from typing import Literal
from uuid import UUID

import msgspec

Mode = Literal["live", "test"]
MODES: tuple[Mode, ...] = ("live", "test")
EventType = Literal["track", "identify", "page", "group", "alias"]

SEQUENCE_BITS = 14
PARTITION_BITS = 6
STEP = 1 << PARTITION_BITS  # from one position of a partition to the next
_BITS_BELOW_MS = SEQUENCE_BITS + PARTITION_BITS
TAIL_BITS = 54
MAX_TAIL = (1 << TAIL_BITS) - 1
HISTORY = 1 << TAIL_BITS - 1  # the log's own tails are below it
_MAX_POSITION = (1 << 64) - 1
_BITS_AFTER_VARIANT = 8  # of the 20 bits below the millisecond; the other 12 fit before the variant of a UUIDv7


class Tenant(msgspec.Struct, frozen=True):
    """A project and mode. No data crosses from one tenant to another."""

    project: str
    mode: Mode

    @property
    def metrics(self) -> "Tenant":
        """The tenant's namespace for metric points. Project names contain no slash, so queries for events never reach it.

        See docs/decisions/0060-metric-points.md.
        """
        return Tenant(f"{self.project}/metrics", self.mode)


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A valid event. Its fields are the store's columns of the same names.

    Absent text is "", an absent number None. `properties`, `context` and `traits` hold the JSON text of an object, byte
    for byte as it was sent, or "". `labels` holds the string properties that no tag of the same name shadows, and
    `numbers` the numeric ones as doubles, so that tag filters and statistics need not read the properties.

    The first six may be passed positionally: for a call with more than 15 keywords CPython builds a dict, in twice the time.
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

    @property
    def is_history(self) -> bool:
        """Whether it was imported without reactions."""
        return is_history(tail_of(self.id))


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(event: Event, /) -> bytes:
    """The event as one JSON object. The log holds these bytes; the store reads them with id and position put in front."""
    return _encoder.encode(event)


def decode(payload: bytes, /) -> Event:
    """The inverse of `encode`. Raises msgspec.DecodeError for what `encode` did not write."""
    return _decoder.decode(payload)


def is_event(payload: bytes, /) -> bool:
    """Whether `decode` takes it, and what it holds is what it says: text that should be JSON is."""
    try:
        event = _decoder.decode(payload)
        for text in (event.properties, event.context, event.traits):
            if text:
                _object_decoder.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def received_at_ms(position: int, /) -> int:
    return position >> _BITS_BELOW_MS


def first_position(milliseconds: int, /) -> int:
    """The least position that an event received in that millisecond can have."""
    return milliseconds << _BITS_BELOW_MS


def within_ms(position: int, /) -> int:
    """The part of a position below its millisecond: 0 to 2**20 - 1, strictly increasing like positions."""
    return position & ((1 << _BITS_BELOW_MS) - 1)


def partition_of(position: int, /) -> int:
    """The partition that assigned a position; for one older than partitions, any number up to 63."""
    return position & STEP - 1


def next_position(last: int, now_ms: int, partition: int, /) -> int:
    """The partition's least position that is greater than `last` and not earlier than `now_ms`.

    `last` may belong to another partition, or be older than partitions. When the 16,384 positions of a millisecond are used
    up, or the clock went back, the following milliseconds supply the next ones.
    """
    return max((last | STEP - 1) + 1, first_position(now_ms)) + partition


def event_id(position: int, tail: int, /) -> str:
    """The UUIDv7 of the event at a position, as 32 hex digits; `tail` fills the remaining bits.

    Source: https://www.rfc-editor.org/rfc/rfc9562#section-5.7
    """
    rest = within_ms(position)
    high = received_at_ms(position) << 16 | 7 << 12 | rest >> _BITS_AFTER_VARIANT
    low = 0b10 << 62 | (rest & 0xFF) << TAIL_BITS | tail & MAX_TAIL
    return f"{high:016x}{low:016x}"


def received_ms_of(event_id: str, /) -> int:
    """When the event of an id was received, by the time in the UUIDv7."""
    return int(event_id[:12], 16)


def position_of(event_id: str, /) -> int:
    """The position in an id; for an id that Headrace did not make, an arbitrary 64-bit integer."""
    high, low = int(event_id[:16], 16), int(event_id[16:], 16)
    position = first_position(high >> 16) | (high & 0xFFF) << _BITS_AFTER_VARIANT | low >> TAIL_BITS & 0xFF
    return position & _MAX_POSITION


def tail_of(event_id: str, /) -> int:
    """The bits of an id that do not belong to its position."""
    return int(event_id[16:], 16) & MAX_TAIL


def is_history(tail: int, /) -> bool:
    """Whether the event with this tail was imported without reactions. The log itself draws tails of 48 bits."""
    return tail >= HISTORY


_ID = re.compile(r"(?:evt_)?([0-9a-f]{32})|([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.ASCII)


def parse_id(text: str, /) -> str | None:
    """The 32 hex digits of an id in any form that a dialect shows: `evt_…`, a UUID, or the digits; else None."""
    if len(text) > 36 or not (match := _ID.fullmatch(text.lower())):
        return None
    return match[1] or match[2].replace("-", "")


def render_evt(event_id: str, /) -> str:
    return f"evt_{event_id}"


def render_uuid(event_id: str, /) -> str:
    return str(UUID(event_id))


def fact_id(event_id: str, rule_id: str, /) -> str:
    """`fact_` and 32 hex digits, always the same for the same event and rule."""
    seed = f"{event_id}\0{rule_id}".encode()
    return f"fact_{blake2b(seed, digest_size=16).hexdigest()}"
