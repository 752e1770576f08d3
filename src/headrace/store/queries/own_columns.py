"""SQL for the columns that tags and properties have for themselves. Pure.

A column is declared with its value as the default, so a part that does not have it yet computes it when it is read, and a part
that is inserted has it. What the value is made of is an expression over the event alone: every part answers the same, whenever
it was written. A column's name is a hash, and a key is written as hex digits. The comment says what the column holds.

A column's counts are a projection. The engine reads the events of parts that do not have it, such as those just inserted.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from headrace.model.conditions import Field
from headrace.model.own_columns import COUNTED_BY, ColumnKey, ColumnKind, CountedBy
from headrace.store.queries import fields
from headrace.store.queries.conditions import Query
from headrace.store.queries.place import ONE_SERVER, Place

PREFIX = "own_"
OF_HINTS = "tag_"  # and the key's bytes in hex: how columns of HEADRACE_HOT_TAGS have always been called
_TYPES = {
    "tag": "LowCardinality(Nullable(String))",
    "property": "LowCardinality(String)",
    "number": "Nullable(Float64)",
}
COUNTS = "counts_"
# Events of a part that is read about as fast as its counts, and of one just inserted, which has them once it is merged.
_SMALL_PART, _SMALL_INSERT = 20_000, 200_000
_COLUMNS_OF = "database = currentDatabase() AND table = 'events'"


class Comment(msgspec.Struct, frozen=True):
    """What a column holds, for which project, and since when: in the table itself, so that nothing can part the two."""

    kind: ColumnKind
    path: tuple[str, ...]
    project: str
    since_ms: int


def name_of(key: ColumnKey, /) -> str:
    return PREFIX + blake2b(msgspec.json.encode([key.kind, *key.path]), digest_size=12).hexdigest()


def name_of_hint(tag: str, /) -> str:
    return OF_HINTS + tag.encode().hex()


def counts_of(column: str, by: CountedBy, /) -> str:
    """The name of the projection with a column's counts. A hash: a hint's column may have a longer name than a folder can."""
    return f"{COUNTS}{blake2b(column.encode(), digest_size=12).hexdigest()}_{by}"


def value_of(key: ColumnKey, /) -> str:
    """What the column holds, as an expression over an event."""
    literals = _Literals()
    if key.kind == "tag":
        word = literals.text(key.path[0])
        return f"multiIf(mapContains(tags, {word}), tags[{word}], mapContains(labels, {word}), labels[{word}], NULL)"
    if key.kind == "number":
        return fields.number_of(Field("property", key.path), literals, fields.NONE_HOT)
    return fields.property_value(", ".join(map(literals.text, key.path)))


class _Literals(fields.Values):
    """Writes texts into the SQL, as hex digits: a declaration takes no placeholders."""

    def __init__(self) -> None:
        super().__init__("")

    def text(self, value: str, /) -> str:
        return f"unhex('{value.encode().hex()}')"


def _both(place: Place) -> list[str]:
    """The tables that have to have a column: the one with the rows, and on a cluster the one that stands for all of those."""
    return [place.kept("events"), place.named("events")] if place.cluster else ["events"]


def add(key: ColumnKey, project: str, since_ms: int, /, place: Place = ONE_SERVER) -> list[str]:
    return [
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name_of(key)} {_declared(key)} "
        f"COMMENT {_comment(key, project, since_ms)}"
        for table in _both(place)
    ]


def add_hint(tag: str, /, place: Place = ONE_SERVER) -> list[str]:
    key = ColumnKey("tag", (tag,))
    return [
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name_of_hint(tag)} {_declared(key)}" for table in _both(place)
    ]


def fill_hint(tag: str, /, place: Place = ONE_SERVER) -> str:
    """As `fill`, for a hint and all partitions."""
    return f"ALTER TABLE {place.kept('events')} MATERIALIZE COLUMN {name_of_hint(tag)} SETTINGS mutations_sync = 0"


def adopt(name: str, key: ColumnKey, since_ms: int, /, place: Place = ONE_SERVER) -> list[str]:
    """Note since when a column is there that was named in the settings once."""
    comment = _comment(key, "", since_ms)
    return [f"ALTER TABLE {table} COMMENT COLUMN {name} {comment}" for table in _both(place)]


def _declared(key: ColumnKey) -> str:
    # Unlike the table's own columns, it is mostly read as a whole.
    return f"{_TYPES[key.kind]} DEFAULT {value_of(key)} CODEC(ZSTD(1)) SETTINGS (min_compress_block_size = 65536)"


def _comment(key: ColumnKey, project: str, since_ms: int) -> str:
    text = json.dumps({"kind": key.kind, "path": key.path, "project": project, "since_ms": since_ms})
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _keys(column: str, by: CountedBy) -> str:
    return f"project, mode, {column}, {'name, ' if by == 'name' else ''}slot"


def count(column: str, by: CountedBy, /, place: Place = ONE_SERVER) -> str:
    keys = _keys(column, by)
    return (
        f"ALTER TABLE {place.kept('events')} ADD PROJECTION IF NOT EXISTS {counts_of(column, by)} "
        f"(SELECT {keys}, count() GROUP BY {keys})"
    )


def drop(name: str, /, place: Place = ONE_SERVER) -> list[str]:
    """First its counts, without which the engine would not drop it."""
    counts = ", ".join(f"DROP PROJECTION IF EXISTS {counts_of(name, by)}" for by in COUNTED_BY)
    columns = [f"ALTER TABLE {table} DROP COLUMN IF EXISTS {name}" for table in reversed(_both(place))]
    return [
        f"{each} SETTINGS mutations_sync = 2" for each in (f"ALTER TABLE {place.kept('events')} {counts}", *columns)
    ]


def fill(names: Sequence[str], partition: str, /, place: Place = ONE_SERVER) -> str:
    """Write columns into the parts of a partition, each part at once or not at all. Goes on behind, also after a restart."""
    each = ", ".join(f"MATERIALIZE COLUMN {name} IN PARTITION ID '{partition}'" for name in names)
    return f"ALTER TABLE {place.kept('events')} {each} SETTINGS mutations_sync = 0"


def fill_counts(projections: Sequence[str], partition: str, /, place: Place = ONE_SERVER) -> str:
    """As `fill`, for columns' counts."""
    each = ", ".join(f"MATERIALIZE PROJECTION {name} IN PARTITION ID '{partition}'" for name in projections)
    return f"ALTER TABLE {place.kept('events')} {each} SETTINGS mutations_sync = 0"


def filling(place: Place = ONE_SERVER) -> Query:
    """Rows (why its last attempt failed or "") of what `fill` has begun and not done."""
    return Query(
        f"SELECT latest_fail_reason FROM {place.everywhere('system.mutations')} WHERE {place.in_table('events')} AND NOT is_done "
        f"AND (position(command, 'MATERIALIZE COLUMN') > 0 OR position(command, 'MATERIALIZE PROJECTION {COUNTS}') > 0)",
        {},
    )


def declared() -> Query:
    """Rows (name, comment) of the columns that tags and properties have for themselves."""
    return Query(
        f"SELECT name, comment FROM system.columns WHERE {_COLUMNS_OF} "
        f"AND (startsWith(name, '{PREFIX}') OR startsWith(name, '{OF_HINTS}'))",
        {},
    )


def partitions(place: Place = ONE_SERVER) -> Query:
    """Rows (partition, events): on a cluster, those of every replica."""
    return Query(
        f"SELECT partition_id, sum(rows) FROM {place.everywhere('system.parts')} WHERE {place.in_table('events')} AND active "
        "GROUP BY partition_id",
        {},
    )


def held(place: Place = ONE_SERVER) -> Query:
    """Rows (column, partition, events whose part has the column, bytes): on a cluster, those of every replica."""
    return Query(
        "SELECT column, partition_id, sum(rows), sum(column_data_compressed_bytes + column_marks_bytes) "
        f"FROM {place.everywhere('system.parts_columns')} WHERE {place.in_table('events')} AND active "
        f"AND (startsWith(column, '{PREFIX}') OR startsWith(column, '{OF_HINTS}')) GROUP BY column, partition_id",
        {},
    )


def counted(place: Place = ONE_SERVER) -> Query:
    """Rows (projection, ["node/part" that has it], bytes) of declared counts."""
    node_of = "concat(hostName(), '/', {})"
    return Query(
        "SELECT name, groupArrayIf(part, part != ''), sum(size) FROM "
        f"(SELECT name, '' AS part, 0 AS size FROM system.projections WHERE {place.in_table('events')} "
        f"AND startsWith(name, '{COUNTS}') UNION ALL "
        f"SELECT name, {node_of.format('parent_name')}, bytes_on_disk FROM {place.everywhere('system.projection_parts')} "
        f"WHERE {place.in_table('events')} AND active AND startsWith(name, '{COUNTS}')) GROUP BY name",
        {},
    )


def parts_to_count(place: Place = ONE_SERVER) -> Query:
    """Rows (partition, "node/part", events) of the parts that ought to have counts."""
    return Query(
        f"SELECT partition_id, concat(hostName(), '/', name), rows FROM {place.everywhere('system.parts')} "
        f"WHERE {place.in_table('events')} AND active AND rows >= if(level = 0, {_SMALL_INSERT}, {_SMALL_PART})",
        {},
    )


def groups(column: str, by: CountedBy, partition: str, /) -> Query:
    """One row (groups that a column's counts would have, events), both of one slot in eight of a partition."""
    return Query(
        f"SELECT uniqCombined64({_keys(column, by)}), count() FROM events "
        "WHERE _partition_id = {partition:String} AND slot % 8 = 0 SETTINGS max_threads = 1",
        {"partition": partition},
    )


_SAMPLE = 20_000


def estimate(key: ColumnKey, /, place: Place = ONE_SERVER) -> Query:
    """One row (bytes an event that the column would take at most, about; free bytes of the disk), from some events.

    A few values are a byte each, and others about as long as they are.
    """
    value = value_of(key)
    size = "max(9)" if key.kind == "number" else "if(uniq(value) <= 256, 1, avg(length(ifNull(value, ''))) + 2)"
    return Query(
        f"SELECT {size}, (SELECT min(free_space) FROM {place.everywhere('system.disks')}) "
        f"FROM (SELECT {value} AS value FROM events LIMIT {_SAMPLE})",
        {},
    )


ASKED_COLUMNS = ("day", "project", "kind", "path", "uses", "seconds", "last_ms")
_MOST_USES = 10_000


def uses(since_ms: int, /) -> Query:
    """Rows (project, kind, path, uses, seconds, last millisecond) of the keys that were asked for since, the costliest first."""
    return Query(
        "SELECT project, kind, path, sum(uses), sum(seconds) AS cost, max(last_ms) AS last FROM asked "
        "WHERE day >= toDate(fromUnixTimestamp64Milli({since:Int64}, 'UTC')) "
        f"GROUP BY project, kind, path HAVING last >= {{since:Int64}} ORDER BY cost DESC, last DESC LIMIT {_MOST_USES}",
        {"since": since_ms},
    )
