"""SQL conditions for filters, always bound to a tenant, and SQL expressions for tags and properties.

Pure; names no driver. Values are bound parameters. Every builder uses `where_of`, the one place that binds a query to its project
and mode. A property is text here, as `Filters` says.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from headrace.model.event import Tenant, position_of, tail_of
from headrace.model.filters import MAX_GROUPS, OWN_FIELDS, Dimension, Filters
from headrace.model.own_columns import ColumnKind
from headrace.model.times import render_time
from headrace.store.queries import fields
from headrace.store.queries.fields import (
    NONE_HOT,
    TAGGED,
    Hot,
    Values,
    is_in,
    property_is,
    property_text,
    tag,
    tag_is,
    term_of,
    text_in,
)


class Query(msgspec.Struct, frozen=True):
    """SQL, the values of its `{name:Type}` placeholders, and the engine's settings for it."""

    sql: str
    params: dict[str, object]
    settings: Mapping[str, int | str] = {}

    def with_settings(self, *more: str) -> str:
        """The SQL with the settings in it. more: others, as they are written."""
        own = (
            f"{name} = '{each}'" if isinstance(each, str) else f"{name} = {each}"
            for name, each in self.settings.items()
        )
        settings = ", ".join((*own, *more))
        return f"{self.sql} SETTINGS {settings}" if settings else self.sql


SLOT_MS = 900_000  # the unit of projections that count; every zone's offset today is a multiple of it
OF_SLOT = f"toInt64(slot) * {SLOT_MS}"
_OF_COUNTS = {"name", "name_prefix", "source", "from_ms", "to_ms", "tags", "properties", "conditions"}


class Looked(Hot):
    """Notes which columns were looked up: None for what has none."""

    def __init__(self, hot: Hot) -> None:
        super().__init__()
        self._hot = hot
        self.columns: set[str | None] = set()

    def of(self, kind: ColumnKind, path: tuple[str, ...], /) -> str | None:
        column = self._hot.of(kind, path)
        self.columns.add(column)
        return column


class Spans(msgspec.Struct, frozen=True):
    """Conditions that together match what filters match, each event once, and each with its expression for the time.

    settings: of the query, so that the engine does not weigh projections that cannot be the best.
    """

    parts: Sequence[tuple[str, str]]
    params: dict[str, object]
    settings: Mapping[str, int | str] = {}


def spans_of(
    tenant: Tenant, filters: Filters, hot: Hot, /, *, whole: bool = True, by: Collection[str | None] = ()
) -> Spans:
    """by: the columns that the query groups by; None for what no projection has.

    If whole slots suffice, the time is the beginning of the slot. The first condition then covers whole slots, which a projection
    has counted if the filters allow it, and the second covers the times on either side.
    """
    moment = OF_SLOT if whole else "toUnixTimestamp64Milli(timestamp)"
    first = -(-(filters.from_ms or 0) // SLOT_MS)
    last = None if filters.to_ms is None else (filters.to_ms + 1) // SLOT_MS
    looked = Looked(hot)
    where, params = where_of(tenant, msgspec.structs.replace(filters, from_ms=None, to_ms=None), looked)
    projection = _counting(filters, {*looked.columns, *by}, hot)
    if not whole or projection is None or (last is not None and first >= last):
        ways, params = ways_of(tenant, filters, hot)
        return Spans([(where, moment) for where in ways], params)
    middle = f"{where} AND slot >= {{first_slot:Int64}}"
    params["first_slot"] = first
    edges: list[str] = []
    if filters.from_ms is not None and filters.from_ms % SLOT_MS:
        edges.append(between("from_ms", "from_upto"))
        params |= {"from_ms": filters.from_ms, "from_upto": first * SLOT_MS - 1}
    if last is not None and filters.to_ms is not None:
        middle += " AND slot < {last_slot:Int64}"
        params["last_slot"] = last
        if (filters.to_ms + 1) % SLOT_MS:
            edges.append(between("to_from", "to_ms"))
            params |= {"to_from": last * SLOT_MS, "to_ms": filters.to_ms}
    beside = [(f"{where} AND ({' OR '.join(edges)})", moment)] if edges else []
    return Spans([(middle, moment), *beside], params, {"preferred_optimize_projection_name": projection})


def _counting(filters: Filters, columns: Collection[str | None], hot: Hot) -> str | None:
    """The smallest projection that has counted by what the filters and some columns need; None if none has.

    columns: "name", and those that tags and properties have for themselves; None for what has no column.
    """
    given = {field for field in filters.__struct_fields__ if getattr(filters, field) not in (None, ())}
    fields_of = {each.field.path[0] for each in filters.conditions if each.field.kind == "column"}
    kinds = {each.field.kind for each in filters.conditions}
    if not given <= _OF_COUNTS or not fields_of <= {"name", "source"} or not kinds <= {"column", "tag", "property"}:
        return None
    named = bool(given & {"name", "name_prefix"} or "name" in fields_of or "name" in columns)
    by_source = "source" in given or "source" in fields_of
    own = [column for column in columns if column != "name"]
    if not own:
        return "by_slot" if named or by_source else "by_time"
    [column, *others] = own
    return None if column is None or others or by_source else hot.counts_of(column, "name" if named else "time")


def ways_of(tenant: Tenant, filters: Filters, hot: Hot) -> tuple[list[str], dict[str, object]]:
    """Conditions that together match what the filters match, each event once.

    A tag filter matches a tag or a string property of that name; no event has both. As two conditions, the index of names skips
    the map that lacks the name; as one condition, both maps are read for every event.
    """
    if filters.people is not None:
        # Each of the two has an index of its own, which one condition for both would not use.
        ways, params = ways_of(tenant, msgspec.structs.replace(filters, people=None), hot)
        return [f"{way} AND {owned}" for way in ways for owned in OWNED], params | {"people": list(filters.people)}
    cold = next((tag for tag in filters.tags if not hot.tag(tag[0])), None)
    others = tuple(tag for tag in filters.tags if tag is not cold)
    where, params = where_of(tenant, msgspec.structs.replace(filters, tags=others), hot)
    if cold is None:
        return [where], params
    ways = [
        f"{where} AND {has(column, 'cold')} AND {column}[{{cold:String}}] = {{cold_is:String}}" for column in TAGGED
    ]
    return ways, params | {"cold": cold[0], "cold_is": cold[1]}


# The owner of an event: its user, or else its anonymous visitor. Never both.
OWNED = (
    "user_id IN {people:Array(String)}",
    "user_id = '' AND anonymous_id IN {people:Array(String)}",
)


def has(column: str, key: str) -> str:
    """key: the name of a placeholder."""
    return fields.has(column, f"{{{key}:String}}")


def between(low: str, high: str) -> str:
    return f"events.timestamp >= {moment_of(low)} AND events.timestamp <= {moment_of(high)}"


# For queries that no projection can answer: considering projections takes time as well.
NO_PROJECTIONS: Mapping[str, int] = {"optimize_use_projections": 0}

# For queries that must run in little memory however many cores there are: each thread keeps the rows that it reads at once, and
# their texts may be long.
FEW_AT_ONCE: Mapping[str, int] = {"max_block_size": 4096, "max_threads": 2}
# For groups by the table's key of which nearly all have one row: processes one after the other and keeps none.
# Without projections: if one part of the table has a fitting projection, the engine gives up the order for all parts.
ONE_BY_ONE: Mapping[str, int] = {
    **FEW_AT_ONCE,
    **NO_PROJECTIONS,
    "optimize_aggregation_in_order": 1,
    "max_threads": 1,
}


_EQUAL = ("user_id", "source", "session_id", "environment", "service", "host")


def where_of(tenant: Tenant, filters: Filters, hot: Hot = NONE_HOT) -> tuple[str, dict[str, object]]:
    """The condition that binds a query to its tenant and its filters, with the values of its placeholders."""
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
        add(f"events.timestamp >= {moment_of('from_ms')}", from_ms=filters.from_ms)
    if filters.to_ms is not None:
        add(f"events.timestamp <= {moment_of('to_ms')}", to_ms=filters.to_ms)
    if filters.person is not None:
        add("(user_id = {person:String} OR anonymous_id = {person:String})", person=filters.person)
    if filters.people is not None:
        add(f"({' OR '.join(f'({owned})' for owned in OWNED)})", people=list(filters.people))
    if filters.after is not None:
        add("position > {past:UInt64}", past=filters.after)
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
        named, told = f"tag_key_{number}", f"tag_{number}"
        if column := hot.tag(key):
            add(f"{column} = {_text(told)}", **{told: value})
            continue
        add(tag_is(_text(named), _text(told), empty=not value), **{named: key, told: value})
    own = Values("own_property_")
    for number, (key, value) in enumerate(filters.properties):
        if column := hot.of("property", (key,)):
            add(is_in(column, own, value))
            continue
        named, told = f"property_key_{number}", f"property_{number}"
        add(property_is(_text(named), _text(told), value), **{named: key, told: value})
    values = Values("condition_")
    for condition in filters.conditions:
        add(term_of(condition, values, hot))
    return " AND ".join(terms), params | own.params | values.params


def _text(name: str) -> str:
    return f"{{{name}:String}}"


def moment_of(name: str) -> str:
    return f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"


def key_of(dimension: Dimension, hot: Hot) -> str:
    group = _text("group")
    if dimension.kind == "tag":
        return hot.tag(dimension.key) or f"if({fields.has_tag(group)}, toNullable({tag(group)}), NULL)"
    if dimension.kind == "property":
        column = hot.of("property", (dimension.key,))
        return text_in(column) if column else property_text(group)
    if dimension.kind == "name":
        return "toNullable(toString(name))"
    if dimension.kind == "user_id":
        return "nullIf(user_id, '')"
    if dimension.kind == "own" and dimension.key in OWN_FIELDS:
        field = f"nullIf(toString({dimension.key}), '')"
        if column := hot.tag(dimension.key):
            return f"coalesce({column}, {field})"
        return f"if({fields.has_tag(group)}, toNullable({tag(group)}), {field})"
    raise ValueError(dimension.kind)


# As one value, not assembled by functions: otherwise the primary key is not used to find the granules.
PAIRS = "{pairs:Array(Tuple(String, DateTime64(3, 'UTC')))}"


def pairs(moments: Sequence[tuple[str, int]]) -> dict[str, object]:
    """The value of the placeholder in `PAIRS`."""
    return {"pairs": [(name, render_time(moment_ms)[:-1].replace("T", " ")) for name, moment_ms in moments]}


def frequent(key: str, where: str, /) -> str:
    """Whether a key is among the roughly MAX_GROUPS most frequent ones of the matching events.

    In bounded memory, however many and however long the keys are: they are counted by their hashes, and only the frequent ones
    are kept. If all keys are about equally frequent, the choice is arbitrary.
    Source: https://clickhouse.com/docs/sql-reference/aggregate-functions/reference/topk
    """
    hashed = f"sipHash64({key})"
    found = f"SELECT arrayJoin(topK({MAX_GROUPS + 1})({hashed})) FROM events WHERE {where}"
    return f"{hashed} IN ({found})"
