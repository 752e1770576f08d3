"""SQL for queries of events: each builder takes a tenant and filters, and returns text with bound parameters. Pure."""

from collections.abc import Sequence

import msgspec

from headrace.model.event import Tenant
from headrace.model.filters import MAX_BUCKETS, MAX_GROUPS, NOT_BRIEF, Dimension, Filters, Page
from headrace.model.zones import WIDTH_MS, Interval, Zone
from headrace.store.queries.conditions import (
    FEW_AT_ONCE,
    NO_PROJECTIONS,
    NONE_HOT,
    PAIRS,
    SLOT_MS,
    TAGGED,
    Hot,
    Query,
    frequent,
    has,
    key_of,
    moment_of,
    pairs,
    spans_of,
    ways_of,
    where_of,
)
from headrace.store.queries.periods import period_of

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
_AT_ONE_TIME = 10  # events of one user in one millisecond; usually there are fewer
_BRIEF = ", ".join(column for column in _SHOWN if column.split()[-1] not in NOT_BRIEF)
MAX_DAYS = 1_000_000  # more than there are in all years


def total(tenant: Tenant, filters: Filters, /, hot: Hot = NONE_HOT) -> Query:
    """One row: (count)."""
    spans, params = spans_of(tenant, filters, hot)
    parts = " UNION ALL ".join(f"SELECT count() AS hits FROM events WHERE {where}" for where, _ in spans)
    return Query(f"SELECT sum(hits) FROM ({parts})", params)


def outline(tenant: Tenant, filters: Filters, page: Page, /, hot: Hot = NONE_HOT) -> Query:
    """One row (count, millisecond): how many events match, and the earliest time that the page may reach back to.

    Both follow from the number of matches in each quarter of an hour, which `by_slot` has counted for some filters.
    """
    spans, params = spans_of(tenant, filters, hot)
    parts = " UNION ALL ".join(
        f"SELECT toInt64(slot) AS quarter, count() AS found FROM events WHERE {where} GROUP BY quarter"
        for where, _ in spans
    )
    before = ""
    if page.after is not None:  # it is unknown how many events of the cursor's quarter come after the cursor
        before = "quarter < {before:Int64}"
        params["before"] = page.after.timestamp_ms // SLOT_MS
    return Query(
        f"SELECT sum(hits), {SLOT_MS} * if(max(running) >= {{wanted:UInt64}}, maxIf(quarter, running >= {{wanted:UInt64}}), "
        "min(quarter)) FROM (SELECT quarter, hits, sum("
        + (f"if({before}, hits, 0)" if before else "hits")
        + ") OVER (ORDER BY quarter DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM "
        f"(SELECT quarter, sum(found) AS hits FROM ({parts}) GROUP BY quarter))",
        params | {"wanted": page.offset + page.limit + 1},
    )


def newest_of_user(tenant: Tenant, filters: Filters, page: Page, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (name, millisecond, count of all matches) of the newest events up to the end of the page, with ties in time.

    The projection `by_user` answers it alone, and for anonymous visitors the index of their ids.
    """
    ways, params = ways_of(tenant, filters, hot) if filters.people is not None else _one_way(tenant, filters, hot)
    upto = ""
    if page.after is not None:
        upto = f" AND timestamp <= {moment_of('after_ms')}"
        params["after_ms"] = page.after.timestamp_ms
    newest = "ORDER BY {} DESC LIMIT {{limit:UInt64}} WITH TIES"
    parts = " UNION ALL ".join(
        f"(SELECT name, toUnixTimestamp64Milli(timestamp) AS moment FROM events WHERE {way}{upto} "
        f"{newest.format('events.timestamp')})"
        for way in ways
    )
    total = " + ".join(f"(SELECT count() FROM events WHERE {way})" for way in ways)
    return Query(
        f"SELECT name, moment, {total} FROM ({parts}) {newest.format('moment')}",
        params | {"limit": page.offset + page.limit + 1 + (_AT_ONE_TIME if page.after is not None else 0)},
    )


def _one_way(tenant: Tenant, filters: Filters, hot: Hot) -> tuple[list[str], dict[str, object]]:
    where, params = where_of(tenant, filters, hot)
    return [where], params


class PageHint(msgspec.Struct, frozen=True):
    """Where the page's events are, as far as is known. It limits what is read and never changes the answer."""

    floor_ms: int = 0
    moments: Sequence[tuple[str, int]] = ()  # (name, millisecond)


def keys(tenant: Tenant, filters: Filters, page: Page, hint: PageHint, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (name, millisecond, position) of the page's events, plus one if there are more."""
    return _page("name, toUnixTimestamp64Milli(timestamp) AS timestamp_ms, position", tenant, filters, page, hint, hot)


def whole(tenant: Tenant, filters: Filters, page: Page, hint: PageHint, /, hot: Hot = NONE_HOT) -> Query:
    """The page's whole events, plus one if there are more. In one query, for pages that fit in memory in any case."""
    return _page(_BRIEF if page.brief else OUTPUT, tenant, filters, page, hint, hot)


def _page(columns: str, tenant: Tenant, filters: Filters, page: Page, hint: PageHint, hot: Hot) -> Query:
    ways, params = ways_of(tenant, filters, hot)
    bounds = ""
    if page.after is not None:
        sign = ">" if page.oldest_first else "<"
        moment = moment_of("after_ms")
        bounds += (
            f" AND events.timestamp {sign}= {moment}"
            f" AND (events.timestamp {sign} {moment} OR position {sign} {{after_position:UInt64}})"
        )
        params |= {"after_ms": page.after.timestamp_ms, "after_position": page.after.position}
    if hint.floor_ms:
        bounds += f" AND events.timestamp >= {moment_of('floor_ms')}"
        params["floor_ms"] = hint.floor_ms
    if hint.moments:
        bounds += f" AND (events.name, events.timestamp) IN {PAIRS}"
        params |= pairs(hint.moments)
    order = "ASC" if page.oldest_first else "DESC"
    parts = [
        f"SELECT {columns} FROM events WHERE {where}{bounds} ORDER BY events.timestamp {order}, position {order} LIMIT "
        for where in ways
    ]
    upto, cut = "{reach:UInt64}", "{limit:UInt64} OFFSET {offset:UInt64}"
    sql = parts[0] + cut
    if len(parts) > 1:
        merged = " UNION ALL ".join(f"({part}{upto})" for part in parts)
        sql = f"SELECT * FROM ({merged}) ORDER BY timestamp_ms {order}, position {order} LIMIT {cut}"
    values = {"limit": page.limit + 1, "offset": page.offset, "reach": page.offset + page.limit + 1}
    return Query(sql, params | values, NO_PROJECTIONS)


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


def series(tenant: Tenant, filters: Filters, interval: Interval, zone: Zone, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (bucket, count), ascending: a bucket's first millisecond, or its day in the zone if `interval` is days."""
    fits_slots = WIDTH_MS.get(interval, SLOT_MS) % SLOT_MS == 0 and not any(
        moment % SLOT_MS for moment in (*zone.since_ms, *zone.offsets_ms)
    )
    spans, params = spans_of(tenant, filters, hot, whole=fits_slots)
    own, values = period_of(zone, interval if interval in WIDTH_MS else "1d")
    params |= values
    parts = " UNION ALL ".join(
        f"SELECT {own(moment)} AS bucket, count() AS hits FROM events WHERE {where} GROUP BY bucket"
        for where, moment in spans
    )
    return Query(
        f"SELECT bucket, sum(hits) FROM ({parts}) GROUP BY bucket ORDER BY bucket "
        f"LIMIT {MAX_DAYS if interval in ('1w', '1M') else MAX_BUCKETS + 1}",
        params,
    )


def groups(tenant: Tenant, filters: Filters, dimension: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (key or null, count, count of all events): events without the key first, then the largest groups."""
    if dimension.kind == "tag" and not hot.tag(dimension.key):
        return _groups_of_tag(tenant, filters, dimension.key, hot)
    spans, params = spans_of(tenant, filters, hot, whole=dimension.kind == "name")
    parts = " UNION ALL ".join(
        f"SELECT {key_of(dimension, hot)} AS key, count() AS hits FROM events WHERE {where} GROUP BY key"
        for where, _ in spans
    )
    return Query(
        f"SELECT key, hits, sum(hits) OVER () FROM (SELECT key, sum(hits) AS hits FROM ({parts}) GROUP BY key) {_LARGEST}",
        params | {"group": dimension.key},
    )


def frequent_groups(tenant: Tenant, filters: Filters, dimension: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (key, count) of the most frequent keys, in the order of `groups`. In bounded memory; see `frequent`."""
    where, params = where_of(tenant, filters, hot)
    key = key_of(dimension, hot)
    where += f" AND {key} IS NOT NULL"
    return Query(
        f"SELECT assumeNotNull({key}) AS found, count() AS hits FROM events WHERE {where} AND {frequent(key, where)} "
        f"GROUP BY found ORDER BY hits DESC, found ASC LIMIT {MAX_GROUPS}",
        params | {"group": dimension.key},
        FEW_AT_ONCE,
    )


_LARGEST = f"ORDER BY key IS NULL DESC, hits DESC, key ASC LIMIT {MAX_GROUPS + 2}"


def _groups_of_tag(tenant: Tenant, filters: Filters, key: str, hot: Hot) -> Query:
    """Like `groups`. Events without the tag are not read: their number is what the others leave of the total.

    An event may arrive between the two counts, so the total is never less than the sum of the groups.
    """
    ways, params = ways_of(tenant, filters, hot)
    all_of, of_all = spans_of(tenant, filters, hot)
    text = "CAST({} AS Nullable(String)) AS key, count() AS hits FROM events WHERE"
    parts = [
        f"SELECT {text.format(value)} {where} AND {has(column, 'group')} GROUP BY {value}"
        for where in ways
        for column, value in ((each, f"{each}[{{group:String}}]") for each in TAGGED)
    ]
    parts += [f"SELECT {text.format('NULL')} {where}" for where, _ in all_of]
    # The windows see every group, and so every event that has the tag.
    return Query(
        "SELECT key, if(key IS NULL, toUInt64(total - tagged), found) AS hits, total FROM (SELECT key, found, "
        "sumIf(found, key IS NOT NULL) OVER () AS tagged, greatest(sumIf(found, key IS NULL) OVER (), tagged) AS total FROM "
        f"(SELECT key, sum(hits) AS found FROM ({' UNION ALL '.join(parts)}) GROUP BY key)) {_LARGEST}",
        params | of_all | {"group": key},
    )


def stats(tenant: Tenant, filters: Filters, field: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """One row (count, sum, sum of magnitudes, min, max, [p50, p95, p99]); what is no number is null.

    The sum's error is some 2**-52 of the sum of magnitudes: where that is much larger than the sum, ask `stats_exactly`.

    quantilesExactInclusive is percentile_cont; plain quantiles() samples.
    Source: https://clickhouse.com/docs/sql-reference/aggregate-functions/reference/quantileexact
    """
    numbers, params = _numbers(tenant, filters, field, hot)
    return Query(
        "SELECT count(), sumKahan(number), sumKahan(abs(number)), min(number), max(number), "
        f"quantilesExactInclusive(0.5, 0.95, 0.99)(number) FROM {numbers}",
        params,
    )


def stats_exactly(tenant: Tenant, filters: Filters, field: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """One row (count, min, max, [p50, p95, p99], [(exponent bits, sum of mantissas as text)]): a sum without rounding.

    Doubles of one exponent are integers of one unit, so their sums are exact. Takes twice as long as `stats`.
    """
    numbers, params = _numbers(tenant, filters, field, hot)
    fraction = f"bitAnd(bits, {2**52 - 1})"
    mantissa = f"if(exponent = 0, {fraction}, {fraction} + {2**52})"
    return Query(
        "SELECT sum(hits), min(least), max(most), quantilesExactInclusiveMerge(0.5, 0.95, 0.99)(percentiles), "
        "groupArray((exponent, toString(mantissas))) FROM "
        "(SELECT bitAnd(bitShiftRight(bits, 52), 2047) AS exponent, count() AS hits, min(number) AS least, "
        "max(number) AS most, quantilesExactInclusiveState(0.5, 0.95, 0.99)(number) AS percentiles, "
        f"sum(toInt128({mantissa}) * if(number < 0, -1, 1)) AS mantissas FROM "
        f"(SELECT number, reinterpretAsUInt64(number) AS bits FROM {numbers}) GROUP BY exponent)",
        params,
    )


def _numbers(tenant: Tenant, filters: Filters, field: Dimension, hot: Hot) -> tuple[str, dict[str, object]]:
    if field.kind not in ("value", "property"):
        raise ValueError(field.kind)
    where, params = where_of(tenant, filters, hot)
    column = "value" if field.kind == "value" else hot.of("number", (field.key,))
    number = column or "numbers[{field:String}]"
    has = f"{column} IS NOT NULL" if column else "mapContains(numbers, {field:String})"
    return (
        f"(SELECT assumeNotNull({number}) AS number FROM events WHERE {where} AND {has})",
        params | {"field": field.key},
    )
