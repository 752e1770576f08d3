"""SQL for compressing old parts harder. Pure."""

from headrace.store.queries.conditions import Query
from headrace.store.queries.place import Place

# Of the levels, the one that takes a byte and a quarter less than 10 does, for half as much time again: docs/decisions/0191.
CODEC = "ZSTD(12)"
_RECEIVED = "toDateTime(intDiv(bitShiftRight(position, 20), 1000))"


def clause(after_s: int, /) -> str:
    """The table's TTL, as the engine writes it; "" for 0, which is none."""
    return f"{_RECEIVED} + toIntervalSecond({after_s}) RECOMPRESS CODEC({CODEC})" if after_s else ""


def clause_of(place: Place, /) -> Query:
    """One row: the TTL that the table has, or ""."""
    return Query(
        "SELECT extract(create_table_query, ' TTL (.+ RECOMPRESS CODEC\\\\([^ ]+\\\\))') FROM system.tables "
        f"WHERE {place.in_table('events')}",
        {},
    )


def modify(wanted: str, place: Place, /) -> Query:
    """Does not wait until older parts know their age."""
    change = f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"
    return Query(f"ALTER TABLE {place.kept('events')} {change} SETTINGS alter_sync = 0", {})
