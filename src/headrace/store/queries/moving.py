"""Statements that move every event from one store into another, as they are, and compare the two. Pure.

Rows travel as RowBinary, which is the same whatever a column's own way of keeping its values: see
https://clickhouse.com/docs/interfaces/formats/RowBinary.
"""

from collections.abc import Sequence

from headrace.store.queries.conditions import NO_PROJECTIONS, Query
from headrace.store.queries.own_columns import OF_HINTS, PREFIX

MARK = "headrace-move"
_DAY = "toDate(fromUnixTimestamp64Milli(toInt64(bitShiftRight(position, 20)), 'UTC'))"
_PROJECTIONS = ", ".join(f"{name} = {value}" for name, value in NO_PROJECTIONS.items())
_WITHIN = "position > {after:UInt64} AND position <= {upto:UInt64}"
RUNS = (
    "CREATE TABLE IF NOT EXISTS moving_runs (server String, fence UInt64, step String, at DateTime DEFAULT now()) "
    "ENGINE = MergeTree ORDER BY fence SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
ARE_MOVING = Query("EXISTS TABLE moving_runs", {})
READ_RUNS = Query("SELECT server, fence, step FROM moving_runs ORDER BY fence", {})
# What keeps a copy of a day from being whole: nothing else may be left of a run, so the table with the runs goes last.
END = [f"DROP TABLE IF EXISTS {table}" for table in ("moving_to_events", "moving", "moving_runs")]


def columns() -> Query:
    """Rows (name, type) of what an event is made of: not what is computed from it, nor columns that tags have for themselves."""
    return Query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'events' "
        "AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') "
        f"AND NOT startsWith(name, '{PREFIX}') AND NOT startsWith(name, '{OF_HINTS}') ORDER BY position",
        {},
    )


def entrance(declared: Sequence[tuple[str, str]], /) -> list[str]:
    """A table that keeps nothing, and a view that passes its rows on to the events unless a later run has begun since."""
    listed = ", ".join(f"`{name}` {kind}" for name, kind in declared)
    view = (
        "CREATE MATERIALIZED VIEW moving_to_events TO events AS SELECT * EXCEPT (fence) FROM moving "
        "WHERE NOT throwIf(fence < (SELECT max(fence) FROM moving_runs), 'a later run of migrate-data has begun')"
    )
    return [
        "DROP TABLE IF EXISTS moving_to_events",
        "DROP TABLE IF EXISTS moving",
        f"CREATE TABLE moving (fence UInt64, {listed}) ENGINE = Null",
        view,
    ]


def begin(server: str, fence: int, step: str, /) -> Query:
    return Query(
        "INSERT INTO moving_runs (server, fence, step) VALUES ({server:String}, {fence:UInt64}, {step:String})",
        {"server": server, "fence": fence, "step": step},
    )


def running(fence: int, /) -> Query:
    """One row: how many inserts of earlier runs have not ended."""
    return Query(
        "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], {mark:String}) "
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


def remove(after: int, upto: int, /) -> Query:
    return Query(
        f"ALTER TABLE events DELETE WHERE {_WITHIN} SETTINGS mutations_sync = 2", {"after": after, "upto": upto}
    )
