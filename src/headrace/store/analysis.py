"""Answers questions that analysts ask of events."""

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.model.conditions import NAME
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.event_queries import ROUGHLY, EventQuery, Point, QueryAnswer, QueryGroup
from headrace.model.filters import MAX_BUCKETS, Dimension
from headrace.model.zones import WIDTH_MS
from headrace.ports.store import EventCounts
from headrace.store.engine import Engine, NeedsMoreMemory
from headrace.store.known_people import KnownPeople
from headrace.store.queries import analysis as queries
from headrace.store.queries import counts
from headrace.store.queries.conditions import Hot, Query


class AnalysisReader:
    """Part of the EventQueries port: see `funnels` for the others."""

    def __init__(self, engine: Engine, people: KnownPeople, hot: Hot, counts: EventCounts, /) -> None:
        """counts: answers what is nothing but a count of events."""
        self._engine = engine
        self._people = people
        self._hot = hot
        self._counts = counts

    def measure_events(self, tenant: Tenant, query: EventQuery, /) -> QueryAnswer:
        """See the EventQueries port."""
        query = msgspec.structs.replace(query, filters=self._people.meant(tenant, query.filters))
        with self._people.merged(tenant, needed=query.about_people) as merged:
            try:
                answer = self._measured(tenant, query, merged.edition)
            except NeedsMoreMemory:
                if query.measure not in ROUGHLY:
                    raise
                answer = self._measured(tenant, query, merged.edition, exactly=False)
        return msgspec.structs.replace(answer, merged=merged.complete)

    def _measured(self, tenant: Tenant, query: EventQuery, edition: int | None, *, exactly: bool = True) -> QueryAnswer:
        if query.measure == "count" and not query.breakdown:
            counts = self._counts.count(tenant, query.filters, query.interval, None, query.zone)
            return QueryAnswer(counts.total, counts.series)

        if (fast := self._counted_by_one(tenant, query)) is not None:
            return fast

        def ask(**options: Any) -> Query:
            return queries.measured(tenant, query, edition, self._hot, exactly=exactly, **options)

        if query.measure == "count":
            value = self._counts.count(tenant, query.filters).total
        else:
            rows = self._engine.rows(ask())
            value = _figure(query, rows[0][3]) if rows else None
        series = None
        if query.interval is not None:
            series = sorted(self._points(query, self._engine.rows(ask(by_period=True))).get(0, []))
        if not query.breakdown:
            return QueryAnswer(value, series, exact=exactly)
        found, more = self._groups(query, ask)
        by_hash: dict[int, list[Point]] = {}
        if query.interval is not None and found:
            rows = self._engine.rows(ask(grouped=True, by_period=True, only=[row[0] for row in found]))
            by_hash = self._points(query, rows)
        groups = [
            QueryGroup(key, _figure(query, figure), None if query.interval is None else sorted(by_hash.get(hash_, [])))
            for hash_, key, _, figure in found
        ]
        return QueryAnswer(value, series, groups, truncated=more, exact=exactly)

    def _counted_by_one(self, tenant: Tenant, query: EventQuery) -> QueryAnswer | None:
        """Counts by name or by a tag: names from what a projection has counted, tags from each of their two maps alone."""
        if query.measure != "count" or query.interval is not None or len(query.breakdown) != 1:
            return None
        field = query.breakdown[0]
        if field.kind == "tag":
            dimension = Dimension("tag", field.path[0])
        elif field == NAME:
            dimension = Dimension("name")
        else:
            return None
        try:
            rows = self._engine.rows(counts.groups(tenant, query.filters, dimension, self._hot))
        except NeedsMoreMemory:
            return None
        found = sorted(
            (row for row in rows if row[1]), key=lambda row: (-row[1], row[0] is None, (row[0] or "").encode())
        )
        groups = [QueryGroup([key], hits) for key, hits, _ in found[: query.limit]]
        return QueryAnswer(rows[0][2] if rows else 0, None, groups, truncated=len(found) > query.limit)

    def _groups(self, query: EventQuery, ask: Callable[..., Query]) -> tuple[list[list[Any]], bool]:
        try:
            rows = self._engine.rows(ask(grouped=True))
        except NeedsMoreMemory:  # millions of values: the most frequent ones, each measured exactly
            if any(each.kind == "person" for each in query.breakdown):
                raise
            return self._engine.rows(ask(grouped=True, frequent_only=True))[: query.limit], True
        return rows[: query.limit], len(rows) > query.limit

    def _points(self, query: EventQuery, rows: list[list[Any]]) -> dict[int, list[Point]]:
        """By the hash of a group: its buckets."""
        if len(rows) > MAX_BUCKETS:
            raise InvalidRequest(
                f"The series would have more than {MAX_BUCKETS} buckets: narrow 'from' and 'to', or widen 'interval'."
            )
        found: dict[int, list[Point]] = {}
        for hash_, _, period, figure in rows:
            start = period if query.interval in WIDTH_MS else query.zone.first_of_day(period)
            found.setdefault(hash_, []).append((start, _figure(query, figure)))
        return found


def _figure(query: EventQuery, figure: float | None) -> float | None:
    """ClickHouse prints the double 2**60 as 1152921504606847000, which is correct for a double but not for an integer."""
    return figure if figure is None or query.number is None else float(figure)
