"""SQL for summaries of events by user and by name. Pure."""

from collections.abc import Sequence

from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.store.queries.conditions import OWNED, Query, where_of

_SEEN = (
    "count() AS hits, toUnixTimestamp64Milli(min(timestamp)) AS first, toUnixTimestamp64Milli(max(timestamp)) AS last"
)


def by_owner(tenant: Tenant, ids: Sequence[str], /) -> Query:
    """Rows (id, count, first millisecond, last millisecond) of the ids that have events."""
    where, params = where_of(tenant, Filters())
    parts = " UNION ALL ".join(
        f"SELECT {column} AS owner, {_SEEN} FROM events WHERE {where} AND {owned} GROUP BY {column}"
        for column, owned in zip(("user_id", "anonymous_id"), OWNED, strict=True)
    )
    return Query(
        f"SELECT owner, sum(hits), min(first), max(last) FROM ({parts}) GROUP BY owner", params | {"people": list(ids)}
    )


def by_name(tenant: Tenant, ids: Sequence[str], limit: int, /) -> Query:
    """Rows (name, count, first millisecond, last millisecond) of the ids' events together, the most frequent first."""
    where, params = where_of(tenant, Filters())
    parts = " UNION ALL ".join(
        f"SELECT name, {_SEEN} FROM events WHERE {where} AND {owned} GROUP BY name" for owned in OWNED
    )
    return Query(
        f"SELECT name, sum(hits) AS found, min(first), max(last) FROM ({parts}) GROUP BY name ORDER BY found DESC, name "
        "LIMIT {limit:UInt64}",
        params | {"people": list(ids), "limit": limit},
    )
