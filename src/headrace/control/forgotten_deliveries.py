"""Removes deliveries that tell of an erased person: by the event on the list of erased ones, or by what their keys begin with."""

import re
from collections.abc import Sequence

import sqlalchemy as sa

from headrace.control.erasing import listed_among
from headrace.control.people_states import slices
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.model.event import Tenant, position_of, tail_of

_EVENT = re.compile(r"evt_([0-9a-f]{32})", re.ASCII)  # a key begins with the event that it is about
_AFTER_ANY = "{"  # greater than every character that a key may hold


def drop_deliveries(connection: sa.Connection, tenant: Tenant, after: int, limit: int, /) -> tuple[int, int | None]:
    """Remove those of erased events among a tenant's next deliveries after a number. Returns how many, and where to continue."""
    asked = (
        sa.select(deliveries.c.no, deliveries.c.key)
        .where(deliveries.c.webhook_no.in_(_receivers(tenant)), deliveries.c.no > after)
        .order_by(deliveries.c.no)
        .limit(limit)
    )
    rows = connection.execute(asked).all()
    event_of = {row.no: match[1] for row in rows if (match := _EVENT.match(row.key))}
    gone = erased_among(connection, sorted(set(event_of.values())))
    numbers = [number for number, event_id in event_of.items() if event_id in gone]
    for some in slices(numbers):
        connection.execute(sa.delete(deliveries).where(deliveries.c.no.in_(some)))
    return len(numbers), rows[-1].no if len(rows) == limit else None


def drop_deliveries_named(connection: sa.Connection, tenant: Tenant, names: Sequence[str], /) -> int:
    """Remove the tenant's deliveries whose keys begin with a name; how many."""
    if not names:
        return 0
    count = 0
    for number in connection.scalars(_receivers(tenant)).all():
        for name in names:
            within = (deliveries.c.webhook_no == number, deliveries.c.key >= name, deliveries.c.key < name + _AFTER_ANY)
            count += connection.execute(sa.delete(deliveries).where(*within)).rowcount
    return count


def erased_among(connection: sa.Connection, event_ids: Sequence[str], /) -> set[str]:
    """Those of some events, 32 hex digits each, that are on the list of erased ones."""
    places = {(position_of(each), tail_of(each)): each for each in event_ids}
    fitting = [place for place in places if place[0] < 1 << 63]  # what the database can hold
    return {places[place] for place in listed_among(connection, fitting)}


def _receivers(tenant: Tenant) -> sa.Select[int]:
    return sa.select(webhooks.c.no).where(webhooks.c.project == tenant.project, webhooks.c.mode == tenant.mode)
