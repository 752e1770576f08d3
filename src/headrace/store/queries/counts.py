"""SQL that counts events and computes statistics of them: each builder takes a tenant and filters, and returns text with bound
parameters. Pure."""

from headrace.model.event import Tenant
from headrace.model.filters import MAX_BUCKETS, MAX_GROUPS, Dimension, Filters
from headrace.model.zones import WIDTH_MS, Interval, Zone
from headrace.store.queries.conditions import (
    FEW_AT_ONCE,
    NONE_HOT,
    SLOT_MS,
    TAGGED,
    Hot,
    Looked,
    Query,
    frequent,
    has,
    key_of,
    spans_of,
    ways_of,
    where_of,
)
from headrace.store.queries.periods import period_of

MAX_DAYS = 1_000_000  # more than there are in all years


def total(tenant: Tenant, filters: Filters, /, hot: Hot = NONE_HOT) -> Query:
    """One row: (count)."""
    spans = spans_of(tenant, filters, hot)
    parts = " UNION ALL ".join(f"SELECT count() AS hits FROM events WHERE {where}" for where, _ in spans.parts)
    return Query(f"SELECT sum(hits) FROM ({parts})", spans.params, spans.settings)


def series(tenant: Tenant, filters: Filters, interval: Interval, zone: Zone, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (bucket, count), ascending: a bucket's first millisecond, or its day in the zone if `interval` is days."""
    fits_slots = WIDTH_MS.get(interval, SLOT_MS) % SLOT_MS == 0 and not any(
        moment % SLOT_MS for moment in (*zone.since_ms, *zone.offsets_ms)
    )
    spans = spans_of(tenant, filters, hot, whole=fits_slots)
    own, values = period_of(zone, interval if interval in WIDTH_MS else "1d")
    parts = " UNION ALL ".join(
        f"SELECT {own(moment)} AS bucket, count() AS hits FROM events WHERE {where} GROUP BY bucket"
        for where, moment in spans.parts
    )
    return Query(
        f"SELECT bucket, sum(hits) FROM ({parts}) GROUP BY bucket ORDER BY bucket "
        f"LIMIT {MAX_DAYS if interval in ('1w', '1M') else MAX_BUCKETS + 1}",
        spans.params | values,
        spans.settings,
    )


def groups(tenant: Tenant, filters: Filters, dimension: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (key or null, count, count of all events): events without the key first, then the largest groups."""
    if dimension.kind == "tag" and not hot.tag(dimension.key):
        return _groups_of_tag(tenant, filters, dimension.key, hot)
    looked = Looked(hot)
    key = key_of(dimension, looked)
    by = {"name"} if dimension.kind == "name" else looked.columns
    spans = spans_of(tenant, filters, hot, whole=dimension.kind in ("name", "tag", "property"), by=by)
    parts = " UNION ALL ".join(
        f"SELECT {key} AS key, count() AS hits FROM events WHERE {where} GROUP BY key" for where, _ in spans.parts
    )
    return Query(
        f"SELECT key, hits, sum(hits) OVER () FROM (SELECT key, sum(hits) AS hits FROM ({parts}) GROUP BY key) {_LARGEST}",
        spans.params | {"group": dimension.key},
        spans.settings,
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
    all_of = spans_of(tenant, filters, hot)
    text = "CAST({} AS Nullable(String)) AS key, count() AS hits FROM events WHERE"
    parts = [
        f"SELECT {text.format(value)} {where} AND {has(column, 'group')} GROUP BY {value}"
        for where in ways
        for column, value in ((each, f"{each}[{{group:String}}]") for each in TAGGED)
    ]
    parts += [f"SELECT {text.format('NULL')} {where}" for where, _ in all_of.parts]
    # The windows see every group, and so every event that has the tag.
    return Query(
        "SELECT key, if(key IS NULL, toUInt64(total - tagged), found) AS hits, total FROM (SELECT key, found, "
        "sumIf(found, key IS NOT NULL) OVER () AS tagged, greatest(sumIf(found, key IS NULL) OVER (), tagged) AS total FROM "
        f"(SELECT key, sum(hits) AS found FROM ({' UNION ALL '.join(parts)}) GROUP BY key)) {_LARGEST}",
        params | all_of.params | {"group": key},
        all_of.settings,
    )


def stats(tenant: Tenant, filters: Filters, field: Dimension, /, hot: Hot = NONE_HOT) -> Query:
    """One row (count, sum, sum of magnitudes, min, max, [p50, p95, p99]); null where no event has the number.

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
