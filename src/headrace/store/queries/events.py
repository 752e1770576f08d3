"""SQL that finds events: each builder takes a tenant and filters, and returns text with bound parameters. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from headrace.model.event import Tenant
from headrace.model.filters import NOT_BRIEF, Filters, Page
from headrace.store.queries.conditions import (
    NO_PROJECTIONS,
    NONE_HOT,
    PAIRS,
    SLOT_MS,
    Hot,
    Query,
    moment_of,
    pairs,
    spans_of,
    ways_of,
    where_of,
)

INPUT_COLUMNS = (
    *("position", "tail", "project", "mode", "source", "name", "type", "timestamp_ms", "user_id", "anonymous_id"),
    *("session_id", "group_id", "previous_id", "value", "properties", "context", "traits", "tags", "labels"),
    *("numbers", "environment", "service", "host", "request_id", "message_id", "sent_at_ms"),
)
_MILLISECONDS = {"timestamp_ms": "timestamp", "sent_at_ms": "sent_at"}
# Columns that a response does not show are not read.
_SHOWN = [
    f"toUnixTimestamp64Milli({_MILLISECONDS[column]}) AS {column}" if column in _MILLISECONDS else column
    for column in INPUT_COLUMNS
    if column not in ("labels", "numbers")
]
OUTPUT = ", ".join(_SHOWN)
# A page's events are in as many places as they are events, so a second thread helps however few rows there are.
_IN_MANY_PLACES = {
    **NO_PROJECTIONS,
    "merge_tree_min_rows_for_concurrent_read": 1,
    "merge_tree_min_bytes_for_concurrent_read": 1,
}
# Where every row that is read is one of the page's, so that there is nothing to be gained by reading some columns later.
_ALL_WANTED = {**_IN_MANY_PLACES, "query_plan_optimize_lazy_materialization": 0}
_TIMES_WANTED, _WIDER = 4, 16  # since events come unevenly; and in few steps, since each is a query
_AT_ONE_TIME = 10  # events of one user in one millisecond; usually there are fewer
_BRIEF = ", ".join(column for column in _SHOWN if column.split()[-1] not in NOT_BRIEF)


def outline(tenant: Tenant, filters: Filters, page: Page, /, hot: Hot = NONE_HOT) -> Query:
    """One row (count, millisecond, count, millisecond): how many events match, the earliest time that the page may reach back to,
    how many events there are from then on, and when the last quarter with any ends.

    All follow from the number of matches in each quarter of an hour, which `by_slot` has counted for some filters. The last two
    ignore what comes after the cursor's quarter.
    """
    spans = spans_of(tenant, filters, hot)
    params = dict(spans.params)
    parts = " UNION ALL ".join(
        f"SELECT toInt64(slot) AS quarter, count() AS found FROM events WHERE {where} GROUP BY quarter"
        for where, _ in spans.parts
    )
    sure = here = "hits"
    if page.after is not None:  # it is unknown how many events of the cursor's quarter come after the cursor
        sure, here = "if(quarter < {before:Int64}, hits, 0)", "if(quarter <= {before:Int64}, hits, 0)"
        params["before"] = page.after.timestamp_ms // SLOT_MS
    so_far = "OVER (ORDER BY quarter DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    enough = "running >= {wanted:UInt64}"
    is_enough = "max(running) >= {wanted:UInt64}"
    return Query(
        f"SELECT sum(hits), {SLOT_MS} * if({is_enough}, maxIf(quarter, {enough}), min(quarter)), "
        f"if({is_enough}, minIf(upto, {enough}), max(upto)), {SLOT_MS} * (maxIf(quarter, upto > 0) + 1) - 1 FROM "
        f"(SELECT quarter, hits, sum({sure}) {so_far} AS running, sum({here}) {so_far} AS upto FROM "
        f"(SELECT quarter, sum(found) AS hits FROM ({parts}) GROUP BY quarter))",
        params | {"wanted": page.offset + page.limit + 1},
        spans.settings,
    )


def newest_of_user(tenant: Tenant, filters: Filters, page: Page, most: int, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (name, millisecond, count of all matches) of the newest events up to the end of the page, with ties in time.

    The projection `by_user` answers it alone, and for anonymous visitors the index of their ids. Reads no more than `most` of
    each: if that many match, the rows are any of them and the count is `most` or more, so ask `newest_of_busy_user`.
    """
    ways, params = _newest(tenant, filters, page, hot)
    upto = "" if page.after is None else "WHERE moment <= {after_ms:Int64} "
    parts = " UNION ALL ".join(
        f"(SELECT name, toUnixTimestamp64Milli(timestamp) AS moment FROM events WHERE {way} LIMIT {{most:UInt64}})"
        for way in ways
    )
    return Query(
        f"SELECT name, moment, total FROM (SELECT name, moment, count() OVER () AS total FROM ({parts})) "
        f"{upto}{_NEWEST.format('moment')}",
        params | {"most": most},
    )


def newest_of_busy_user(tenant: Tenant, filters: Filters, page: Page, /, hot: Hot = NONE_HOT) -> Query:
    """As `newest_of_user`, for any number of matches: counts them and finds the newest separately."""
    ways, params = _newest(tenant, filters, page, hot)
    upto = "" if page.after is None else f" AND timestamp <= {moment_of('after_ms')}"
    parts = " UNION ALL ".join(
        f"(SELECT name, toUnixTimestamp64Milli(timestamp) AS moment FROM events WHERE {way}{upto} "
        f"{_NEWEST.format('events.timestamp')})"
        for way in ways
    )
    total = " + ".join(f"(SELECT count() FROM events WHERE {way})" for way in ways)
    return Query(f"SELECT name, moment, {total} FROM ({parts}) {_NEWEST.format('moment')}", params)


_NEWEST = "ORDER BY {} DESC LIMIT {{limit:UInt64}} WITH TIES"


def _newest(tenant: Tenant, filters: Filters, page: Page, hot: Hot) -> tuple[list[str], dict[str, object]]:
    """Conditions that together match a user's events, and their values, with those of the page's end and cursor."""
    ways, params = ways_of(tenant, filters, hot) if filters.people is not None else _one_way(tenant, filters, hot)
    limit = page.offset + page.limit + 1
    if page.after is not None:
        limit += _AT_ONE_TIME
        params["after_ms"] = page.after.timestamp_ms
    return ways, params | {"limit": limit}


def _one_way(tenant: Tenant, filters: Filters, hot: Hot) -> tuple[list[str], dict[str, object]]:
    where, params = where_of(tenant, filters, hot)
    return [where], params


class PageBounds(msgspec.Struct, frozen=True):
    """Bounds of a page's events, as far as they are known: they limit what is read and never change the answer.

    floor_ms: no event is earlier. moments: if not empty, every event is at one of them.
    top_ms, between: no event is later, and so many matching events lie between the two; 0 if that is not known.
    """

    floor_ms: int = 0
    moments: Sequence[tuple[str, int]] = ()  # (name, millisecond)
    top_ms: int = 0
    between: int = 0

    def windows(self, wanted: int, many: int, /) -> "Iterator[PageBounds]":
        """Ever wider ones, up to these: the first in which a newest-first page is full holds all of it.

        wanted: how many events the page has to find. many: up to so many are read at once.
        """
        widest_ms = self.top_ms - self.floor_ms
        if self.between > max(many, _TIMES_WANTED * wanted):
            width_ms = max(1, _TIMES_WANTED * wanted * widest_ms // self.between)
            while width_ms < widest_ms // 2:
                yield PageBounds(floor_ms=self.top_ms - width_ms)
                width_ms *= _WIDER
        yield self


def keys(tenant: Tenant, filters: Filters, page: Page, bounds: PageBounds, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (name, millisecond, position) of the page's events, plus one if there are more."""
    return _page(
        "name, toUnixTimestamp64Milli(timestamp) AS timestamp_ms, position", tenant, filters, page, bounds, hot
    )


def whole(tenant: Tenant, filters: Filters, page: Page, bounds: PageBounds, /, hot: Hot = NONE_HOT) -> Query:
    """The page's whole events, plus one if there are more. In one query, for pages that fit in memory in any case."""
    return _page(_BRIEF if page.brief else OUTPUT, tenant, filters, page, bounds, hot)


def _page(columns: str, tenant: Tenant, filters: Filters, page: Page, bounds: PageBounds, hot: Hot) -> Query:
    ways, params = ways_of(tenant, filters, hot)
    conditions = ""
    if page.after is not None:
        sign = ">" if page.oldest_first else "<"
        moment = moment_of("after_ms")
        conditions += (
            f" AND events.timestamp {sign}= {moment}"
            f" AND (events.timestamp {sign} {moment} OR position {sign} {{after_position:UInt64}})"
        )
        params |= {"after_ms": page.after.timestamp_ms, "after_position": page.after.position}
    if bounds.floor_ms:
        conditions += f" AND events.timestamp >= {moment_of('floor_ms')}"
        params["floor_ms"] = bounds.floor_ms
    if bounds.moments:
        conditions += f" AND (events.name, events.timestamp) IN {PAIRS}"
        params |= pairs(bounds.moments)
    order = "ASC" if page.oldest_first else "DESC"
    parts = [
        f"SELECT {columns} FROM events WHERE {where}{conditions} ORDER BY events.timestamp {order}, position {order} LIMIT "
        for where in ways
    ]
    upto, cut = "{reach:UInt64}", "{limit:UInt64} OFFSET {offset:UInt64}"
    sql = parts[0] + cut
    if len(parts) > 1:
        merged = " UNION ALL ".join(f"({part}{upto})" for part in parts)
        sql = f"SELECT * FROM ({merged}) ORDER BY timestamp_ms {order}, position {order} LIMIT {cut}"
    values = {"limit": page.limit + 1, "offset": page.offset, "reach": page.offset + page.limit + 1}
    return Query(sql, params | values, _ALL_WANTED if bounds.moments else _IN_MANY_PLACES)


def in_order(tenant: Tenant, after: int, upto: int, limit: int, /) -> Query:
    """One tenant's whole events between two positions, in log order."""
    return Query(
        f"SELECT {OUTPUT} FROM events WHERE project = {{project:String}} AND mode = {{mode:String}} "
        "AND position > {after:UInt64} AND position <= {upto:UInt64} ORDER BY position LIMIT {limit:UInt64}",
        {"project": tenant.project, "mode": tenant.mode, "after": after, "upto": upto, "limit": limit},
        NO_PROJECTIONS,
    )


def matching(tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /, hot: Hot = NONE_HOT) -> Query:
    """Like `in_order`, for events that match the filters."""
    where, params = where_of(tenant, filters, hot)
    return Query(
        f"SELECT {OUTPUT} FROM events WHERE {where} AND position > {{after:UInt64}} AND position <= {{until:UInt64}} "
        "ORDER BY position LIMIT {limit:UInt64}",
        params | {"after": after, "until": upto, "limit": limit},
        NO_PROJECTIONS,
    )


def rows(tenant: Tenant, keys: Sequence[tuple[str, int, int]], /) -> Query:
    """The whole events with some keys (name, millisecond, position), unordered. May include other positions, so check them."""
    where, params = where_of(tenant, Filters())
    return Query(
        f"SELECT {OUTPUT} FROM events WHERE {where} AND (events.name, events.timestamp) IN {PAIRS} "
        "AND position IN {positions:Array(UInt64)}",
        params | pairs([key[:2] for key in keys]) | {"positions": [key[2] for key in keys]},
    )


def get(tenant: Tenant, ids: Sequence[str], /) -> Query:
    """Whole events by id. The position in an id finds the event; the tail rules out another event at that position."""
    where, params = where_of(tenant, Filters(ids=ids))
    return Query(f"SELECT {OUTPUT} FROM events WHERE {where}", params, NO_PROJECTIONS)
