"""What the worker asks, of every tenant at once: never for a reply. Pure."""

from headrace.store.queries.conditions import Query


def present(after: int, upto: int, /) -> Query:
    """Rows (position, tail) between two positions, of every tenant: for the worker's recovery, never for a reply."""
    return Query(
        "SELECT position, tail FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64}",
        {"after": after, "upto": upto},
    )


def last(after: int, /) -> Query:
    """One row: the greatest position past another, of every tenant, or 0: for the worker, never for a reply."""
    return Query("SELECT max(position) FROM events WHERE position > {after:UInt64}", {"after": after})


def held(after: int, upto: int, /) -> Query:
    """One row: how many events lie between two positions, of every tenant: for the worker, never for a reply."""
    return Query(
        "SELECT count() FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64}",
        {"after": after, "upto": upto},
    )


def keyed(after: int, upto: int, limit: int, /) -> Query:
    """What the keys of events between two positions are made of, the youngest first, of every tenant: never for a reply."""
    return Query(
        "SELECT position, tail, project, mode, source, name, user_id, anonymous_id, request_id, message_id, "
        "if(source = 'cloudevents', context, ''), "
        "mapFilter((name, _) -> source = 'mixpanel' AND name IN ('distinct_id', 'time'), labels), "
        "mapFilter((name, _) -> source = 'mixpanel' AND name IN ('distinct_id', 'time'), numbers) "
        "FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64} AND message_id != '' "
        "ORDER BY position DESC LIMIT {limit:UInt64}",
        {"after": after, "upto": upto, "limit": limit},
    )


def sound_parts() -> Query:
    """Rows (part, 1 where its files are what they were when they were written, what is wrong): for a check, never for a reply.

    Source: https://clickhouse.com/docs/sql-reference/statements/check-table
    """
    return Query("CHECK TABLE events SETTINGS check_query_single_value_result = 0", {})
