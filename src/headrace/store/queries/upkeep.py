"""SQL for the worker and for checks, over all tenants at once. Its results must never reach a response. Pure."""

from collections.abc import Sequence

from headrace.model.event import STEP, Tenant, first_position
from headrace.model.filters import Filters
from headrace.store.queries.conditions import Query, moment_of, where_of
from headrace.store.queries.place import ONE_SERVER, Place


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


def held_of(partition: int, after: int, upto: int, /) -> Query:
    """One row: the number of events of one of the log's partitions between two positions, of every tenant."""
    return Query(
        "SELECT count() FROM events WHERE position > {after:UInt64} AND position <= {upto:UInt64} "
        "AND bitAnd(position, {bits:UInt64}) = {partition:UInt64}",
        {"after": after, "upto": upto, "bits": STEP - 1, "partition": partition},
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


def owned(tenant: Tenant, ids: Sequence[str], after: int, upto: int, limit: int, /) -> Query:
    """As `keyed_at`, of the tenant's events of some owners between two positions, oldest first: never for a reply."""
    where, params = where_of(tenant, Filters(people=ids))
    return Query(
        f"{KEYED}{where} AND position > {{after:UInt64}} AND position <= {{upto:UInt64}} "
        "ORDER BY position LIMIT {limit:UInt64}",
        params | {"after": after, "upto": upto, "limit": limit},
    )


def marked(tenant: Tenant, space: str, marks: Sequence[str], chars: int, /) -> Query:
    """Rows (id) of the tenant's owners of events whose mark is among some: see `model.erasure.mark_of`. Never for a reply."""
    where, params = where_of(tenant, Filters())
    mark = "substring(lower(hex(SHA256(concat({space:String}, owner)))), 1, {chars:UInt8})"
    owners = "if(user_id != '', user_id, anonymous_id)"
    return Query(
        f"SELECT owner FROM (SELECT DISTINCT {owners} AS owner FROM events WHERE {where}) "
        f"WHERE owner != '' AND {mark} IN {{marks:Array(String)}}",
        params | {"space": space, "marks": list(marks), "chars": chars},
    )


def stored_at(positions: Sequence[int], /) -> Query:
    """Rows (position, tail) of the events at some positions, of every tenant."""
    return Query(
        "SELECT position, tail FROM events WHERE position IN {positions:Array(UInt64)}", {"positions": list(positions)}
    )


_OLD = f"(timestamp < {moment_of('before')} OR position < {{received:UInt64}})"


def old(tenant: Tenant, before_ms: int, after: int, upto: int, /) -> Query:
    """One row: how many of a tenant's events between two positions are older than a moment, by their own time or by receipt."""
    where, params = _old(tenant, before_ms, upto)
    return Query(f"SELECT count() FROM events WHERE {where} AND position > {{after:UInt64}}", params | {"after": after})


def prune(tenant: Tenant, before_ms: int, upto: int, /, place: Place = ONE_SERVER) -> Query:
    """The mutation that removes them, up to a position."""
    where, params = _old(tenant, before_ms, upto)
    return Query(f"ALTER TABLE {place.kept('events')} DELETE WHERE {where} SETTINGS mutations_sync = 2", params)


def _old(tenant: Tenant, before_ms: int, upto: int) -> tuple[str, dict[str, object]]:
    where, params = where_of(tenant, Filters())
    given = {"before": before_ms, "received": first_position(max(0, before_ms)), "upto": upto}
    return f"{where} AND {_OLD} AND position <= {{upto:UInt64}}", params | given


# A mutation that rewrites parts, and their projections with them. The lightweight DELETE leaves rows in projections that have an
# order of their own (https://github.com/ClickHouse/ClickHouse/issues/111791), and keeps the bytes until a merge.
ERASE = "ALTER TABLE events DELETE WHERE (position, tail) IN (SELECT position, tail FROM erasing) SETTINGS mutations_sync = 2"


def erase(place: Place, positions: Sequence[int], tails: Sequence[int], /) -> Query:
    """The same on a cluster, for some events: replicas refuse a mutation that asks another table.

    Source: https://clickhouse.com/docs/operations/settings/settings#allow_nondeterministic_mutations
    """
    return Query(
        f"ALTER TABLE {place.kept('events')} DELETE WHERE position IN {{positions:Array(UInt64)}} "
        "AND (position, tail) IN arrayZip({positions:Array(UInt64)}, {tails:Array(UInt64)}) SETTINGS mutations_sync = 2",
        {"positions": list(positions), "tails": list(tails)},
    )


def forget_erased(place: Place, /) -> str:
    return f"TRUNCATE TABLE {place.kept('erasing')}"


def sound_parts(place: Place = ONE_SERVER) -> Query:
    """Rows (part, 1 if its files are intact, what is wrong): on a cluster, those of the node that is asked.

    Source: https://clickhouse.com/docs/sql-reference/statements/check-table
    """
    table = f"`{place.database}`.`events_local`" if place.cluster else "events"
    return Query(f"CHECK TABLE {table} SETTINGS check_query_single_value_result = 0", {})
