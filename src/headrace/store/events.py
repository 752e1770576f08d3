"""Reads events: pages, single events, counts, series, groups and statistics."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import TypeAlias

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, Tenant
from headrace.model.filters import MAX_BUCKETS, MAX_GROUPS, Counts, Cursor, Dimension, Events, Filters, Page, Stats
from headrace.model.zones import UTC_ZONE, WIDTH_MS, Interval, Zone, first_day_of
from headrace.store.engine import Engine, NeedsMoreMemory, ResultTooLarge, events_in
from headrace.store.known_people import KnownPeople
from headrace.store.queries import counts
from headrace.store.queries import events as queries
from headrace.store.queries.conditions import NONE_HOT, Hot
from headrace.store.queries.events import PageBounds

_GET_AT_ONCE = 1000
_ROWS_AT_ONCE = 100  # an event has at most 256 KiB, unless a setting says otherwise
_AT_ONCE_BYTES = 16 * 1024 * 1024  # a page of more is read in pieces
_SMALL_ROW_BYTES, _SMALL_ROWS_AT_ONCE = 4096, 500
_MOST_MOMENTS = 5000
_BUSY = 20_000  # events of a user: so many are read in a few milliseconds
_MANY = 50_000  # events between a page's bounds: their times are read in some 10 ms
_Figure: TypeAlias = float | None
_stats_decoder = msgspec.json.Decoder(tuple[int, _Figure, _Figure, _Figure, _Figure, list[_Figure]])
_exact_stats_decoder = msgspec.json.Decoder(tuple[int, float, float, list[_Figure], list[tuple[int, str]]])


class EventReader:
    """Fits the StoredEvents and EventCounts ports."""

    def __init__(
        self, engine: Engine, people: KnownPeople, hot: Hot = NONE_HOT, /, *, max_page_bytes: int = 64 * 1024 * 1024
    ) -> None:
        """hot: tags with a column of their own, each with its name."""
        self._engine = engine
        self._people = people
        self._hot = hot
        self._max_page_bytes = max_page_bytes

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events:
        """See the StoredEvents port."""
        filters = self._people.meant(tenant, filters)
        total, bounds = self._outline(tenant, filters, page)
        if page.offset >= total:  # returns nothing, so there is nothing to sort, however large the offset
            return Events(total, [], more=False)
        events, found = self._page(tenant, filters, page, bounds)
        # Events may have arrived between the queries. The total includes everything that the page shows.
        return Events(max(total, page.offset + found), events[: page.limit], more=found > page.limit)

    def _page(self, tenant: Tenant, filters: Filters, page: Page, bounds: PageBounds) -> tuple[list[StoredEvent], int]:
        """The page's events, and how many events there are from its first one on, at most one more than it holds."""
        events, found = list[StoredEvent](), 0
        for window in bounds.windows(page.offset + page.limit + 1, _MANY):
            events, found = self._page_within(tenant, filters, page, window)
            if found > page.limit:
                break
        return events, found

    def _page_within(
        self, tenant: Tenant, filters: Filters, page: Page, bounds: PageBounds
    ) -> tuple[list[StoredEvent], int]:
        query = queries.whole(tenant, filters, page, bounds, self._hot)
        if page.limit <= _ROWS_AT_ONCE:
            events = self._engine.events(query)
            return events, len(events)
        at_once = {"max_result_bytes": min(self._max_page_bytes, _AT_ONCE_BYTES)}
        with suppress(ResultTooLarge, NeedsMoreMemory):
            body = self._engine.ask(
                msgspec.structs.replace(query, settings={**query.settings, **at_once}), "JSONEachRow"
            )
            self._check_size(len(body))
            events = list(events_in(body))
            return events, len(events)
        rows = self._engine.rows(queries.keys(tenant, filters, page, bounds, self._hot))
        keys = [(name, moment, position) for name, moment, position in rows[: page.limit]]
        return self._of_keys(tenant, keys), len(rows)

    def oldest(self, tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /) -> list[StoredEvent]:
        """See the StoredEvents port."""
        filters = self._people.meant(tenant, filters)
        page = Page(limit=limit, after=after, oldest_first=True)
        query = queries.whole(tenant, filters, page, PageBounds(), self._hot)
        body = self._engine.ask(
            msgspec.structs.replace(query, settings={**query.settings, "max_threads": 1}), "JSONEachRow"
        )
        self._check_size(len(body))
        return list(events_in(body))[:limit]

    def in_order(self, tenant: Tenant, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        """See the EventsInOrder port."""
        return self._engine.events(queries.in_order(tenant, after, upto, limit))

    def matching(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        """See the MatchingEvents port."""
        return self._engine.events(queries.matching(tenant, filters, after, upto, limit, self._hot))

    def _outline(self, tenant: Tenant, filters: Filters, page: Page) -> tuple[int, PageBounds]:
        """The total number of matches, and the location of the page's events."""
        wanted = page.offset + page.limit + 1
        if page.oldest_first:
            return self._engine.rows(counts.total(tenant, filters, self._hot))[0][0], PageBounds()
        if (filters.user_id is not None or filters.people is not None) and wanted <= _MOST_MOMENTS:
            found = self._engine.rows(queries.newest_of_user(tenant, filters, page, _BUSY, self._hot))
            # Otherwise there are more than were read, and those may all come after the cursor.
            are_all = found[0][2] < _BUSY if found else page.after is None
            if not are_all:
                found = self._engine.rows(queries.newest_of_busy_user(tenant, filters, page, self._hot))
            moments = [(name, moment) for name, moment, _ in found]
            # Events at the cursor's own time may lie before it. If they fill the list, it may be too short.
            doubtful = sum(page.after is not None and moment == page.after.timestamp_ms for _, moment in moments)
            if 0 < len(found) <= _MOST_MOMENTS and (len(found) < wanted or len(found) - doubtful >= wanted):
                return found[0][2], PageBounds(moments=moments)
        total, floor_ms, between, top_ms = self._engine.rows(queries.outline(tenant, filters, page, self._hot))[0]
        if page.after is not None:
            top_ms = min(top_ms, page.after.timestamp_ms)
        if filters.to_ms is not None:
            top_ms = min(top_ms, filters.to_ms)
        return total, PageBounds(floor_ms=floor_ms, top_ms=top_ms, between=between)

    def _of_keys(self, tenant: Tenant, keys: list[tuple[str, int, int]]) -> list[StoredEvent]:
        """Whole events in the order of their keys, read a few at a time, so that no query's memory grows with their number."""
        found: dict[int, StoredEvent] = {}
        size, start, at_once = 0, 0, _ROWS_AT_ONCE
        while start < len(keys):
            body = self._engine.ask(queries.rows(tenant, keys[start : start + at_once]), "JSONEachRow")
            size += len(body)
            start += at_once
            if len(body) < at_once * _SMALL_ROW_BYTES:  # a query takes tens of milliseconds, however small
                at_once = _SMALL_ROWS_AT_ONCE
            self._check_size(size)
            found |= {event.position: event for event in events_in(body)}
        return [found[position] for _, _, position in keys]

    def _check_size(self, size: int) -> None:
        if size > self._max_page_bytes:
            raise InvalidRequest(
                f"The page has more than {self._max_page_bytes / 2**20:g} MiB of events: use a smaller 'limit'."
            )

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        """See the StoredEvents port."""
        ids = list(dict.fromkeys(ids))
        found = [
            event
            for start in range(0, len(ids), _GET_AT_ONCE)
            for event in self._engine.events(queries.get(tenant, ids[start : start + _GET_AT_ONCE]))
        ]
        return sorted(found, key=lambda event: (event.timestamp_ms, event.position))

    def count(
        self,
        tenant: Tenant,
        filters: Filters,
        /,
        interval: Interval | None = None,
        group_by: Dimension | None = None,
        zone: Zone = UTC_ZONE,
    ) -> Counts:
        """See the EventCounts port."""
        filters = self._people.meant(tenant, filters)
        series = None if interval is None else self._series(tenant, filters, interval, zone)
        if group_by is None:
            total = (
                self._engine.rows(counts.total(tenant, filters, self._hot))[0][0] if series is None else _sum(series)
            )
            return Counts(total, series)
        try:
            rows = self._engine.rows(counts.groups(tenant, filters, group_by, self._hot))
        except NeedsMoreMemory:  # millions of values: the most frequent ones, each counted exactly
            total = self._engine.rows(counts.total(tenant, filters, self._hot))[0][0]
            most = self._engine.rows(counts.frequent_groups(tenant, filters, group_by, self._hot))
            return Counts(total, series, [(key, hits) for key, hits in most[:MAX_GROUPS]], truncated=True)
        groups = [(key, hits) for key, hits, _ in rows if key is not None]
        total = rows[0][2] if rows else 0
        return Counts(total, series, groups[:MAX_GROUPS], truncated=len(groups) > MAX_GROUPS)

    def _series(self, tenant: Tenant, filters: Filters, interval: Interval, zone: Zone) -> list[tuple[int, int]]:
        found = [
            (bucket, count)
            for bucket, count in self._engine.rows(counts.series(tenant, filters, interval, zone, self._hot))
        ]
        if interval not in WIDTH_MS:
            first_days: dict[int, int] = {}
            for day, count in found:
                first = first_day_of(day, interval)
                first_days[first] = first_days.get(first, 0) + count
            found = [(zone.first_of_day(day), count) for day, count in first_days.items()]
        if len(found) > MAX_BUCKETS:
            raise InvalidRequest(
                f"The series would have more than {MAX_BUCKETS} buckets: narrow 'from' and 'to', or widen 'interval'."
            )
        return found

    def stats(self, tenant: Tenant, filters: Filters, field: Dimension, /) -> Stats:
        """See the EventCounts port."""
        filters = self._people.meant(tenant, filters)
        count, total, size, least, most, percentiles = _stats_decoder.decode(
            self._engine.ask(counts.stats(tenant, filters, field, self._hot), "JSONCompactEachRow")
        )
        if not count:
            return Stats(0)
        if total is not None and size is not None and size <= 2 * abs(total):
            return Stats(count, total, total / count, least, most, *percentiles)
        # Values of both signs cancel out and cost more digits than a double can spare, or the sum overflowed.
        count, least, most, percentiles, parts = _exact_stats_decoder.decode(
            self._engine.ask(counts.stats_exactly(tenant, filters, field, self._hot), "JSONCompactEachRow")
        )
        exact = sum((int(mantissa) * _power_of_two(exponent) for exponent, mantissa in parts), Fraction())
        return Stats(count, _double(exact), _double(exact / count), least, most, *percentiles)


def _sum(series: list[tuple[int, int]]) -> int:
    return sum(count for _, count in series)


def _power_of_two(exponent: int) -> Fraction:
    """The value of the last bit of a double's mantissa, from the double's exponent bits (IEEE 754 §3.4)."""
    power = max(exponent, 1) - 1075
    return Fraction(2**power) if power >= 0 else Fraction(1, 2**-power)


def _double(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None
