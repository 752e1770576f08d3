"""What the pipeline needs of the outside: a log, a store, and control. Adapters fit these; they do not inherit from them."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from headrace.event import Event, StoredEvent, Tenant, event_id
from headrace.filters import (
    Catalog,
    CatalogPage,
    Counts,
    Cursor,
    Dimension,
    Events,
    Filters,
    Observed,
    Page,
    Stats,
)
from headrace.measures import Measured, Metric, Question
from headrace.zones import UTC_ZONE, Interval, Zone


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What goes into the log. `key`: 16 bytes that make a repeat of the entry a repeat, or b"" for none."""

    payload: bytes
    key: bytes = b""


class _Placed(msgspec.Struct, frozen=True, gc=False):
    """Position and tail make the event's id; as text it is made where somebody asks."""

    position: int
    tail: int

    @property
    def id(self) -> str:
        return event_id(self.position, self.tail)


class Receipt(_Placed, frozen=True, gc=False):
    """What the log gave an entry; for a duplicate, what it gave the first."""

    duplicate: bool = False


class Record(_Placed, frozen=True, gc=False):
    """An entry as it is read back."""

    payload: bytes


class Keyed(_Placed, frozen=True, gc=False):
    """A stored event that has a dedup key, and where it is. Of the event, only what the key is made of."""

    event: Event


class Effect(msgspec.Struct, frozen=True):
    """Something that an event sets off: a fact, a challenge completed, a badge, points.

    `rule` names what said so, in the `version` of its meaning; `detail` is what a reply shows of it. `generation` counts
    how often it was forced to happen again.
    """

    kind: str
    event_id: str
    rule: str
    detail: dict[str, object]
    version: str = ""
    participant: str = ""
    generation: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What a replay set off, or would, and how many effects it did not set off again.

    `failed`: (event id, what was wrong) of those that could not be reacted to, of which nothing was kept.
    """

    effects: list[Effect]
    suppressed: int
    failed: list[tuple[str, str]] = []


ReplayStatus = Literal["queued", "running", "paused", "done", "cancelled", "failed"]


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True):
    """A replay that goes on by itself: which events, and how far it has come.

    `total` events are to be replayed, all at or below the position `upto`. `replayed` went through the reactions, which
    set off `effects` and held back `suppressed`; `failed` could not go through; of `unknown` ids there is no event. `errors`
    are the first of (id, what was wrong). `problem`: what keeps it from going on, or "".
    """

    id: str
    tenant: Tenant
    status: ReplayStatus
    filters: Filters
    ids: int | None  # how many were asked for, where the events were chosen by id
    limit: int | None
    force: bool
    upto: int
    total: int
    replayed: int = 0
    failed: int = 0
    unknown: int = 0
    effects: int = 0
    suppressed: int = 0
    errors: list[tuple[str, str]] = []
    problem: str = ""
    cursor: Cursor | None = None
    created_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None


class Trace(msgspec.Struct, frozen=True):
    """What has become of an event. `repeat_known`: sent again now, it would be taken for a repeat."""

    event: StoredEvent
    repeat_known: bool
    in_log: bool
    reacted: bool
    effects: list[Effect]


class Log(Protocol):
    """Durable and ordered; the one thing that an acknowledgement rests on. Any thread may call it."""

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        """Write entries durably, in order, all or none; a repeated key writes nothing.

        Returns one receipt per entry, in order. A key seen within the dedup window, also earlier in the same call, gives
        a receipt with `duplicate` and the first one's position and id. Positions strictly increase and are never reused.
        Raises Unavailable if nothing was acknowledged; after a return, everything survives power loss.
        """
        ...

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """The records after a position, in order: at least one if there is one, then up to either bound."""
        ...

    def last(self) -> int:
        """The position of the last durable entry, or the floor below which none will ever be given."""
        ...

    def held(self, upto: int, /) -> tuple[int, int]:
        """How many entries up to and with a position are still held, and the position just before the first of them.

        (0, upto) for none.
        """
        ...

    def trim(self, upto: int, /) -> int:
        """Forget entries up to and with a position, and keys past their window; return how many entries went.

        Works in bounded steps, so one call may leave some for the next.
        """
        ...

    def size_bytes(self) -> int:
        """Bytes of payload that the log holds."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """Where events stay. One thread writes."""

    def insert(self, records: Sequence[Record], /) -> None:
        """Store records whose positions fall in one month, in one atomic, durable step; visible on return.

        Raises StoreFailed when it is not known whether they were stored: ask `present`.
        """
        ...

    def present(self, after: int, upto: int, /) -> set[str]:
        """The ids of all stored events with `after` < position <= `upto`, of every tenant. Raises StoreFailed."""
        ...

    def last(self, after: int, /) -> int:
        """The greatest position of a stored event, if it is past `after`; else `after`. Raises StoreFailed."""
        ...

    def held(self, after: int, upto: int, /) -> int:
        """How many stored events have `after` < position <= `upto`, of every tenant. Raises StoreFailed."""
        ...

    def damaged(self) -> list[str]:
        """What is wrong with the store's files, a text for each part that cannot be read. Reads them all. Raises StoreFailed."""
        ...


class StoreFailed(Exception):
    """The store did not answer, or refused; whether it stored the records is not known."""


class MetricReader(Protocol):
    """Every question of metrics, always of one tenant, whose own namespace it looks into. See Reader."""

    def metrics(self, tenant: Tenant, /, name: str | None = None) -> list[Metric]:
        """The metrics by name; of that name alone, then with the keys of its tags."""
        ...

    def measure(self, tenant: Tenant, question: Question, /) -> Measured: ...


class Reader(MetricReader, Protocol):
    """Every question, always of one tenant. Any thread may ask. Raises InvalidRequest, Unavailable."""

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events: ...

    def oldest(self, tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /) -> list[StoredEvent]:
        """At most so many of the matching events after a cursor, oldest first: what a page costs least to be read for.

        One question on one core, counting nothing. Its memory grows with the events' size: where it raises InvalidRequest, ask
        for fewer.
        """
        ...

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        """The events with these ids (32 hex digits each), oldest first; unknown ones are left out."""
        ...

    def count(
        self,
        tenant: Tenant,
        filters: Filters,
        /,
        interval: Interval | None = None,
        group_by: Dimension | None = None,
        zone: Zone = UTC_ZONE,
    ) -> Counts:
        """The zone says where an interval's buckets begin. Raises InvalidRequest for more than MAX_BUCKETS of them."""
        ...

    def stats(self, tenant: Tenant, filters: Filters, field: Dimension, /) -> Stats: ...

    def observed(self, tenant: Tenant, column: str, /) -> list[Observed]:
        """The values of the column `name` or `source`, by name. Raises InvalidRequest for more than MAX_OBSERVED."""
        ...

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        """What the events of each name were like, by name."""
        ...


class Offsets(Protocol):
    """How far the worker has come; kept in Control, in the same transaction as what its reactions caused."""

    def position(self) -> int:
        """The last position whose event is stored and reacted to; 0 at the beginning."""
        ...

    def commit(self, position: int, /) -> None:
        """Durably move on to a position. Raises ControlFailed if that is not known to have happened."""
        ...


class Reactions(Protocol):
    """Stored events through the reactions again. Any thread may call it; it takes turns with the worker."""

    def replay(
        self,
        tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        note: "Note | None" = None,
    ) -> Outcome:
        """Run events of one tenant through the reactions in the order given, all in one transaction.

        What an event caused before under the same version of the same rule is not caused again, unless `force`. A dry run
        does the same and keeps nothing. The worker waits meanwhile: give it a few hundred events at a time. An event that
        cannot be reacted to holds up no other, and is in the outcome.

        note: called with the outcome just before the commit, never in a dry run; what it writes in that transaction is
        kept with the effects or not at all, and what it raises undoes them and comes out of here.
        Raises Unavailable; then nothing has happened, unless it was the commit that failed.
        """
        ...

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """What an event has set off so far, in order. Raises Unavailable."""
        ...


Note = Callable[[object, Outcome], None]
"""Writes to Control beside what reacts: is given the open transaction, which only an adapter looks into."""


class ControlFailed(Exception):
    """The control database did not answer, or refused."""
