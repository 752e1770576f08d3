"""SQL that copies rows of every tenant, by position, for backups. Its results must never reach a response. Pure."""

from headrace.store.queries.conditions import Query
from headrace.store.queries.events import INPUT_COLUMNS

MINUTE_MS = 60_000
_MILLISECONDS = {"timestamp_ms": "timestamp", "sent_at_ms": "sent_at"}
_COLUMNS = ", ".join(
    f"toUnixTimestamp64Milli({_MILLISECONDS[column]}) AS {column}" if column in _MILLISECONDS else column
    for column in INPUT_COLUMNS
)
# Rows are removed but never changed, so whoever has the same positions and tails has the same rows. A sum has no order.
_FIGURES = "count(), sum(cityHash64(position, tail))"
_BETWEEN = "position > {after:UInt64} AND position <= {upto:UInt64}"


def minutes(upto: int, /) -> Query:
    """Rows (minute since 1970, events, sum) of each minute of receipt with events up to a position, in order."""
    return Query(
        f"SELECT intDiv(bitShiftRight(position, 20), {MINUTE_MS}) AS minute, {_FIGURES} FROM events "
        "WHERE position <= {upto:UInt64} GROUP BY minute ORDER BY minute",
        {"upto": upto},
    )


def figures(after: int, upto: int, /) -> Query:
    """One row (events, sum) of the events between two positions."""
    return Query(f"SELECT {_FIGURES} FROM events WHERE {_BETWEEN}", {"after": after, "upto": upto})


def rows(after: int, upto: int, /) -> Query:
    """The events between two positions, in the columns in which they were inserted, in no order."""
    return Query(
        f"SELECT {_COLUMNS} FROM events WHERE {_BETWEEN} SETTINGS output_format_json_quote_64bit_integers = 0, "
        "output_format_json_escape_forward_slashes = 0",
        {"after": after, "upto": upto},
    )
