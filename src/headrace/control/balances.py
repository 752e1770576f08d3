"""The balance of each participant: the sum of the ledger entries of its ids, changed in the transaction that adds them."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from headrace.control.database import insert
from headrace.control.participants import in_slices
from headrace.control.tables.ledger import balances, points
from headrace.model.event import Tenant


def change_balances(connection: sa.Connection, tenant: Tenant, changes: Mapping[int, int], /) -> None:
    """Add to balances, by participant number. Call it in the transaction of the ledger entries."""
    rows = [
        {"participant_no": number, "project": tenant.project, "mode": tenant.mode, "balance": change}
        for number, change in sorted(changes.items())
        if change
    ]
    if not rows:
        return
    new = insert(connection, balances)
    more = {"balance": balances.c.balance + new.excluded.balance}
    connection.execute(new.on_conflict_do_update(index_elements=["participant_no"], set_=more), rows)


def set_balance(connection: sa.Connection, tenant: Tenant, number: int, ids: Sequence[int], /) -> None:
    """Have the balance of a participant be the sum of the entries of some ids. Call it once those are written."""
    total = 0
    for some in in_slices(list(ids)):
        asked = sa.select(sa.func.sum(points.c.points)).where(points.c.participant_no.in_(some))
        total += int(connection.scalar(asked) or 0)
    row = {"participant_no": number, "project": tenant.project, "mode": tenant.mode, "balance": total}
    new = insert(connection, balances).values(row)
    connection.execute(
        new.on_conflict_do_update(index_elements=["participant_no"], set_={"balance": new.excluded.balance})
    )
