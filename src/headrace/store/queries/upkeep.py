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


def message_ids(after: int, upto: int, /) -> Query:
    """The events between two positions that carry a message id, of every tenant: to know the ids again, never for a reply."""
    return Query(
        "SELECT project, mode, source, message_id, position, tail FROM events "
        "WHERE position > {after:UInt64} AND position <= {upto:UInt64} AND message_id != '' "
        "ORDER BY position DESC",
        {"after": after, "upto": upto},
    )
