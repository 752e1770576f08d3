"""SQL for listing event names, sources and properties. Pure."""

from collections.abc import Mapping, Sequence

from headrace.model.event import Tenant
from headrace.model.filters import (
    MAX_CATALOG_PROPERTIES,
    MAX_PROPERTY_CHARS,
    CatalogPage,
    Filters,
    PropertyType,
)
from headrace.store.queries.conditions import FEW_AT_ONCE, ONE_BY_ONE, PAIRS, Query, pairs, where_of
from headrace.store.queries.events import OUTPUT

_LATEST_EVENTS = 50_000


def observed(tenant: Tenant, column: str, limit: int, search: str, /) -> Query:
    """Rows (value, count, first millisecond, last millisecond), the most recently seen first; `search` is a part of the value."""
    where, params = _of_observed(tenant, column, search)
    return _observed(column, where, params | {"limit": limit}, {})


def observed_lately(tenant: Tenant, column: str, limit: int, search: str, /) -> Query:
    """Like `observed`, but only for the latest events: its memory is bounded, however many values there are."""
    where, params = _of_observed(tenant, column, search)
    # Reduce to numbers first: sorting the texts would keep too many of them in memory.
    latest = f"SELECT position FROM events WHERE {where} ORDER BY events.timestamp DESC LIMIT {_LATEST_EVENTS}"
    where += (
        f" AND {column} IN (SELECT {column} FROM events WHERE {where} AND position IN ({latest}) GROUP BY {column} "
        f"ORDER BY max(timestamp) DESC, {column} LIMIT {{limit:UInt64}})"
    )
    return _observed(column, where, params | {"limit": limit}, FEW_AT_ONCE)


def _observed(column: str, where: str, params: dict[str, object], settings: Mapping[str, int]) -> Query:
    return Query(
        f"SELECT {column}, count(), toUnixTimestamp64Milli(min(timestamp)), toUnixTimestamp64Milli(max(timestamp)) AS last "
        f"FROM events WHERE {where} GROUP BY {column} ORDER BY last DESC, {column} LIMIT {{limit:UInt64}}",
        params,
        settings,
    )


def _of_observed(tenant: Tenant, column: str, search: str) -> tuple[str, dict[str, object]]:
    if column not in ("name", "source"):
        raise ValueError(column)
    where, params = where_of(tenant, Filters())
    if search:
        where += f" AND positionCaseInsensitiveUTF8({column}, {{search:String}}) > 0"
        params["search"] = search
    return where, params


def names(tenant: Tenant, page: CatalogPage, /, *, in_order: bool = False) -> Query:
    """Rows (name, count, first millisecond, last millisecond), by name; one more than the page holds.

    in_order: uses bounded memory however many names there are, but takes longer if there are few.
    """
    where, params = _of_page(tenant, page)
    if page.after is not None:
        where += " AND name > {after:String}"
        params["after"] = page.after
    return Query(
        "SELECT name, count(), toUnixTimestamp64Milli(min(timestamp)), toUnixTimestamp64Milli(max(timestamp)) "
        f"FROM events WHERE {where} GROUP BY name ORDER BY name LIMIT {{limit:UInt64}}",
        params | {"limit": page.limit + 1},
        ONE_BY_ONE if in_order else {},
    )


def names_total(tenant: Tenant, page: CatalogPage, /, *, exact: bool = True) -> Query:
    """One row (the number of names, whatever the page). Accurate to a thousandth, in bounded memory."""
    where, params = _of_page(tenant, page)
    count = "uniqExact(name)" if exact else "uniqCombined64(20)(name)"
    return Query(f"SELECT {count} FROM events WHERE {where}", params, {} if exact else FEW_AT_ONCE)


def _of_page(tenant: Tenant, page: CatalogPage) -> tuple[str, dict[str, object]]:
    where, params = where_of(tenant, Filters(name=page.name, name_prefix=page.prefix))
    if page.search is not None:
        where += " AND positionCaseInsensitiveUTF8(name, {search:String}) > 0"
        params["search"] = page.search
    return where, params


def properties(tenant: Tenant, names: Sequence[str], /) -> Query:
    """Rows (name, keys of strings, keys of numbers, other keys behind a letter of `PROPERTY_LETTERS`).

    Strings and numbers come from the maps. The text is parsed only if it may contain anything else: a literal, a bracket, a
    string that is not in the labels because a tag has the same name, or a number that does not fit into a double.
    """
    where, params = where_of(tenant, Filters())
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
    """One whole event of each name, with the given time in milliseconds."""
    where, params = where_of(tenant, Filters())
    return Query(
        f"SELECT {OUTPUT} FROM events WHERE {where} "
        f"AND (events.name, events.timestamp) IN {PAIRS} ORDER BY events.name, position DESC LIMIT 1 BY events.name",
        params | pairs(names),
    )
