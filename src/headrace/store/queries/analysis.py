"""A measure of events, in groups and over time, as SQL. Pure."""

from collections.abc import Sequence

from headrace.model.event import Tenant
from headrace.model.event_queries import OF_NUMBERS, OF_PEOPLE, EventQuery, Measure
from headrace.model.filters import MAX_BUCKETS
from headrace.store.queries.conditions import FEW_AT_ONCE, Hot, Query, frequent, ways_of, where_of
from headrace.store.queries.fields import NONE_HOT, OWNER, Values, number_of, text_of
from headrace.store.queries.merged import joined
from headrace.store.queries.periods import period_of

_FIGURES: dict[Measure, str] = {
    "count": "count()",
    "users": "uniqExact(person)",
    "per_user": "count() / uniqExact(person)",
    "sum": "sumKahan(number)",
    "avg": "sumKahan(number) / count()",
    "min": "minOrNull(number)",
    "max": "maxOrNull(number)",
    "p50": "quantileExactInclusive(0.5)(number)",
    "p95": "quantileExactInclusive(0.95)(number)",
    "p99": "quantileExactInclusive(0.99)(number)",
}
# In bounded memory, accurate to a thousandth.
_ROUGH = {"uniqExact": "uniqCombined64(20)", "quantileExactInclusive": "quantileTDigest"}


def measured(
    tenant: Tenant,
    query: EventQuery,
    edition: int | None,
    /,
    hot: Hot = NONE_HOT,
    *,
    grouped: bool = False,
    by_period: bool = False,
    only: Sequence[int] | None = None,
    exactly: bool = True,
    frequent_only: bool = False,
) -> Query:
    """Rows (hash of the key, [key], period or null, figure).

    edition: of the merged ids, see `joined`. grouped: a row for each group, those with the greatest figures, and one more than
    the limit if there are more. by_period: a row for each period, see `period_of`. only: the hashes of the groups to include.
    exactly: False for figures to about a thousandth, in little memory. frequent_only: of the most frequent groups: see
    `frequent`.
    """
    ways, params = ways_of(tenant, query.filters, hot)
    values = Values("field_")
    keys = [text_of(each, values, hot) for each in query.breakdown] if grouped else []
    columns = [f"CAST({key} AS Nullable(String)) AS key_{index}" for index, key in enumerate(keys)]
    names = [f"key_{index}" for index in range(len(keys))]
    only_those = ""
    if by_period and query.interval is not None:
        period, moves = period_of(query.zone, query.interval)
        columns.append(f"{period('toUnixTimestamp64Milli(events.timestamp)')} AS period")
        params |= moves
    if query.measure in OF_NUMBERS and query.number is not None:
        number = number_of(query.number, values, hot)
        columns.append(f"assumeNotNull({number}) AS number")
        only_those += f" AND {number} IS NOT NULL"
    if query.measure in OF_PEOPLE:
        only_those += f" AND {OWNER} != ''"
    if frequent_only:
        where, _ = where_of(tenant, query.filters, hot)
        only_those += f" AND {frequent(_hash(keys), where)}"
    if query.about_people:
        columns.append(f"{OWNER} AS owner")
    selected = ", ".join(columns) or "1"
    rows = f"({' UNION ALL '.join(f'SELECT {selected} FROM events WHERE {way}{only_those}' for way in ways)})"
    if query.about_people:
        rows, of_edition = joined(rows, edition)
        params |= of_edition
        for index, each in enumerate(query.breakdown if grouped else ()):
            names[index] = "nullIf(person, '')" if each.kind == "person" else names[index]
    if only is not None:
        rows += f" WHERE {_hash(names)} IN {{hashes:Array(UInt64)}}"
        params["hashes"] = list(only)
    figure = _FIGURES[query.measure]
    for exact, rough in () if exactly else _ROUGH.items():
        figure = figure.replace(exact, rough)
    by = ", ".join([*names, "period"] if by_period else names)
    order, limit = "", MAX_BUCKETS + 1
    if grouped and only is None:
        order = f" ORDER BY isNull(figure), NOT isFinite(figure), figure DESC, {', '.join(names)}"
        limit = query.limit + 1
    return Query(
        f"SELECT {_hash(names)} AS hash, CAST([{', '.join(names)}] AS Array(Nullable(String))) AS keys, "
        f"{'period' if by_period else 'NULL'}, {figure} AS figure FROM {rows}"
        f"{f' GROUP BY {by}' if by else ''}{order} LIMIT {limit}",
        params | values.params,
        {} if exactly else FEW_AT_ONCE,
    )


def _hash(keys: Sequence[str]) -> str:
    """Of a group's key. A missing text is not the empty one."""
    marked = [f"ifNull(concat('+', {key}), '-')" for key in keys]
    return f"sipHash64([{', '.join(marked)}])" if keys else "toUInt64(0)"
