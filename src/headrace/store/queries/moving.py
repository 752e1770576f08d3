"""Statements that move every event from one store into another, as they are, and compare the two. Pure.

Rows travel as RowBinary, which is the same whatever a column's own way of keeping its values: see
https://clickhouse.com/docs/interfaces/formats/RowBinary.
"""

from collections.abc import Sequence

from headrace.store.queries.conditions import NO_PROJECTIONS, Query
from headrace.store.queries.own_columns import OF_HINTS, PREFIX
from headrace.store.queries.place import ONE_SERVER, Place

MARK = "headrace-move"
_DAY = "toDate(fromUnixTimestamp64Milli(toInt64(bitShiftRight(position, 20)), 'UTC'))"
_PROJECTIONS = ", ".join(f"{name} = {value}" for name, value in NO_PROJECTIONS.items())
_WITHIN = "position > {after:UInt64} AND position <= {upto:UInt64}"
RUNS = (
    "CREATE TABLE IF NOT EXISTS moving_runs (server String, fence UInt64, step String, at DateTime DEFAULT now()) "
    "ENGINE = MergeTree ORDER BY fence SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
_RUNS_IN_KEEPER = (
    "CREATE TABLE IF NOT EXISTS $database.moving_runs$on (server String, fence UInt64, step String, at DateTime DEFAULT now()) "
    "ENGINE = KeeperMap('/headrace/$cluster/$name/moving_runs') PRIMARY KEY fence"
)
ARE_MOVING = Query("EXISTS TABLE moving_runs", {})
READ_RUNS = Query("SELECT server, fence, step FROM moving_runs ORDER BY fence", {})


def runs(place: Place, /) -> str:
    return place.filled(_RUNS_IN_KEEPER) if place.cluster else RUNS


def end(place: Place, /) -> list[str]:
    """Nothing else may be left of a run, so the table with the runs goes last."""
    return [*_no_entrance(place), f"DROP TABLE IF EXISTS {place.named('moving_runs')}"]


def _no_entrance(place: Place) -> list[str]:
    tables = [place.named("moving_to_events"), place.named("moving")]
    return [f"DROP TABLE IF EXISTS {table}" for table in ([*tables, place.kept("moving")] if place.cluster else tables)]


def columns() -> Query:
    """Rows (name, type) of what an event is made of: not what is computed from it, nor columns that tags have for themselves."""
    return Query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'events' "
        "AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') "
        f"AND NOT startsWith(name, '{PREFIX}') AND NOT startsWith(name, '{OF_HINTS}') ORDER BY position",
        {},
    )


def entrance(declared: Sequence[tuple[str, str]], /, place: Place = ONE_SERVER) -> list[str]:
    """A table that keeps nothing, and a view that passes its rows on to the events unless a later run has begun since."""
    listed = ", ".join(f"`{name}` {kind}" for name, kind in declared)
    of, local = (f"`{place.database}`.", "_local") if place.cluster else ("", "")
    view = (
        f"CREATE MATERIALIZED VIEW {place.named('moving_to_events')} TO {of}events{local} "
        f"AS SELECT * EXCEPT (fence) FROM {of}moving{local} "
        f"WHERE NOT throwIf(fence < (SELECT max(fence) FROM {of}moving_runs), 'a later run of migrate-data has begun')"
    )
    statements = [
        *_no_entrance(place),
        f"CREATE TABLE {place.kept('moving')} (fence UInt64, {listed}) ENGINE = Null",
        view,
    ]
    if place.cluster:
        whole = f"CREATE TABLE {place.named('moving')} AS {of}moving_local ENGINE = "
        statements.append(place.filled(f"{whole}Distributed('$cluster', '$name', 'moving_local', $key)"))
    return statements


def begin(server: str, fence: int, step: str, /, place: Place = ONE_SERVER) -> Query:
    new = " SETTINGS keeper_map_strict_mode = 1" if place.cluster else ""  # never in place of another run's
    return Query(
        f"INSERT INTO moving_runs (server, fence, step){new} VALUES ({{server:String}}, {{fence:UInt64}}, {{step:String}})",
        {"server": server, "fence": fence, "step": step},
    )


def known(fence: int, place: Place, /) -> Query:
    """One row: how many of a cluster's nodes know of a run."""
    return Query(
        f"SELECT count() FROM (SELECT _shard_num FROM {place.everywhere(f'`{place.database}`.`moving_runs`')} "
        "GROUP BY _shard_num HAVING max(fence) >= {fence:UInt64})",
        {"fence": fence},
    )


def running(fence: int, /, place: Place = ONE_SERVER) -> Query:
    """One row: how many inserts of earlier runs have not ended."""
    return Query(
        f"SELECT count() FROM {place.everywhere('system.processes')} "
        "WHERE startsWith(Settings['log_comment'], {mark:String}) "
        "AND toUInt64OrZero(splitByChar('/', Settings['log_comment'])[-1]) < {fence:UInt64}",
        {"mark": f"{MARK}/", "fence": fence},
    )


def days() -> Query:
    """Rows (day of receipt, events), oldest first."""
    return Query(f"SELECT {_DAY} AS day, count() FROM events GROUP BY day ORDER BY day SETTINGS {_PROJECTIONS}", {})


def summary(columns: Sequence[str], after: int, upto: int, /) -> Query:
    """Rows (project, mode, events, sum of hashes of their ids, sum of hashes of all they hold): alike whatever their order."""
    texts = ", ".join(f"ifNull(toString(`{name}`), '\\\\N')" for name in columns)
    return Query(
        "SELECT project, toString(mode) AS of_mode, count(), sum(cityHash64(position, tail)), "
        f"sum(cityHash64({texts})) FROM events WHERE {_WITHIN} GROUP BY project, of_mode ORDER BY project, of_mode "
        f"SETTINGS {_PROJECTIONS}",
        {"after": after, "upto": upto},
    )


def last(after: int, upto: int, /) -> Query:
    """One row: the last position between two; `after` if there is none."""
    return Query(
        f"SELECT max(greatest(position, {{after:UInt64}})) FROM events WHERE {_WITHIN}", {"after": after, "upto": upto}
    )


def lot(after: int, upto: int, most: int, most_bytes: int, /) -> Query:
    """One row (last position, events): the next ones, at least one if there is any, up to a number and a size."""
    return Query(
        "SELECT max(position), count() FROM (SELECT position, "
        "sum(size) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - size AS before FROM (SELECT position, "
        f"byteSize(properties, context, traits, tags, labels, numbers) AS size FROM events WHERE {_WITHIN} "
        f"ORDER BY position LIMIT {{most:UInt64}})) WHERE before < {{bytes:UInt64}} SETTINGS {_PROJECTIONS}",
        {"after": after, "upto": upto, "most": most, "bytes": most_bytes},
    )


def rows(columns: Sequence[str], fence: int, after: int, upto: int, /) -> Query:
    """The rows of a lot, in the columns of the table `moving`."""
    listed = ", ".join(f"`{name}`" for name in columns)
    return Query(
        f"SELECT {{fence:UInt64}}, {listed} FROM events WHERE {_WITHIN} ORDER BY position SETTINGS {_PROJECTIONS}",
        {"fence": fence, "after": after, "upto": upto},
    )


def remove(after: int, upto: int, /, place: Place = ONE_SERVER) -> Query:
    return Query(
        f"ALTER TABLE {place.kept('events')} DELETE WHERE {_WITHIN} SETTINGS mutations_sync = 2",
        {"after": after, "upto": upto},
    )
