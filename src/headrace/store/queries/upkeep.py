"""SQL for the worker and for checks, over all tenants at once. Its results must never reach a response. Pure."""

from collections.abc import Sequence

from headrace.store.queries.conditions import Query


def present(after: int, upto: int, /) -> Query:
    """Rows (position, tail) between two positions, of every tenant."""
    return Query(
        "SELECT position, tail FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64}",
        {"after": after, "upto": upto},
    )


def last(after: int, /) -> Query:
    """One row: the greatest position after another, of every tenant, or 0."""
    return Query("SELECT max(position) FROM events WHERE position > {after:UInt64}", {"after": after})


def held(after: int, upto: int, /) -> Query:
    """One row: the number of events between two positions, of every tenant."""
    return Query(
        "SELECT count() FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64}",
        {"after": after, "upto": upto},
    )


# The fields that dedup keys are made of: see `store.keyed`.
KEYED = (
    "SELECT position, tail, project, mode, source, name, user_id, anonymous_id, request_id, message_id, "
    "if(source = 'cloudevents', context, ''), "
    "mapFilter((name, _) -> source = 'mixpanel' AND name IN ('distinct_id', 'time'), labels), "
    "mapFilter((name, _) -> source = 'mixpanel' AND name IN ('distinct_id', 'time'), numbers) FROM events WHERE "
)


def keyed(after: int, upto: int, limit: int, /) -> Query:
    """The fields that dedup keys are made of, for events between two positions, newest first, of every tenant."""
    return Query(
        f"{KEYED} position > {{after:UInt64}} AND position <= {{upto:UInt64}} AND message_id != '' "
        "ORDER BY position DESC LIMIT {limit:UInt64}",
        {"after": after, "upto": upto, "limit": limit},
    )


def keyed_at(positions: Sequence[int], /) -> Query:
    """The fields that dedup keys are made of, for the events at some positions, of every tenant."""
    return Query(f"{KEYED} position IN {{positions:Array(UInt64)}}", {"positions": list(positions)})


def stored_at(positions: Sequence[int], /) -> Query:
    """Rows (position, tail) of the events at some positions, of every tenant."""
    return Query(
        "SELECT position, tail FROM events WHERE position IN {positions:Array(UInt64)}", {"positions": list(positions)}
    )


# A mutation that rewrites parts, and their projections with them. The lightweight DELETE leaves rows in projections that have an
# order of their own (https://github.com/ClickHouse/ClickHouse/issues/111791), and keeps the bytes until a merge.
ERASE = "ALTER TABLE events DELETE WHERE (position, tail) IN (SELECT position, tail FROM erasing) SETTINGS mutations_sync = 2"
FORGET_ERASED = "TRUNCATE TABLE erasing"


def sound_parts() -> Query:
    """Rows (part, 1 if its files are intact, what is wrong).

    Source: https://clickhouse.com/docs/sql-reference/statements/check-table
    """
    return Query("CHECK TABLE events SETTINGS check_query_single_value_result = 0", {})
