"""Questions of exports and imports as SQL: where the events are, their columns, and which of them are there already. Pure."""

from collections.abc import Sequence

from headrace.model.event import Tenant, position_of, tail_of
from headrace.model.filters import Filters
from headrace.store.queries.conditions import NO_PROJECTIONS, NONE_HOT, PAIRS, Hot, Query, pairs, where_of
from headrace.store.queries.events import OUTPUT
from headrace.store.queries.upkeep import KEYED

# A UUIDv7, as `model.event.event_id` makes it of a position and a tail.
_HIGH = (
    "bitOr(bitShiftLeft(bitShiftRight(position, 20), 16), bitOr(28672, bitShiftRight(bitAnd(position, 1048575), 8)))"
)
_LOW = "bitOr(9223372036854775808, bitOr(bitShiftLeft(bitAnd(position, 255), 54), tail))"
_ID = f"concat('evt_', leftPad(lower(hex({_HIGH})), 16, '0'), leftPad(lower(hex({_LOW})), 16, '0'))"
_MAY_BE_ABSENT = ("user_id", "anonymous_id", "session_id", "group_id", "previous_id")
_ALSO = ("environment", "service", "host", "request_id", "message_id")


def _absent_as_null(column: str) -> str:
    return f"nullIf(toString({column}), '') AS {column}"


# In the order of `dialects.native_exports.COLUMNS`.
_COLUMNS = ", ".join(
    (
        f"{_ID} AS id",
        *(f"toString({column}) AS {column}" for column in ("source", "name", "type")),
        "events.timestamp AS timestamp",
        "fromUnixTimestamp64Milli(toInt64(bitShiftRight(position, 20)), 'UTC') AS received_at",
        *map(_absent_as_null, _MAY_BE_ABSENT),
        "value",
        *map(_absent_as_null, ("properties", "context", "traits")),
        "CAST(tags AS Map(String, String)) AS tags",
        *map(_absent_as_null, _ALSO),
        "sent_at",
    )
)
_ARROW = {"output_format_arrow_string_as_string": 1, "output_format_arrow_low_cardinality_as_dictionary": 0}


def left(tenant: Tenant, filters: Filters, after: int, upto: int, /, hot: Hot = NONE_HOT) -> Query:
    """One row: how many events match between two positions."""
    where, params = _between(tenant, filters, after, upto, hot)
    return Query(f"SELECT count() FROM events WHERE {where}", params, NO_PROJECTIONS)


def places(tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /, hot: Hot = NONE_HOT) -> Query:
    """Rows (position, tail) of the first matching events between two positions, in the order of the log."""
    where, params = _between(tenant, filters, after, upto, hot)
    return Query(
        f"SELECT position, tail FROM events WHERE {where} ORDER BY position LIMIT {{limit:UInt64}}",
        params | {"limit": limit},
        NO_PROJECTIONS,
    )


def whole(tenant: Tenant, filters: Filters, after: int, upto: int, /, hot: Hot = NONE_HOT) -> Query:
    """Whole events between two positions, in the order of the log."""
    where, params = _between(tenant, filters, after, upto, hot)
    return Query(f"SELECT {OUTPUT} FROM events WHERE {where} ORDER BY position", params, NO_PROJECTIONS)


def columns(tenant: Tenant, filters: Filters, after: int, upto: int, /, hot: Hot = NONE_HOT) -> Query:
    """As `whole`, in the columns of an export, for the format ArrowStream."""
    where, params = _between(tenant, filters, after, upto, hot)
    return Query(
        f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY events.position", params, {**NO_PROJECTIONS, **_ARROW}
    )


def _between(tenant: Tenant, filters: Filters, after: int, upto: int, hot: Hot) -> tuple[str, dict[str, object]]:
    where, params = where_of(tenant, filters, hot)
    return (
        f"{where} AND events.position > {{after:UInt64}} AND events.position <= {{until:UInt64}}",
        params | {"after": after, "until": upto},
    )


def twins(
    tenant: Tenant, moments: Sequence[tuple[str, int]], ids: Sequence[str], message_ids: Sequence[str], /
) -> Query:
    """Rows as `upkeep.keyed` has them, of the events at these (name, millisecond) with one of the ids or message ids.

    The moments find the rows by the table's key; the ids alone would be looked for in all of it.
    """
    where, params = where_of(tenant, Filters())
    return Query(
        f"{KEYED}{where} AND (events.name, events.timestamp) IN {PAIRS} AND (message_id IN "
        "{message_ids:Array(String)} OR (position, tail) IN arrayZip({positions:Array(UInt64)}, {tails:Array(UInt64)}))",
        params
        | pairs(moments)
        | {
            "message_ids": list(message_ids),
            "positions": [position_of(each) for each in ids],
            "tails": [tail_of(each) for each in ids],
        },
        NO_PROJECTIONS,
    )
