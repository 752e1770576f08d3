"""The balance of each participant: the sum of its ledger entries, changed in the transaction that adds them."""

from collections.abc import Mapping

import sqlalchemy as sa

from headrace.control.database import insert
from headrace.control.tables.ledger import balances
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
