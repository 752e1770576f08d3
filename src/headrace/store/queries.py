"""Questions as SQL: each builder takes a tenant and filters and gives text with bound parameters. Pure; names no driver.

A property is text here, as `Filters` says. Two things that JSON leaves open: of a key that an object has twice a property
filter sees the first value, a tag filter and a statistic the last; and inside an array or object an integer past 64 bits
is a string of its digits.

Every builder goes through `_where`, the one place that binds a query to its project and mode.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TypeAlias

import msgspec

from headrace.event import Tenant, position_of, tail_of
from headrace.filters import (
    MAX_BUCKETS,
    MAX_CATALOG_PROPERTIES,
    MAX_GROUPS,
    MAX_PROPERTY_CHARS,
    CatalogPage,
    Dimension,
    Filters,
    Page,
    PropertyType,
)
from headrace.measures import MAX_METRICS, MAX_POINTS, MAX_TAG_KEYS, Aggregation, Question
from headrace.measures import WIDTH_MS as METRIC_WIDTH_MS
from headrace.zones import DAY_MS, WIDTH_MS, Interval, Zone

INPUT_COLUMNS = (
    *("position", "tail", "project", "mode", "source", "name", "type", "timestamp_ms", "user_id", "anonymous_id"),
    *("session_id", "group_id", "previous_id", "value", "properties", "context", "traits", "tags", "labels"),
    *("numbers", "environment", "service", "host", "request_id", "message_id", "sent_at_ms"),
)
_MILLISECONDS = {"timestamp_ms": "timestamp", "sent_at_ms": "sent_at"}
# What a reply does not show is not read.
_OUTPUT = ", ".join(
    f"toUnixTimestamp64Milli({_MILLISECONDS[column]}) AS {column}" if column in _MILLISECONDS else column
    for column in INPUT_COLUMNS
    if column not in ("labels", "numbers")
)
MAX_OBSERVED = 10_000
MAX_DAYS = 1_000_000  # more than all years hold


# Tags that have a column of their own, and its name: NULL where an event has neither the tag nor the string property.
Hot: TypeAlias = Mapping[str, str]
NONE_HOT: Hot = {}


def hot_column(key: str, /) -> tuple[str, str]:
    """The name of a hot tag's column, and what to add to the table for it; the key goes in as hex digits."""
    digits = key.encode().hex()
    word = f"unhex('{digits}')"
    value = f"multiIf(mapContains(tags, {word}), tags[{word}], mapContains(labels, {word}), labels[{word}], NULL)"
    return f"tag_{digits}", f"tag_{digits} LowCardinality(Nullable(String)) DEFAULT {value} CODEC(ZSTD(1))"


class Query(msgspec.Struct, frozen=True):
    """SQL, and what its `{name:Type}` placeholders stand for."""

    sql: str
    params: dict[str, object]


def present(after: int, upto: int, /) -> Query:
    """Rows (position, tail) between two positions, of every tenant: for the worker's recovery, never for a reply."""
    return Query(
        "SELECT position, tail FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64}",
        {"after": after, "upto": upto},
    )


def last(after: int, /) -> Query:
    """One row: the greatest position past another, of every tenant, or 0: for the worker, never for a reply."""
    return Query("SELECT max(position) FROM events WHERE position > {after:UInt64}", {"after": after})


def held(after: int, upto: int, /) -> Query:
    """One row: how many events lie between two positions, of every tenant: for the worker, never for a reply."""
    return Query(
        "SELECT count() FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64}",
        {"after": after, "upto": upto},
    )


def message_ids(after: int, upto: int, /) -> Query:
    """The events between two positions that carry a message id, of every tenant: to know the ids again, never for a reply."""
    return Query(
        "SELECT project, mode, source, message_id, position, tail FROM events "
        "WHERE position > {after:UInt64} AND position <= {upto:UInt64} AND message_id != '' "
        "ORDER BY position DESC",
        {"after": after, "upto": upto},
    )


def total(tenant: Tenant, filters: Filters, /, hot: Hot = NONE_HOT) -> Query:
    """One row: (count)."""
    spans, params = _spans(tenant, filters, hot)
    parts = " UNION ALL ".join(f"SELECT count() AS hits FROM events WHERE {where}" for where, _ in spans)
    return Query(f"SELECT sum(hits) FROM ({parts})", params)


def floors(tenant: Tenant, filters: Filters, page: Page, counts: Sequence[int], /) -> Query:
    """One row ([milliseconds]): for each count, a time from which on at least so many events precede the page's upper bound.

    0 where there are not so many. Looks at names, sources and times alone, whatever else the filters say.
    """
    where, params = _where(tenant, Filters(name=filters.name, name_prefix=filters.name_prefix, source=filters.source))
    upper = [filters.to_ms] if filters.to_ms is not None else []
    upper += [page.after.timestamp_ms] if page.after is not None else []
    if upper:
        where += " AND slot < {before:Int64}"
        params["before"] = (min(upper) + 1) // SLOT_MS
    reached = ", ".join(f"maxIf(slot, running >= {{count_{index}:UInt64}})" for index in range(len(counts)))
    return Query(
        f"SELECT arrayMap(slot -> toInt64(slot) * {SLOT_MS}, [{reached}]) FROM (SELECT slot, sum(hits) OVER "
        "(ORDER BY slot DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM "
        f"(SELECT slot, count() AS hits FROM events WHERE {where} GROUP BY slot))",
        params | {f"count_{index}": count for index, count in enumerate(counts)},
    )


def newest_of_user(tenant: Tenant, filters: Filters, page: Page, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (name, millisecond) of a user's newest events, as many as the page reaches to and those of the same time."""
    where, params = _where(tenant, filters, hot)
    if page.after is not None:
        where += f" AND timestamp <= {_moment('after_ms')}"
        params["after_ms"] = page.after.timestamp_ms
    return Query(
        f"SELECT name, toUnixTimestamp64Milli(timestamp) FROM events WHERE {where} "
        "ORDER BY events.timestamp DESC LIMIT {limit:UInt64} WITH TIES",
        params | {"limit": page.offset + page.limit + 1},
    )


class Hint(msgspec.Struct, frozen=True):
    """Where the page's events are, as far as is known: it narrows what is read and changes nothing of the answer."""

    floor_ms: int = 0
    moments: Sequence[tuple[str, int]] = ()  # (name, millisecond)


def keys(tenant: Tenant, filters: Filters, page: Page, hint: Hint, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (name, millisecond, position) of the page's events, and one more than it holds if there are more."""
    where, params = _where(tenant, filters, hot)
    if page.after is not None:
        sign = ">" if page.oldest_first else "<"
        moment = _moment("after_ms")
        where += (
            f" AND timestamp {sign}= {moment}"
            f" AND (timestamp {sign} {moment} OR position {sign} {{after_position:UInt64}})"
        )
        params |= {"after_ms": page.after.timestamp_ms, "after_position": page.after.position}
    if hint.floor_ms:
        where += f" AND timestamp >= {_moment('floor_ms')}"
        params["floor_ms"] = hint.floor_ms
    if hint.moments:
        where += f" AND (events.name, events.timestamp) IN {_PAIRS}"
        params |= _pairs(hint.moments)
    order = "ASC" if page.oldest_first else "DESC"
    return Query(
        f"SELECT name, toUnixTimestamp64Milli(timestamp), position FROM events WHERE {where} "
        f"ORDER BY events.timestamp {order}, position {order} "
        "LIMIT {limit:UInt64} OFFSET {offset:UInt64}",
        params | {"limit": page.limit + 1, "offset": page.offset},
    )


def rows(tenant: Tenant, keys: Sequence[tuple[str, int, int]], /) -> Query:
    """Whole events, in no order, of keys (name, millisecond, position): of a stranger's positions too, so check them."""
    where, params = _where(tenant, Filters())
    return Query(
        f"SELECT {_OUTPUT} FROM events WHERE {where} AND (events.name, events.timestamp) IN {_PAIRS} "
        "AND position IN {positions:Array(UInt64)}",
        params | _pairs([key[:2] for key in keys]) | {"positions": [key[2] for key in keys]},
    )


_PAIRS = (
    "arrayZip({names:Array(String)}, arrayMap(each -> fromUnixTimestamp64Milli(each, 'UTC'), {moments:Array(Int64)}))"
)


def _pairs(moments: Sequence[tuple[str, int]]) -> dict[str, object]:
    """What the placeholders of `_PAIRS` stand for."""
    return {"names": [name for name, _ in moments], "moments": [moment for _, moment in moments]}


def get(tenant: Tenant, ids: Sequence[str], /) -> Query:
    """Whole events. The position in each id finds it; the tail tells it from a stranger's."""
    where, params = _where(tenant, Filters(ids=ids))
    return Query(f"SELECT {_OUTPUT} FROM events WHERE {where}", params)


def series(tenant: Tenant, filters: Filters, interval: Interval, zone: Zone, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (bucket, count), ascending: a bucket's first millisecond, or its day in the zone where `interval` is days.

    The zone goes along as two arrays. A day more and a day less keep the division above zero, where it rounds down.
    """
    fits_slots = WIDTH_MS.get(interval, SLOT_MS) % SLOT_MS == 0 and not any(
        moment % SLOT_MS for moment in (*zone.since_ms, *zone.offsets_ms)
    )
    spans, params = _spans(tenant, filters, hot, whole=fits_slots)
    moves = len(zone.since_ms) > 1 or any(zone.offsets_ms)
    if moves:
        params |= {"since": list(zone.since_ms), "offsets": list(zone.offsets_ms)}
    if interval in WIDTH_MS:
        params["width"] = WIDTH_MS[interval]

    def bucket(moment: str) -> str:
        since, offset = "0", "0"
        if moves:
            since = f"roundDown({moment}, {{since:Array(Int64)}})"
            offset = f"transform({since}, {{since:Array(Int64)}}, {{offsets:Array(Int64)}})"
        if interval in WIDTH_MS:
            whole = f"intDiv({moment} + {offset} + {DAY_MS}, {{width:Int64}}) * {{width:Int64}} - {DAY_MS} - {offset}"
            return f"greatest({whole}, {since})"
        return f"intDiv({moment} + {offset} + {DAY_MS}, {DAY_MS}) - 1"

    parts = " UNION ALL ".join(
        f"SELECT {bucket(moment)} AS bucket, count() AS hits FROM events WHERE {where} GROUP BY bucket"
        for where, moment in spans
    )
    return Query(
        f"SELECT bucket, sum(hits) FROM ({parts}) GROUP BY bucket ORDER BY bucket "
        f"LIMIT {MAX_DAYS if interval in ('1w', '1M') else MAX_BUCKETS + 1}",
        params,
    )


def groups(tenant: Tenant, filters: Filters, dimension: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (key or null, count, count of all): the events without the key first, then the largest groups."""
    spans, params = _spans(tenant, filters, hot, whole=dimension.kind == "name")
    parts = " UNION ALL ".join(
        f"SELECT {_key(dimension, hot)} AS key, count() AS hits FROM events WHERE {where} GROUP BY key"
        for where, _ in spans
    )
    return Query(
        "SELECT key, hits, sum(hits) OVER () FROM "
        f"(SELECT key, sum(hits) AS hits FROM ({parts}) GROUP BY key) "
        f"ORDER BY key IS NULL DESC, hits DESC, key ASC LIMIT {MAX_GROUPS + 2}",
        params | {"group": dimension.key},
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
    where, params = _where(tenant, filters, hot)
    number = "value" if field.kind == "value" else "numbers[{field:String}]"
    has = "value IS NOT NULL" if field.kind == "value" else "mapContains(numbers, {field:String})"
    return (
        f"(SELECT assumeNotNull({number}) AS number FROM events WHERE {where} AND {has})",
        params | {"field": field.key},
    )


def observed(tenant: Tenant, column: str, /) -> Query:
    """Rows (value, count, first millisecond, last millisecond), by value."""
    if column not in ("name", "source"):
        raise ValueError(column)
    where, params = _where(tenant, Filters())
    return Query(
        f"SELECT {column}, count(), toUnixTimestamp64Milli(min(timestamp)), toUnixTimestamp64Milli(max(timestamp)) "
        f"FROM events WHERE {where} GROUP BY {column} ORDER BY {column} LIMIT {MAX_OBSERVED}",
        params,
    )


def names(tenant: Tenant, page: CatalogPage, /) -> Query:
    """Rows (name, count, first millisecond, last millisecond, names in all), by name; one more than the page holds."""
    where, params = _where(tenant, Filters(name=page.name, name_prefix=page.prefix))
    if page.search is not None:
        where += " AND positionCaseInsensitiveUTF8(name, {search:String}) > 0"
        params["search"] = page.search
    found = (
        "SELECT name, count() AS hits, toUnixTimestamp64Milli(min(timestamp)) AS first, "
        f"toUnixTimestamp64Milli(max(timestamp)) AS last FROM events WHERE {where} GROUP BY name"
    )
    after = "" if page.after is None else "WHERE name > {after:String} "
    return Query(
        f"SELECT name, hits, first, last, total FROM (SELECT *, count() OVER () AS total FROM ({found})) "
        f"{after}ORDER BY name LIMIT {{limit:UInt64}}",
        params | {"limit": page.limit + 1} | ({} if page.after is None else {"after": page.after}),
    )


def properties(tenant: Tenant, names: Sequence[str], /) -> Query:
    """Rows (name, keys of strings, keys of numbers, other keys behind a letter of `PROPERTY_LETTERS`).

    The maps tell strings and numbers. The text is parsed only where it may hold anything else: a literal, a bracket, a
    string that a tag of its name keeps out of the labels, or a number that no double can hold.
    """
    where, params = _where(tenant, Filters())
    first = "substring(pair.2, 1, 1)"
    letter = (
        f"multiIf({first} = '\"', multiIf(mapContains(labels, pair.1) OR mapContains(numbers, pair.1), '', "
        f"mapContains(tags, pair.1), 's', 'i'), {first} IN ('t', 'f'), 'b', {first} IN ('n', '[', '{{'), {first}, '')"
    )
    may_hold_others = (
        "multiSearchAny(properties, ['true', 'false', 'null', '[']) OR position(properties, '{', 2) > 0 "
        "OR (notEmpty(tags) AND (position(properties, '\\\\') > 0 "
        "OR arrayExists(tag -> position(properties, tag) > 0, mapKeys(tags)))) "
        "OR (length(properties) > 308 AND match(properties, '[0-9]{309}'))"
    )
    others = (
        f"if({may_hold_others}, arrayMap(pair -> concat({letter}, pair.1), "
        f"arrayFilter(pair -> {letter} != '', JSONExtractKeysAndValuesRaw(properties))), [])"
    )
    return Query(
        f"SELECT name, {', '.join(_some_of(keys) for keys in ('mapKeys(labels)', 'mapKeys(numbers)', others))} "
        f"FROM events WHERE {where} AND name IN {{names:Array(String)}} GROUP BY name",
        params | {"names": list(names)},
    )


def _some_of(keys: str) -> str:
    limit = MAX_CATALOG_PROPERTIES + 1
    return f"arrayMap(key -> leftUTF8(key, {MAX_PROPERTY_CHARS + 1}), groupUniqArrayArray({limit})({keys}))"


PROPERTY_LETTERS: dict[str, PropertyType] = {
    "s": "string",
    "i": "number",
    "b": "boolean",
    "n": "null",
    "[": "array",
    "{": "object",
}


def latest(tenant: Tenant, names: Sequence[tuple[str, int]], /) -> Query:
    """Whole events: of each name one with this time, in milliseconds."""
    where, params = _where(tenant, Filters())
    return Query(
        f"SELECT {_OUTPUT} FROM events WHERE {where} "
        f"AND (events.name, events.timestamp) IN {_PAIRS} ORDER BY events.name, position DESC LIMIT 1 BY events.name",
        params | _pairs(names),
    )


def metrics(tenant: Tenant, name: str | None, /) -> Query:
    """Rows (name, type, points, first millisecond, last millisecond) by name; a metric's type is its latest point's.

    Of points, as all below are, whose tenant is `Tenant.metrics`.
    """
    where, params = _where(tenant, Filters(name=name))
    return Query(
        "SELECT name, kind, points, first, last FROM (SELECT name, group_id AS kind, count() AS points, "
        "toUnixTimestamp64Milli(min(timestamp)) AS first, toUnixTimestamp64Milli(max(timestamp)) AS last, "
        f"max(position) AS latest FROM events WHERE {where} GROUP BY name, kind ORDER BY latest DESC LIMIT 1 BY name) "
        f"ORDER BY name LIMIT {MAX_METRICS}",
        params,
    )


def tag_keys(tenant: Tenant, name: str, kind: str, /) -> Query:
    """One row: ([keys of the metric's tags])."""
    where, params = _where(tenant, Filters(name=name))
    return Query(
        f"SELECT arraySort(groupUniqArrayArray({MAX_TAG_KEYS})(mapKeys(tags))) FROM events "
        f"WHERE {where} AND group_id = {{kind:String}}",
        params | {"kind": kind},
    )


_PERCENTILES = "quantilesExactInclusive(0.5, 0.9, 0.95, 0.99)(value)"  # spelled alike, so computed once
_AGGREGATES: dict[Aggregation, str] = {
    "avg": "sumKahan(value) / count()",
    "min": "min(value)",
    "max": "max(value)",
    "sum": "sumKahan(value)",
    "last": "argMax(value, (timestamp, position))",
    "count": "count()",
    "cardinality": "uniqExact(user_id)",
    "p50": f"{_PERCENTILES}[1]",
    "p90": f"{_PERCENTILES}[2]",
    "p95": f"{_PERCENTILES}[3]",
    "p99": f"{_PERCENTILES}[4]",
}


def figures(
    tenant: Tenant, question: Question, /, *, by_bucket: bool = False, groups: Sequence[str] | None = None
) -> Query:
    """Rows (bucket's first millisecond or null, key or null, points, [figures]), most points first, then by key and bucket.

    groups: the keys to keep to; () keeps to all keys, and None groups by none.
    """
    where, params = _where(tenant, question.filters)
    where += " AND group_id = {kind:String}"
    params |= {"kind": question.type}
    bucket = key = "NULL"
    if by_bucket and question.interval is not None:
        bucket = "intDiv(toUnixTimestamp64Milli(timestamp), {width:Int64}) * {width:Int64}"
        params["width"] = METRIC_WIDTH_MS[question.interval]
    if groups is not None:
        key = "tags[{group:String}]"
        where += " AND mapContains(tags, {group:String})"
        params["group"] = question.group_by
    if groups:
        where += f" AND {key} IN {{keys:Array(String)}}"
        params["keys"] = list(groups)
    wanted = ", ".join(f"toNullable(toFloat64({_AGGREGATES[each]}))" for each in question.aggregations)
    limit = MAX_POINTS + 1 if by_bucket else MAX_GROUPS + 1
    order = "key, bucket" if by_bucket else "points DESC, key"
    return Query(
        f"SELECT {bucket} AS bucket, toNullable(toString({key})) AS key, count() AS points, [{wanted}] FROM events "
        f"WHERE {where} GROUP BY bucket, key HAVING points > 0 ORDER BY {order} LIMIT {limit}",
        params,
    )


SLOT_MS = 900_000  # what the projection by_slot counts by; every zone's offset today is a multiple of it
_OF_SLOTS = {"name", "name_prefix", "source", "from_ms", "to_ms"}


def _spans(
    tenant: Tenant, filters: Filters, hot: Hot, /, *, whole: bool = True
) -> tuple[list[tuple[str, str]], dict[str, object]]:
    """Conditions that together match what the filters match, each event once, and each with its expression for the time.

    Where whole slots are enough to answer, the first condition is of whole slots, which the projection has counted, and the
    others are of the times beside them; else there is one, of events.
    """
    given = {field for field in filters.__struct_fields__ if getattr(filters, field) not in (None, ())}
    moment = "toUnixTimestamp64Milli(timestamp)"
    first = -(-(filters.from_ms or 0) // SLOT_MS)
    last = None if filters.to_ms is None else (filters.to_ms + 1) // SLOT_MS
    if not whole or not given <= _OF_SLOTS or (last is not None and first >= last):
        where, params = _where(tenant, filters, hot)
        return [(where, moment)], params
    where, params = _where(tenant, msgspec.structs.replace(filters, from_ms=None, to_ms=None))
    middle = f"{where} AND slot >= {{first_slot:Int64}}"
    params["first_slot"] = first
    spans: list[tuple[str, str]] = []
    if filters.from_ms is not None and filters.from_ms % SLOT_MS:
        spans.append((f"{where} AND {_between('from_ms', 'from_upto')}", moment))
        params |= {"from_ms": filters.from_ms, "from_upto": first * SLOT_MS - 1}
    if last is not None and filters.to_ms is not None:
        middle += " AND slot < {last_slot:Int64}"
        params["last_slot"] = last
        if (filters.to_ms + 1) % SLOT_MS:
            spans.append((f"{where} AND {_between('to_from', 'to_ms')}", moment))
            params |= {"to_from": last * SLOT_MS, "to_ms": filters.to_ms}
    return [(middle, f"toInt64(slot) * {SLOT_MS}"), *spans], params


def _between(low: str, high: str) -> str:
    return f"events.timestamp >= {_moment(low)} AND events.timestamp <= {_moment(high)}"


_EQUAL = ("user_id", "source", "session_id", "environment", "service", "host")


def _where(tenant: Tenant, filters: Filters, hot: Hot = NONE_HOT) -> tuple[str, dict[str, object]]:
    """The condition that binds a query to its tenant and its filters, with the values that it names."""
    terms = ["project = {project:String}", "mode = {mode:String}"]
    params: dict[str, object] = {"project": tenant.project, "mode": tenant.mode}

    def add(term: str, **values: object) -> None:
        terms.append(term)
        params.update(values)

    if filters.name is not None:
        add("name = {name:String}", name=filters.name)
    if filters.name_prefix is not None:
        add("startsWith(name, {prefix:String})", prefix=filters.name_prefix)
    if filters.from_ms is not None:
        add(f"events.timestamp >= {_moment('from_ms')}", from_ms=filters.from_ms)
    if filters.to_ms is not None:
        add(f"events.timestamp <= {_moment('to_ms')}", to_ms=filters.to_ms)
    if filters.person is not None:
        add("(user_id = {person:String} OR anonymous_id = {person:String})", person=filters.person)
    if filters.upto is not None:
        add("position <= {upto:UInt64}", upto=filters.upto)
    if filters.ids is not None:
        add(
            "position IN {positions:Array(UInt64)} "
            "AND (position, tail) IN arrayZip({positions:Array(UInt64)}, {tails:Array(UInt64)})",
            positions=[position_of(each) for each in filters.ids],
            tails=[tail_of(each) for each in filters.ids],
        )
    for column in _EQUAL:
        value = getattr(filters, column)
        if value is not None:
            add(f"{column} = {{{column}:String}}", **{column: value})
    for number, (key, value) in enumerate(filters.tags):
        if key in hot:
            add(f"{hot[key]} = {{tag_{number}:String}}", **{f"tag_{number}": value})
            continue
        add(_tag_is(f"tag_key_{number}", f"tag_{number}", value), **{f"tag_key_{number}": key, f"tag_{number}": value})
    for number, (key, value) in enumerate(filters.properties):
        names = f"property_key_{number}", f"property_{number}"
        add(_property_is(*names, value), **dict(zip(names, (key, value), strict=True)))
    return " AND ".join(terms), params


def _moment(name: str) -> str:
    return f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"


def _tag_is(key: str, name: str, value: str) -> str:
    """No key is in both maps, and an absent key reads as the empty string."""
    found = f"(tags[{{{key}:String}}] = {{{name}:String}} OR labels[{{{key}:String}}] = {{{name}:String}})"
    return found if value else f"({_has_tag(key)} AND {_tag(key)} = {{{name}:String}})"


def _has_tag(key: str) -> str:
    return f"(mapContains(tags, {{{key}:String}}) OR mapContains(labels, {{{key}:String}}))"


def _tag(key: str) -> str:
    return f"concat(tags[{{{key}:String}}], labels[{{{key}:String}}])"


def _property(key: str) -> str:
    """A property's text: a string's own, anything else's JSON; null for a JSON null and for none."""
    path = f"properties, {{{key}:String}}"
    return (
        f"multiIf(JSONType({path}) = 'Null', NULL, "
        f"JSONType({path}) = 'String', JSONExtractString({path}), JSONExtractRaw({path}))"
    )


def _property_is(key: str, name: str, value: str) -> str:
    if not _is_fractional(value):
        return f"{_property(key)} = {{{name}:String}}"
    # ClickHouse prints both sides, so that they agree.
    path = f"properties, {{{key}:String}}"
    return (
        f"if(JSONType({path}) = 'String', JSONExtractString({path}) = {{{name}:String}}, "
        f"JSONExtractRaw({path}) = toString(toFloat64({{{name}:String}})))"
    )


_FRACTIONAL = re.compile(r"-?(?:0|[1-9]\d*)(?=[.eE])(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def _is_fractional(text: str) -> bool:
    """Whether a text is a JSON number with a point or an exponent, that is, one that has other spellings."""
    return bool(_FRACTIONAL.fullmatch(text)) and isfinite(float(text))


def _key(dimension: Dimension, hot: Hot) -> str:
    if dimension.kind == "tag" and dimension.key in hot:
        return hot[dimension.key]
    if dimension.kind == "tag":
        return f"if({_has_tag('group')}, {_tag('group')}, NULL)"
    if dimension.kind == "property":
        return _property("group")
    if dimension.kind == "name":
        return "toNullable(toString(name))"
    if dimension.kind == "user_id":
        return "nullIf(user_id, '')"
    raise ValueError(dimension.kind)
