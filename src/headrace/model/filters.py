"""What can be asked of the store, and what it answers. No I/O, no SQL, no dialect."""

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from headrace.model.event import StoredEvent

MAX_GROUPS = 1000
MAX_BUCKETS = 100_000
MAX_FILLED_BUCKETS = 10_000
MAX_REPLAY = 10_000


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """All that are given must match; None and () are not given. Times are inclusive on both sides.

    A property compares as text: a string as itself, a number as JavaScript prints it (5, 5.0 and 5e0 alike as "5", on
    either side; an integer with all its digits), true and false, an array or object as compact JSON. null is as absent.
    """

    name: str | None = None
    name_prefix: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    user_id: str | None = None
    person: str | None = None  # a user id or an anonymous id, literally
    source: str | None = None
    session_id: str | None = None
    environment: str | None = None
    service: str | None = None
    host: str | None = None
    tags: Sequence[tuple[str, str]] = ()  # the tag of that name or, without one, the string property
    properties: Sequence[tuple[str, str]] = ()
    ids: Sequence[str] | None = None  # 32 hex digits each
    upto: int | None = None  # the greatest position


class Cursor(msgspec.Struct, frozen=True):
    """The last event of a page; the next page starts after it."""

    timestamp_ms: int
    position: int


# What a brief page leaves empty: no list of any dialect shows it, and it costs more to read than all the rest.
NOT_BRIEF = (
    *("session_id", "group_id", "previous_id", "context", "traits", "environment", "service", "host", "request_id"),
    *("message_id", "sent_at_ms"),
)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the matching events: `limit` of them from `offset` on, or after a cursor. `brief`: without `NOT_BRIEF`."""

    limit: int
    offset: int = 0
    after: Cursor | None = None
    oldest_first: bool = False
    brief: bool = False


class Events(msgspec.Struct, frozen=True):
    """One page, how many match in all, and whether any match after the page."""

    total: int
    events: list[StoredEvent]
    more: bool


class Selection(msgspec.Struct, frozen=True):
    """Which events to replay, oldest first: those with the ids, as they were sent, or those that match the filters."""

    ids: Sequence[str] | None
    filters: Filters
    limit: int | None


class Dimension(msgspec.Struct, frozen=True):
    """What to group or aggregate by. `key` is the tag's or property's name, "" for the others.

    A group's key is the text that a filter would compare; an event without the key, or with an empty user id, is in none.
    `own`: the tag or string property of that name and, for an event that has neither, its own field (one of `OWN_FIELDS`).
    """

    kind: Literal["tag", "property", "name", "user_id", "own", "value"]
    key: str = ""


OWN_FIELDS = ("session_id", "environment", "service", "host", "source", "type")


class Counts(msgspec.Struct, frozen=True):
    """`series`: (bucket's first millisecond, count), ascending. `groups`: (key, count), largest first, then by key."""

    total: int
    series: list[tuple[int, int]] | None = None
    groups: list[tuple[str, int]] | None = None
    truncated: bool = False


class Stats(msgspec.Struct, frozen=True):
    """Exact figures over the events that have the number; `sum` is 0.0 and the rest None where none has.

    A sum that no double can hold is None too, and so is a percentile whose neighbours differ by more than one can.
    """

    count: int
    sum: float | None = 0.0
    avg: float | None = None
    min: float | None = None
    max: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Observed(msgspec.Struct, frozen=True):
    """A name or a source that events have had; times of the events themselves."""

    value: str
    occurrences: int
    first_ms: int
    last_ms: int


PropertyType = Literal["string", "number", "boolean", "null", "object", "array"]
PROPERTY_TYPES: tuple[PropertyType, ...] = get_args(PropertyType)
MAX_CATALOG_PROPERTIES = 1000
MAX_PROPERTY_CHARS = 200


class CatalogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which names: all that are given must match. `search` is a part of the name, in any case; `after` the last name seen."""

    limit: int
    name: str | None = None
    prefix: str | None = None
    search: str | None = None
    after: str | None = None


class CatalogEntry(msgspec.Struct, frozen=True):
    """What the events of one name were like; times of the events themselves. All of it is exact.

    `properties`: each key at the top level of the properties, by key, and the types that its values had; of a key longer
    than `MAX_PROPERTY_CHARS` only the beginning. `truncated`: there are more than `MAX_CATALOG_PROPERTIES` keys, and the
    rest is left out. `example` is the latest event.
    """

    name: str
    count: int
    first_ms: int
    last_ms: int
    properties: list[tuple[str, list[PropertyType]]]
    truncated: bool
    example: StoredEvent | None


class Catalog(msgspec.Struct, frozen=True):
    """One page by name, how many names match in all, and whether any match after the page."""

    total: int
    entries: list[CatalogEntry]
    more: bool
