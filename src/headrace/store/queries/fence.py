"""Statements of the fence: its tables, what raises it, and whether an earlier insert may still store something. Pure."""

from headrace.store.queries.conditions import Query
from headrace.store.queries.place import Place

MARK = "headrace-insert"
_FENCES = (
    "CREATE TABLE IF NOT EXISTS fences (partition UInt8, fence UInt64) ENGINE = MergeTree ORDER BY (partition, fence) "
    "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
# A row for each fence and not for each partition: one that is written late must not take the place of a newer one.
# Source: https://clickhouse.com/docs/engines/table-engines/special/keeper-map
_FENCES_IN_KEEPER = (
    "CREATE TABLE IF NOT EXISTS $database.fences$on (mark String, partition UInt8, fence UInt64) "
    "ENGINE = KeeperMap('/headrace/$cluster/$name/fences') PRIMARY KEY mark"
)
_VIEW = """
CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {arriving} AS
SELECT * EXCEPT (fence) FROM {table}
WHERE NOT throwIf(fence < (SELECT max(fence) FROM {fences} WHERE partition = {number}), 'another worker has taken over')
"""


def fences(place: Place, /) -> Query:
    return Query(place.filled(_FENCES_IN_KEEPER) if place.cluster else _FENCES, {})


def columns(place: Place, table: str, /) -> Query:
    """Rows (name, type) of a table, in order; of the one that each node has, on a cluster."""
    return Query(
        f"SELECT name, type FROM system.columns WHERE {place.in_table(table)} ORDER BY position",
        {},
    )


def entrance(place: Place, table: str, number: int, /) -> list[str]:
    """Make what there is not yet of a table for inserts with a fence, and the view that passes them on.

    Nothing is dropped or replaced: another worker may insert there already, and a statement may arrive late. A table without
    its view would swallow what is inserted.

    On a cluster, the view is on every node: an insert that one node passes on to another late is looked at there.
    """
    view = _VIEW.format(
        view=f"`{place.database}`.`{table}_to_arriving`{place.on}" if place.cluster else f"{table}_to_arriving",
        arriving=f"`{place.database}`.`arriving_local`" if place.cluster else "arriving",
        table=f"`{place.database}`.`{table}_local`" if place.cluster else table,
        fences=f"`{place.database}`.`fences`" if place.cluster else "fences",
        number=number,
    )
    if not place.cluster:
        return [
            f"CREATE TABLE IF NOT EXISTS {table} AS arriving ENGINE = Null",
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS fence UInt64",
            view,
        ]
    return [
        f"CREATE TABLE IF NOT EXISTS {place.kept(table)} AS `{place.database}`.`arriving_local` ENGINE = Null",
        f"ALTER TABLE {place.kept(table)} ADD COLUMN IF NOT EXISTS fence UInt64",
        view,
        place.filled(
            f"CREATE TABLE IF NOT EXISTS {place.named(table)} AS `{place.database}`.`{table}_local` "
            f"ENGINE = Distributed('$cluster', '$name', '{table}_local', $key)"
        ),
    ]


def nodes_with(place: Place, /, *tables: str) -> Query:
    """One row: how many of a cluster's nodes have all of some tables."""
    return Query(
        f"SELECT count() FROM (SELECT _shard_num FROM {place.everywhere('system.tables')} "
        "WHERE database = {database:String} AND name IN {tables:Array(String)} "
        "GROUP BY _shard_num HAVING count() = {all:UInt64})",
        {"database": place.database, "tables": list(tables), "all": len(tables)},
    )


def write(place: Place, number: int, fence: int, /) -> Query:
    params: dict[str, object] = {"number": number, "fence": fence}
    if not place.cluster:
        return Query("INSERT INTO fences VALUES ({number:UInt8}, {fence:UInt64})", params)
    return Query(
        f"INSERT INTO `{place.database}`.`fences` VALUES ({{mark:String}}, {{number:UInt8}}, {{fence:UInt64}})",
        params | {"mark": f"{number}/{fence}"},
    )


def shown(place: Place, number: int, fence: int, /) -> Query:
    """One row: how many of a cluster's nodes know a fence, or a newer one.

    Each reads Keeper for itself, and a node of Keeper may be behind the others.
    """
    return Query(
        f"SELECT count() FROM (SELECT _shard_num FROM {place.everywhere(f'`{place.database}`.`fences`')} "
        "WHERE partition = {number:UInt8} GROUP BY _shard_num HAVING max(fence) >= {fence:UInt64})",
        {"number": number, "fence": fence},
    )


def running(place: Place, number: int, fence: int, /) -> Query:
    """One row: how many inserts with an older fence run, on any node."""
    return Query(
        f"SELECT count() FROM {place.everywhere('system.processes')} "
        "WHERE startsWith(Settings['log_comment'], {mark:String}) "
        "AND toUInt64OrZero(splitByChar('/', Settings['log_comment'])[-1]) < {fence:UInt64}",
        {"mark": f"{MARK}/{number}/", "fence": fence},
    )


def caught_up(place: Place, /) -> Query:
    """Return once each replica of a cluster has every row that any of its shard has stored.

    Source: https://clickhouse.com/docs/sql-reference/statements/system#sync-replica
    """
    return Query(f"SYSTEM SYNC REPLICA{place.on} `{place.database}`.`events_local` LIGHTWEIGHT", {})


def forget(place: Place, number: int, fence: int, /) -> Query:
    """Remove a partition's older fences from Keeper: each insert reads them all."""
    return Query(
        f"DELETE FROM `{place.database}`.`fences` WHERE partition = {{number:UInt8}} AND fence < {{fence:UInt64}}",
        {"number": number, "fence": fence},
    )
