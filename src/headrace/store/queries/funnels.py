"""Funnels, retention and paths of people as SQL. Pure.

Each gathers a person's events in an array, in the order of time and position, and works on whole arrays at once: a lambda that
looked from each element at all others would take the square of their number.
"""

from collections.abc import Mapping, Sequence

from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.funnels import MAX_COHORTS, FunnelQuery, PathsQuery, RetentionQuery, Step
from headrace.model.zones import Interval
from headrace.store.queries.conditions import Query, where_of
from headrace.store.queries.fields import NONE_HOT, OWNER, Hot, Values, term_of, text_of
from headrace.store.queries.merged import joined
from headrace.store.queries.periods import period_of

_AT = "toUnixTimestamp64Milli(events.timestamp) AS at"
# As numbers, which are gathered, compared and sorted in half the time of tuples. A time is from 1970 on and before 2262: 44 bits.
_STEP_BITS = 16
_PLACE = "bitOr(bitShiftLeft(toUInt128(at), 64), toUInt128(position))"
_PLACE_AND_STEPS = (
    f"bitOr(bitShiftLeft(toUInt128(at), {64 + _STEP_BITS}), bitShiftLeft(toUInt128(position), {_STEP_BITS}) + steps)"
)
_TIME_IN = f"toInt64(bitShiftRight(x, {64 + _STEP_BITS}))"
_STEPS_IN = f"toUInt16(bitAnd(x, {(1 << _STEP_BITS) - 1}))"
_LEAST_PERIOD = -(1 << 10)  # days or months; west of Greenwich, 1970 begins in the period before 0
_PERIOD_BITS = 17  # days until 2262
_PLACE_AND_PERIOD = (
    f"bitOr(bitShiftLeft(toUInt128(at), {64 + _PERIOD_BITS}), "
    f"bitShiftLeft(toUInt128(position), {_PERIOD_BITS}) + toUInt128(period - {_LEAST_PERIOD}))"
)
_ANY_PERIOD = (1 << _PERIOD_BITS) - 1


def _period_in(number: str) -> str:
    return f"(toInt64(bitAnd({number}, {_ANY_PERIOD})) + {_LEAST_PERIOD})"


FEW_BESIDE: Mapping[str, int | str] = {"max_block_size": 8192}
"""For questions that gather people's events: what is read at once takes little memory beside them."""
# Numbers take little memory anyway, so many are read at once. What goes to disk comes back at once, so it is not compressed.
_OF_NUMBERS: Mapping[str, int | str] = {"temporary_files_codec": "NONE"}

_TEXTS = "CAST([{}] AS Array(Nullable(String)))"
_NO_TEXTS = _TEXTS.format("")


def _matches(step: Step, values: Values, hot: Hot) -> str:
    return f"({' AND '.join(term_of(each, values, hot) for each in step)})"


def _of_people(
    tenant: Tenant, filters: Filters, hot: Hot, columns: Sequence[str], terms: str, edition: int | None
) -> tuple[str, dict[str, object]]:
    """Rows (columns, at, position, person) of the events that match and are somebody's."""
    where, params = where_of(tenant, filters, hot)
    selected = ", ".join((*columns, _AT, "position", f"{OWNER} AS owner"))
    rows, of_edition = joined(f"(SELECT {selected} FROM events WHERE {where} AND {OWNER} != ''{terms})", edition)
    return rows, params | of_edition


def funnel(tenant: Tenant, query: FunnelQuery, edition: int | None, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (whether it is of a group, [key], [count of each step], [average ms], [median ms]), the greatest groups first.

    `reached_n` holds, for each event of a person by which step n is reached, when the first step was, and -1 for the others.
    That never falls from one event to the next, so the last of those so far is the latest.
    """
    values = Values("step_")
    steps = [_matches(each, values, hot) for each in query.steps]
    numbers = range(len(steps))
    bits = " + ".join(f"toUInt16({step}) * {1 << number}" for number, step in enumerate(steps))
    texts = ", ".join(text_of(each, values, hot) for each in query.breakdown)
    columns = [f"{bits} AS steps", f"{_TEXTS.format(texts)} AS texts"]
    any_step = f" AND ({' OR '.join(steps)})" if query.order == "loose" else ""
    rows, params = _of_people(tenant, query.filters, hot, columns, any_step, edition)
    levels = ["arrayMap((t, m) -> if(bitTest(m, 0), t, toInt64(-1)), times, masks) AS reached_0"]
    for number in numbers[1:]:
        before = f"reached_{number - 1}"
        so_far = f"arrayFill(x -> x >= 0, {before})" if query.order == "loose" else before
        levels.append(f"arrayPushFront(arrayPopBack({so_far}), toInt64(-1)) AS before_{number}")
        levels.append(
            f"arrayMap((t, m, b) -> if(bitTest(m, {number}) AND b >= 0 AND t - b <= {{window:Int64}}, b, toInt64(-1)), "
            f"times, masks, before_{number}) AS reached_{number}"
        )
    firsts = [f"arrayFirstIndex(x -> x >= 0, reached_{number}) AS place_{number}" for number in numbers]
    took = [
        f"if(place_{number} = 0, toInt64(-1), times[place_{number}] - reached_{number}[place_{number}])"
        for number in numbers
    ]
    keys = f"argMin(texts, (NOT bitTest(steps, 0), {_PLACE}))" if query.breakdown else _NO_TEXTS
    people = (
        f"SELECT arraySort(groupArray({_PLACE_AND_STEPS})) AS seen, arrayMap(x -> {_TIME_IN}, seen) AS times, "
        f"arrayMap(x -> {_STEPS_IN}, seen) AS masks, {keys} AS keys, {', '.join((*levels, *firsts))}, "
        f"[{', '.join(took)}] AS took FROM {rows} GROUP BY person HAVING countIf(bitTest(steps, 0)) > 0"
    )
    counts, averages, medians = (
        ", ".join(each.format(f"took[{number + 1}]") for number in numbers)
        for each in ("countIf({0} >= 0)", "avgIf({0}, {0} >= 0)", "quantileExactInclusiveIf(0.5)({0}, {0} >= 0)")
    )
    figures = f"[{counts}] AS counts, [{averages}], [{medians}] FROM (SELECT keys, took FROM ({people}))"
    sql = f"SELECT 0 AS is_group, [], {figures}"
    if query.breakdown:
        sql = (
            f"SELECT 1 - grouping(keys) AS is_group, keys, {figures} GROUP BY GROUPING SETS ((keys), ()) "
            f"ORDER BY is_group, counts[1] DESC, keys LIMIT {query.limit + 2}"
        )
    settings = FEW_BESIDE if query.breakdown else _OF_NUMBERS
    return Query(sql, params | values.params | {"window": query.window_ms}, settings)


def retention(tenant: Tenant, query: RetentionQuery, edition: int | None, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (cohort's period, periods since, people); -1 periods since for all people of the cohort. In no order.

    A period is the number of days since 1970-01-01 of its first day or, for months, the month's number since the year 0.
    """
    values = Values("step_")
    first, returning = _matches(query.first, values, hot), _matches(query.returning, values, hot)
    interval: Interval = "1w" if query.period == "week" else "1d"
    period_at, moves = period_of(query.zone, interval)
    period = period_at("toUnixTimestamp64Milli(events.timestamp)")
    if query.period == "month":
        period = f"toInt64(toYear(toDate32(toInt32({period})))) * 12 + toMonth(toDate32(toInt32({period}))) - 1"
    columns = [f"{first} AS is_first", f"{returning} AS is_return", f"{period} AS period"]
    rows, params = _of_people(tenant, query.filters, hot, columns, f" AND ({first} OR {returning})", edition)
    width = 7 if query.period == "week" else 1
    # No event's number is 0: that is what an aggregate of no events is.
    people = (
        f"SELECT minIf({_PLACE_AND_PERIOD}, is_first) AS begun, {_period_in('begun')} AS cohort, "
        f"groupArrayIf({_PLACE_AND_PERIOD}, is_return) AS returned FROM {rows} GROUP BY person HAVING begun != 0"
    )
    since = (
        f"arrayMap(x -> intDiv({_period_in('x')} - cohort, {width}), "
        f"arrayFilter(x -> x > bitOr(begun, {_ANY_PERIOD}), returned))"
    )
    within = f"arrayFilter(x -> x >= 0 AND x < {query.periods}, arrayDistinct({since}))"
    return Query(
        f"SELECT cohort, arrayJoin(arrayPushFront({within}, toInt64(-1))) AS since, count() FROM ({people}) "
        f"GROUP BY cohort, since LIMIT {(MAX_COHORTS + 1) * (query.periods + 1)}",
        params | moves | values.params,
        _OF_NUMBERS,
    )


def paths(tenant: Tenant, query: PathsQuery, edition: int | None, /, hot: Hot = NONE_HOT) -> Query:
    """Rows ([names], count, people): the beginnings of paths, the most frequent first, and before all others the empty one."""
    values = Values("step_")
    columns = ["toString(name) AS called", f"{_matches(query.start, values, hot)} AS is_start"]
    rows, params = _of_people(tenant, query.filters, hot, columns, "", edition)
    seen = "arraySort(groupArray((at, position, called, is_start)))"
    shifted = [
        f"arrayResize(arraySlice({column}, {step + 1}), length({column}), {beyond}) AS {column}_{step}"
        for step in range(1, query.steps + 1)
        for column, beyond in (("names", "''"), ("times", f"toInt64({-(2**50)})"))
    ]
    given = [(f"n{step}", f"t{step}") for step in range(1, query.steps + 1)]
    inputs = ", ".join(f"names_{step}, times_{step}" for step in range(1, query.steps + 1))
    following = ", ".join(f"if(abs({time} - t) <= {{window:Int64}}, {name}, '')" for name, time in given)
    names = ", ".join(each for pair in given for each in pair)
    people = (
        f"SELECT person, {f'arrayReverse({seen})' if query.direction == 'before' else seen} AS seen, seen.1 AS times, "
        f"seen.3 AS names, seen.4 AS starts, {', '.join(shifted)}, "
        f"arrayMap((t, {names}) -> arrayFilter(x -> x != '', [{following}]), times, {inputs}) AS after "
        f"FROM {rows} GROUP BY person HAVING countIf(is_start) > 0"
    )
    path = f"SELECT person, arrayJoin(arrayFilter((x, s) -> s, after, starts)) AS path FROM ({people})"
    return Query(
        "SELECT beginning, count() AS hits, uniqExact(person) FROM (SELECT person, "
        f"arrayJoin(arrayMap(x -> arraySlice(path, 1, x), range(length(path) + 1))) AS beginning FROM ({path})) "
        f"GROUP BY beginning ORDER BY hits DESC, length(beginning), beginning LIMIT {query.limit + 2}",
        params | values.params | {"window": query.window_ms},
        FEW_BESIDE,
    )
