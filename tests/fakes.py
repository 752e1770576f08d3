"""A log and a store over Python lists: they fit the ports, and say in a few lines what every adapter has to answer."""

import math
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from threading import RLock
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from headrace.model.entries import Entry, ErasedEvent, Held, Keyed, Kind, Receipt, Record, Unreadable
from headrace.model.errors import Unavailable
from headrace.model.event import (
    HISTORY,
    StoredEvent,
    Tenant,
    decode,
    first_position,
    next_position,
    received_at_ms,
    tail_of,
)
from headrace.model.filters import (
    MAX_CATALOG_PROPERTIES,
    MAX_GROUPS,
    MAX_PROPERTY_CHARS,
    NOT_BRIEF,
    PROPERTY_TYPES,
    Catalog,
    CatalogEntry,
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
from headrace.model.measures import (
    MAX_METRICS,
    MAX_TAG_KEYS,
    WIDTH_MS,
    Bucket,
    Group,
    Measured,
    Metric,
    MetricList,
    Question,
)
from headrace.model.quarantine import Quarantined
from headrace.model.zones import UTC_ZONE, Interval, Zone
from headrace.ports.store import StoreFailed
from tests.printed import holds, number_at, print_json, properties_of, property_of, spellings, tag_of

__all__ = ["print_json"]

BYTES_PER_KEY = 80


class MemoryLog:
    """Fits the Log port. `reopens`: the log whose records, keys and positions this one takes over, as a file would.

    `broken` says why appends fail, or "".
    """

    def __init__(
        self,
        *,
        clock_ms: Callable[[], int],
        floor: int = 0,
        partition: int = 0,
        dedup_window_s: float = 7 * 86_400.0,
        dedup_max_bytes: int = 16 * 1024**3,
        max_bytes: int = 8 * 1024**3,
        reopens: "MemoryLog | None" = None,
    ) -> None:
        self.broken = ""
        self._clock_ms = clock_ms
        self._partition = partition
        self._window_ms = int(dedup_window_s * 1000)
        self._max_keys = max(1, dedup_max_bytes // BYTES_PER_KEY)
        self._max_bytes = max_bytes
        self._lock = RLock()
        self._records: list[Record] = list(reopens._records) if reopens else []
        self._keys: dict[bytes, Receipt] = dict(reopens._keys) if reopens else {}  # oldest first
        self._last = max(floor, reopens._last if reopens else 0)
        self._trimmed_event = reopens._trimmed_event if reopens else 0
        self._given = self._last

    def append(self, entries: Sequence[Entry], /, *, history: bool = False) -> list[Receipt]:
        with self._lock:
            if self.size_bytes() >= self._max_bytes:
                raise Unavailable("The log is full.")
            receipts: list[Receipt] = []
            records: list[Record] = []
            keys = dict(self._keys)
            for entry in entries:
                first = keys.get(entry.key)
                if first and first.position >= self._oldest_key():
                    receipts.append(Receipt(first.position, first.tail, duplicate=True))
                    continue
                self._given = next_position(self._given, self._clock_ms(), self._partition)
                receipt = Receipt(self._given, int.from_bytes(os.urandom(6)) | (HISTORY if history else 0))
                receipts.append(receipt)
                records.append(Record(receipt.position, receipt.tail, entry.payload, entry.kind))
                if entry.key:
                    keys.pop(entry.key, None)  # so that the order stays the order of positions
                    keys[entry.key] = receipt
            if self.broken:
                raise Unavailable(self.broken)
            self._keys = keys
            self._records += records
            self._last = self._given if records else self._last
            return receipts

    def spoil(self, position: int) -> None:
        """From now on the entry at this position cannot be read."""
        self._records = [
            Unreadable.at(each.position, each.tail, b"?" + each.payload, "spoilt", was=each.kind)
            if each.position == position
            else each
            for each in self._records
        ]

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        with self._lock:
            start = bisect_right(self._records, after, key=lambda record: record.position)
            size, end = 0, start
            for record in self._records[start:]:
                size += len(record.payload)
                if end > start and (end - start >= max_entries or size > max_bytes):
                    break
                end += 1
            return self._records[start:end]

    def last(self) -> int:
        return self._last

    async def tails(self) -> Mapping[int, int]:
        return {self._partition: self._last}

    def knows(self, key: bytes, /) -> int | None:
        with self._lock:
            first = self._keys.get(key)
            return first.position if first and first.position >= self._oldest_key() else None

    def held(self, upto: int, /) -> Held:
        with self._lock:
            held = [record for record in self._records if record.position <= upto]
            events = [record.position for record in held if _kind(record) in (Kind.EVENT, Kind.ERASED)]
            last_event = events[-1] if events else self._trimmed_event or (0 if held else upto)
            return Held(len(events), held[0].position - 1 if held else upto, last_event)

    def trim(self, upto: int, /) -> int:
        with self._lock:
            kept = [record for record in self._records if record.position > upto]
            gone = self._records[: len(self._records) - len(kept)]
            self._trimmed_event = max([self._trimmed_event, *(each.position for each in gone if not _kind(each))])
            self._records = kept
            known = [item for item in self._keys.items() if item[1].position >= self._oldest_key()]
            self._keys = dict(known[-self._max_keys :])
            return len(gone)

    def give_back_room(self) -> None:
        pass

    def redact(self, positions: Collection[int], /) -> None:
        with self._lock:
            self._records = [emptied(each) if each.position in positions else each for each in self._records]

    def overwrite(self) -> None:
        pass

    def size_bytes(self) -> int:
        return sum(len(record.payload) for record in self._records)

    def dedup_window_s(self) -> float:
        return self._window_ms / 1000

    def close(self) -> None:
        pass

    def _oldest_key(self) -> int:
        return first_position(max(0, self._clock_ms() - self._window_ms))


def emptied(record: Record) -> Record:
    """What is left of an entry of the log once it was erased, if it is an event."""
    return record if record.kind else Record(record.position, record.tail, b"", Kind.ERASED)


def _kind(record: Record) -> int:
    """The kind that it was written with."""
    return record.was if isinstance(record, Unreadable) else record.kind


class MemoryErasedEvents:
    """Fits the ErasedEvents and ErasedKeys ports."""

    def __init__(self) -> None:
        self._events: dict[tuple[int, int], ErasedEvent] = {}

    def add(self, events: Sequence[ErasedEvent], /) -> None:
        for event in events:
            self._events.setdefault((event.position, event.tail), event)

    def count(self, after: int, upto: int, /) -> int:
        return sum(map(len, self.pages(after, upto)))

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        listed = [self._events[place] for place in sorted(self._events) if after < place[0] <= upto]
        return (listed[start : start + 2] for start in range(0, len(listed), 2))

    def last(self, after: int, /) -> int:
        return max([after, *(position for position, _ in self._events)])

    def with_keys(self, keys: Collection[bytes], /) -> set[bytes]:
        return {event.key for event in self._events.values() if event.key} & {*keys}


class MemoryQuarantine:
    """Fits the Quarantine port."""

    def __init__(self) -> None:
        self.rows: dict[int, Quarantined] = {}

    def add(self, entries: Sequence[Quarantined], /) -> int:
        new = [each for each in entries if each.position not in self.rows]
        self.rows |= {each.position: each for each in new}
        return len(new)

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        found = [
            ErasedEvent(each.position, each.tail, each.key)
            for each in sorted(self.rows.values(), key=lambda each: each.position)
            if after < each.position <= upto and not each.kind
        ]
        return (found[start : start + 2] for start in range(0, len(found), 2))

    def last(self, after: int, /) -> int:
        return max([after, *self.rows])

    def listed(self, after: int, limit: int, /) -> list[Quarantined]:
        return [each for each in self.find(list(self.rows)) if each.position > after][:limit]

    def find(self, positions: Sequence[int], /) -> list[Quarantined]:
        found = [self.rows[each] for each in sorted(set(positions) & self.rows.keys())]
        return [each for each in found if each.dropped_at_ms is None]

    def drop(self, positions: Sequence[int], now_ms: int, /) -> None:
        for each in self.find(positions):
            self.rows[each.position] = msgspec.structs.replace(each, payload=b"", key=b"", dropped_at_ms=now_ms)

    def remove(self, positions: Sequence[int], /) -> None:
        for position in positions:
            self.rows.pop(position, None)

    def count(self) -> int:
        return len(self.listed(-1, 10**9))


class MemoryStore:
    """Fits the ErasableStore and the Reader port: brute force over a list, and so the specification of every query.

    `broken` says why it fails, or "".
    """

    def __init__(self) -> None:
        self.broken = ""
        self._lock = RLock()
        self._events: list[StoredEvent] = []

    def insert(self, records: Sequence[Record], /) -> None:
        months = {_month(record.position) for record in records}
        if self.broken or len(months) > 1:
            raise StoreFailed(self.broken or "records of more than one month")
        with self._lock:
            self._events += [_stored(record) for record in records]

    def present(self, after: int, upto: int, /) -> set[str]:
        if self.broken:
            raise StoreFailed(self.broken)
        return {event.id for event in self._events if after < event.position <= upto}

    def last(self, after: int, /) -> int:
        if self.broken:
            raise StoreFailed(self.broken)
        return max([after, *(event.position for event in self._events)])

    def held(self, after: int, upto: int, /) -> int:
        return sum(after < event.position <= upto for event in self._events)

    def damaged(self) -> list[str]:
        return [self.broken] if self.broken else []

    def stored(self, ids: Sequence[str], /) -> set[str]:
        if self.broken:
            raise StoreFailed(self.broken)
        return {event.id for event in self._events}.intersection(ids)

    def erase(self, ids: Sequence[str], /) -> None:
        if self.broken:
            raise StoreFailed(self.broken)
        with self._lock:
            self._events = [event for event in self._events if event.id not in set(ids)]

    def owned(self, tenant: Tenant, ids: Sequence[str], after: int, upto: int, limit: int, /) -> list[Keyed]:
        found = [each for each in self._matching(tenant, Filters(people=ids)) if after < each.position <= upto]
        found.sort(key=lambda event: event.position)
        return [Keyed(event.position, tail_of(event.id), event) for event in found[:limit]]

    def forget_merged(self, tenant: Tenant, /) -> None:
        pass

    def old(self, tenant: Tenant, before_ms: int, after: int, upto: int, /) -> int:
        found = self._older(tenant, before_ms, upto)
        return sum(event.position > after for event in found)

    def prune(self, tenant: Tenant, before_ms: int, upto: int, /) -> None:
        self.erase([event.id for event in self._older(tenant, before_ms, upto)])

    def _older(self, tenant: Tenant, before_ms: int, upto: int) -> list[StoredEvent]:
        return [
            event
            for event in self._matching(tenant, Filters(upto=upto))
            if min(event.timestamp_ms, received_at_ms(event.position)) < before_ms
        ]

    def keyed(self, after: int, upto: int, /, limit: int) -> list[Keyed]:
        with_key = [event for event in self._events if after < event.position <= upto and event.message_id]
        youngest = sorted(with_key, key=lambda event: event.position, reverse=True)[:limit]
        return [Keyed(event.position, tail_of(event.id), event) for event in youngest]

    def keyed_at(self, positions: Sequence[int], /) -> list[Keyed]:
        return [
            Keyed(event.position, tail_of(event.id), event) for event in self._events if event.position in positions
        ]

    def seen_by_id(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        return self._seen(tenant, ids, _owner)

    def seen_by_name(self, tenant: Tenant, ids: Sequence[str], limit: int, /) -> list[Observed]:
        found = self._seen(tenant, ids, lambda event: event.name)
        return sorted(found, key=lambda each: (-each.occurrences, each.value.encode()))[:limit]

    def _seen(self, tenant: Tenant, ids: Sequence[str], key: Callable[[StoredEvent], str]) -> list[Observed]:
        times: dict[str, list[int]] = {}
        for event in self._matching(tenant, Filters(people=ids)):
            times.setdefault(key(event), []).append(event.timestamp_ms)
        return [Observed(value, len(found), min(found), max(found)) for value, found in times.items()]

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events:
        found = self._matching(tenant, filters)
        total = len(found)
        found.sort(key=_time_and_position, reverse=not page.oldest_first)
        if page.after is not None:
            mark = (page.after.timestamp_ms, page.after.position)
            is_after = mark.__lt__ if page.oldest_first else mark.__gt__
            found = [event for event in found if is_after(_time_and_position(event))]
        end = page.offset + page.limit
        shown = [_shown(event, *(NOT_BRIEF if page.brief else ())) for event in found[page.offset : end]]
        return Events(total, shown, more=len(found) > end)

    def oldest(self, tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /) -> list[StoredEvent]:
        return self.events(tenant, filters, Page(limit=limit, after=after, oldest_first=True)).events

    def matching(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        found = [event for event in self._matching(tenant, filters) if after < event.position <= upto]
        return [_shown(event) for event in sorted(found, key=lambda each: each.position)[:limit]]

    def in_order(self, tenant: Tenant, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        own = [each for each in self._events if (each.project, each.mode) == (tenant.project, tenant.mode)]
        found = sorted((each for each in own if after < each.position <= upto), key=lambda each: each.position)
        return found[:limit]

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        found = [event for event in self._matching(tenant, Filters()) if event.id in ids]
        return [_shown(event) for event in sorted(found, key=_time_and_position)]

    def count(
        self,
        tenant: Tenant,
        filters: Filters,
        /,
        interval: Interval | None = None,
        group_by: Dimension | None = None,
        zone: Zone = UTC_ZONE,
    ) -> Counts:
        found = self._matching(tenant, filters)
        series = groups = None
        if interval:
            series = sorted(Counter(bucket(event.timestamp_ms, interval, zone.name) for event in found).items())
        if group_by:
            keys = Counter(_key(event, group_by) for event in found)
            del keys[None]
            groups = sorted(keys.items(), key=lambda group: (-group[1], group[0].encode()))
        return Counts(len(found), series, groups and groups[:MAX_GROUPS], truncated=len(groups or ()) > MAX_GROUPS)

    def stats(self, tenant: Tenant, filters: Filters, field: Dimension, /) -> Stats:
        if field.kind not in ("value", "property"):
            raise ValueError(field.kind)
        found = self._matching(tenant, filters)
        numbers = sorted(number for event in found if (number := number_at(event, field)) is not None)
        if not numbers:
            return Stats(0)
        exact = sum(map(Fraction, numbers))
        return Stats(
            *(len(numbers), rounded(exact), rounded(exact / len(numbers)), numbers[0], numbers[-1]),
            *(percentile(numbers, rank) for rank in (0.5, 0.95, 0.99)),
        )

    def observed(self, tenant: Tenant, column: str, limit: int, search: str = "", /) -> list[Observed]:
        times: dict[str, list[int]] = {}
        for event in self._matching(tenant, Filters()):
            if search.lower() in getattr(event, column).lower():
                times.setdefault(getattr(event, column), []).append(event.timestamp_ms)
        found = sorted(times.items(), key=lambda item: (-max(item[1]), item[0].encode()))
        return [Observed(value, len(each), min(each), max(each)) for value, each in found[:limit]]

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        by_name: dict[str, list[StoredEvent]] = {}
        for event in self._matching(tenant, Filters(name=page.name, name_prefix=page.prefix)):
            if (page.search or "").lower() in event.name.lower():
                by_name.setdefault(event.name, []).append(event)
        names = sorted(by_name)
        after = [name for name in names if page.after is None or name > page.after]
        entries = [_catalogued(name, by_name[name]) for name in after[: page.limit]]
        return Catalog(len(names), entries, more=len(after) > page.limit)

    def metrics(self, tenant: Tenant, /) -> MetricList:
        by_name: dict[str, list[StoredEvent]] = {}
        for point in self._matching(tenant.metrics, Filters()):
            by_name.setdefault(point.name, []).append(point)
        found = [_metric(points, with_tags=False) for _, points in sorted(by_name.items())]
        return MetricList(found[:MAX_METRICS], len(found))

    def metric(self, tenant: Tenant, name: str, /) -> Metric | None:
        points = list(self._matching(tenant.metrics, Filters(name=name)))
        return _metric(points, with_tags=True) if points else None

    def measure(self, tenant: Tenant, question: Question, /) -> Measured:
        found = [
            point
            for point in self._matching(tenant.metrics, question.filters)
            if point.name == question.metric and point.group_id == question.type
        ]
        groups: list[Group] | None = None
        if question.group_by:
            keys = Counter(point.tags[question.group_by] for point in found if question.group_by in point.tags)
            ordered = sorted(keys, key=lambda key: (-keys[key], key.encode()))
            of = {key: [point for point in found if point.tags.get(question.group_by) == key] for key in ordered}
            groups = [Group(key, _figures(of[key], question), _series(of[key], question)) for key in ordered]
        shown = groups and groups[:MAX_GROUPS]
        truncated = len(groups or ()) > MAX_GROUPS
        return Measured(_figures(found, question), _series(found, question), shown, truncated)

    def _matching(self, tenant: Tenant, filters: Filters) -> list[StoredEvent]:
        if self.broken:
            raise Unavailable(self.broken)
        return [
            event
            for event in self._events
            if (event.project, event.mode) == (tenant.project, tenant.mode) and matches(event, filters)
        ]


def _metric(points: list[StoredEvent], *, with_tags: bool) -> Metric:
    kind: Any = max(points, key=lambda point: point.position).group_id
    points = [point for point in points if point.group_id == kind]
    times = [point.timestamp_ms for point in points]
    tags = sorted({key for point in points for key in point.tags})[:MAX_TAG_KEYS] if with_tags else []
    return Metric(points[0].name, kind, len(points), min(times), max(times), tags)


def _series(points: list[StoredEvent], question: Question) -> list[Bucket] | None:
    if question.interval is None:
        return None
    width = WIDTH_MS[question.interval]
    buckets: dict[int, list[StoredEvent]] = {}
    for point in points:
        buckets.setdefault(point.timestamp_ms // width * width, []).append(point)
    return [Bucket(start, _figures(each, question)) for start, each in sorted(buckets.items())]


def _figures(points: list[StoredEvent], question: Question) -> list[float | None]:
    numbers = sorted(point.value for point in points if point.value is not None)
    exact = sum(map(Fraction, numbers), Fraction())
    every: dict[str, float | None] = {
        "count": float(len(points)),
        "sum": rounded(exact),
        "cardinality": float(len({point.user_id for point in points})),
    }
    if numbers:
        every |= {
            "avg": rounded(exact / len(numbers)),
            "min": numbers[0],
            "max": numbers[-1],
            "last": max(points, key=_time_and_position).value,
        }
        every |= {f"p{rank}": percentile(numbers, rank / 100) for rank in (50, 90, 95, 99)}
    return [every.get(each) for each in question.aggregations]


_EQUAL = ("name", "user_id", "source", "session_id", "environment", "service", "host")


def matches(event: StoredEvent, filters: Filters, /) -> bool:
    return (
        all(getattr(filters, field) in (None, getattr(event, field)) for field in _EQUAL)
        and event.name.startswith(filters.name_prefix or "")
        and (filters.from_ms is None or event.timestamp_ms >= filters.from_ms)
        and (filters.to_ms is None or event.timestamp_ms <= filters.to_ms)
        and (filters.after is None or event.position > filters.after)
        and (filters.upto is None or event.position <= filters.upto)
        and (filters.ids is None or event.id in filters.ids)
        and filters.person in (None, event.user_id, event.anonymous_id)
        and (filters.people is None or _owner(event) in filters.people)
        and all(tag_of(event, key) == value for key, value in filters.tags)
        and all(property_of(event, key) in spellings(event, key, value) for key, value in filters.properties)
        and all(holds(event, each) for each in filters.conditions)
    )


def _owner(event: StoredEvent) -> str:
    return event.user_id or event.anonymous_id


_TYPES = ((bool, "boolean"), (str, "string"), (int | float, "number"), (dict, "object"), (list, "array"))


def _catalogued(name: str, events: list[StoredEvent]) -> CatalogEntry:
    found: dict[str, set[str]] = {}
    for event in events:
        for key, value in properties_of(event).items():
            kind = next((kind for of, kind in _TYPES if isinstance(value, of)), "null")
            found.setdefault(key[:MAX_PROPERTY_CHARS], set()).add(kind)
    times = [event.timestamp_ms for event in events]
    properties = [(key, [kind for kind in PROPERTY_TYPES if kind in found[key]]) for key in sorted(found)]
    truncated = len(found) > MAX_CATALOG_PROPERTIES
    example = _shown(max(events, key=_time_and_position))
    return CatalogEntry(
        name, len(events), min(times), max(times), properties[:MAX_CATALOG_PROPERTIES], truncated, example
    )


_MINUTES = {"1m": 1, "5m": 5, "1h": 60}


def bucket(moment_ms: int, interval: Interval, zone: str, /) -> int:
    """The first millisecond of the bucket, by Python's own clock of the zone."""
    local = datetime.fromtimestamp(moment_ms // 1000, ZoneInfo(zone))
    if interval in _MINUTES:
        offset_ms = _offset_ms(moment_ms, zone)
        start = moment_ms - (moment_ms + offset_ms) % (_MINUTES[interval] * 60_000)
        while _offset_ms(start, zone) != offset_ms:  # the clock changed meanwhile: a bucket begins there
            start += 1000 - start % 1000
        return start
    day = local.replace(hour=0, minute=0, second=0, fold=0)
    if interval == "1w":
        day -= timedelta(days=day.weekday())
    if interval == "1M":
        day = day.replace(day=1)
    return round(day.timestamp()) * 1000  # where no clock showed midnight, this is the change of clocks


def _offset_ms(moment_ms: int, zone: str) -> int:
    offset = datetime.fromtimestamp(moment_ms // 1000, ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return round(offset.total_seconds()) * 1000


def _key(event: StoredEvent, dimension: Dimension) -> str | None:
    match dimension.kind:
        case "tag":
            return tag_of(event, dimension.key)
        case "property":
            return property_of(event, dimension.key)
        case "name":
            return event.name
        case "user_id":
            return event.user_id or None
        case "own":
            tag = tag_of(event, dimension.key)
            return tag if tag is not None else getattr(event, dimension.key) or None
        case _:
            raise ValueError(dimension.kind)


def percentile(numbers: list[float], rank: float) -> float | None:
    """percentile_cont: between the two neighbours, linearly."""
    place = rank * (len(numbers) - 1)
    low = numbers[math.floor(place)]
    high = numbers[math.ceil(place)]
    found = low + (high - low) * (place - math.floor(place))
    return found if math.isfinite(found) else None


def rounded(exact: Fraction | int) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None


def _stored(record: Record) -> StoredEvent:
    event = decode(record.payload)
    fields = {field: getattr(event, field) for field in event.__struct_fields__}
    return StoredEvent(id=record.id, position=record.position, **fields)


def _shown(event: StoredEvent, *hidden: str) -> StoredEvent:
    """As a reader returns it: without what only queries need."""
    left_out = {"labels", "numbers", *hidden}
    return StoredEvent(**{field: getattr(event, field) for field in event.__struct_fields__ if field not in left_out})


def _time_and_position(event: StoredEvent) -> tuple[int, int]:
    return event.timestamp_ms, event.position


def _month(position: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(received_at_ms(position) / 1000, UTC)
    return moment.year, moment.month
