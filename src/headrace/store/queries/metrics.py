"""SQL for metrics. Their points are events of the tenant `Tenant.metrics`. Pure."""

from collections.abc import Sequence

from headrace.model.event import Tenant
from headrace.model.filters import MAX_GROUPS, Filters
from headrace.model.measures import MAX_METRICS, MAX_POINTS, MAX_TAG_KEYS, WIDTH_MS, Aggregation, Question
from headrace.store.queries.conditions import FEW_AT_ONCE, ONE_BY_ONE, Query, frequent, where_of


def metrics(tenant: Tenant, name: str | None = None, /, *, upto: str | None = None) -> Query:
    """Rows (name, type, points, first millisecond, last millisecond), by name; a metric's type is that of its latest point.

    One more than a list shows. upto: the greatest name to read, which bounds the memory however many names there are.
    Here and below, the tenant is `Tenant.metrics`.
    """
    where, params = where_of(tenant, Filters(name=name))
    if upto is not None:
        where += " AND name <= {upto:String}"
        params["upto"] = upto
    return Query(
        "SELECT name, kind, points, first, last FROM (SELECT name, group_id AS kind, count() AS points, "
        "toUnixTimestamp64Milli(min(timestamp)) AS first, toUnixTimestamp64Milli(max(timestamp)) AS last, "
        f"max(position) AS latest FROM events WHERE {where} GROUP BY name, kind ORDER BY latest DESC LIMIT 1 BY name) "
        f"ORDER BY name LIMIT {MAX_METRICS + 1}",
        params,
        ONE_BY_ONE if upto is not None else {},
    )


def tag_keys(tenant: Tenant, name: str, kind: str, /) -> Query:
    """One row: ([keys of the metric's tags])."""
    where, params = where_of(tenant, Filters(name=name))
    return Query(
        f"SELECT arraySort(groupUniqArrayArray({MAX_TAG_KEYS})(mapKeys(tags))) FROM events "
        f"WHERE {where} AND group_id = {{kind:String}}",
        params | {"kind": kind},
    )


_PERCENTILES = "quantilesExactInclusive(0.5, 0.9, 0.95, 0.99)(value)"  # spelled the same, so computed once
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
    tenant: Tenant,
    question: Question,
    /,
    *,
    by_bucket: bool = False,
    groups: Sequence[str] | None = None,
    frequent_only: bool = False,
) -> Query:
    """Rows (bucket's first millisecond or null, key or null, points, [figures]), most points first, then by key and bucket.

    groups: the keys to include; () includes all keys, None means no grouping. frequent_only: to the most frequent keys, see
    `frequent`.
    """
    where, params = where_of(tenant, question.filters)
    where += " AND group_id = {kind:String}"
    params |= {"kind": question.type}
    bucket = key = "NULL"
    if by_bucket and question.interval is not None:
        bucket = "intDiv(toUnixTimestamp64Milli(timestamp), {width:Int64}) * {width:Int64}"
        params["width"] = WIDTH_MS[question.interval]
    if groups is not None:
        key = "tags[{group:String}]"
        where += " AND mapContains(tags, {group:String})"
        params["group"] = question.group_by
        if frequent_only:
            where += f" AND {frequent(key, where)}"
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
        FEW_AT_ONCE if frequent_only else {},
    )
