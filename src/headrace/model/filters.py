"""The questions that the store answers, and the answers. No I/O, no SQL, no dialect."""

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from headrace.model.conditions import Condition
from headrace.model.event import StoredEvent

MAX_GROUPS = 1000
MAX_BUCKETS = 100_000
MAX_FILLED_BUCKETS = 10_000
MAX_REPLAY = 10_000


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """An event matches if it matches every filter that is set; None and () mean not set. Times are inclusive on both sides.

    A property is compared as text: a string as itself, a number as JavaScript prints it (5, 5.0 and 5e0 all as "5", on
    either side; an integer with all its digits), true and false, an array or object as compact JSON. null counts as absent.
    """

    name: str | None = None
    name_prefix: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    user_id: str | None = None
    person: str | None = None  # one of a person's ids; an id that is nobody's matches a user or anonymous id literally
    people: Sequence[str] | None = None  # ids: of the user or, of an event without one, of the anonymous visitor
    source: str | None = None
    session_id: str | None = None
    environment: str | None = None
    service: str | None = None
    host: str | None = None
    tags: Sequence[tuple[str, str]] = ()  # the tag of that name or, without one, the string property
    properties: Sequence[tuple[str, str]] = ()
    ids: Sequence[str] | None = None  # 32 hex digits each
    after: int | None = None  # the position that is passed
    upto: int | None = None  # the greatest position
    conditions: Sequence[Condition] = ()


class Cursor(msgspec.Struct, frozen=True):
    """The last event of a page. The next page starts after it."""

    timestamp_ms: int
    position: int


# A brief page leaves these fields empty: no dialect's lists show them, and reading them costs more than all the others.
NOT_BRIEF = (
    *("session_id", "group_id", "previous_id", "context", "traits", "environment", "service", "host", "request_id"),
    *("message_id", "sent_at_ms"),
)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Selects `limit` of the matching events from `offset` on, or after a cursor. `brief`: without the fields in `NOT_BRIEF`."""

    limit: int
    offset: int = 0
    after: Cursor | None = None
    oldest_first: bool = False
    brief: bool = False


class Events(msgspec.Struct, frozen=True):
    """One page of events, the total number of matches, and whether more follow the page."""

    total: int
    events: list[StoredEvent]
    more: bool


class Selection(msgspec.Struct, frozen=True):
    """The events to replay, oldest first: those with the given ids (as the client sent them), or those that match the filters."""

    ids: Sequence[str] | None
    filters: Filters
    limit: int | None


class Dimension(msgspec.Struct, frozen=True):
    """The field to group or aggregate by. `key` is the tag's or property's name, "" for other fields.

    A group's key is the text that a filter would compare; events without the key, or with an empty user id, are in no group.
    `own`: the tag or string property of that name or, if an event has neither, its own field (one of `OWN_FIELDS`).
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
    """Exact figures over the events that have the number. If none has it, `sum` is 0.0 and the others are None.

    A sum that does not fit into a double is None too, as is a percentile between neighbours whose difference does not fit.
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
    """An event name, a source or an owner's id that occurs in the store. Times of the events, not of their receipt."""

    value: str
    occurrences: int
    first_ms: int
    last_ms: int


PropertyType = Literal["string", "number", "boolean", "null", "object", "array"]
PROPERTY_TYPES: tuple[PropertyType, ...] = get_args(PropertyType)
MAX_CATALOG_PROPERTIES = 1000
MAX_PROPERTY_CHARS = 200


class CatalogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Selects event names that match every filter set. `search`: a part of the name, in any case; `after`: the last name seen."""

    limit: int
    name: str | None = None
    prefix: str | None = None
    search: str | None = None
    after: str | None = None


class CatalogEntry(msgspec.Struct, frozen=True):
    """A summary of the events with one name. All figures are exact; the times are those of the events, not of their receipt.

    `properties`: each top-level key of the properties, sorted, with the types that its values had; keys longer than
    `MAX_PROPERTY_CHARS` are cut. `truncated`: there are more than `MAX_CATALOG_PROPERTIES` keys, and the rest is left out.
    `example` is the latest event.
    """

    name: str
    count: int
    first_ms: int
    last_ms: int
    properties: list[tuple[str, list[PropertyType]]]
    truncated: bool
    example: StoredEvent | None


class Catalog(msgspec.Struct, frozen=True):
    """One page of names, sorted, the total number of matching names, and whether more follow the page."""

    total: int
    entries: list[CatalogEntry]
    more: bool
