"""Writes an audited deed's row within a transaction of control. Knows no engine."""

import sqlalchemy as sa

from headrace.control.tables.audit import audit
from headrace.model.audit import Deed, Outcome


def record(connection: sa.Connection, deed: Deed, outcome: Outcome, /) -> int:
    """Insert the deed's row; its number."""
    actor = deed.actor
    row = {
        "project": deed.project,
        "mode": deed.mode,
        "at_ms": deed.at_ms,
        "by_kind": actor.kind,
        "by_key": actor.key_id,
        "by_prefix": actor.prefix,
        "by_name": actor.name,
        "address": actor.address,
        "action": deed.action,
        "target": deed.target,
        "person": deed.person,
        "detail": deed.detail,
        "outcome": outcome,
    }
    return connection.scalars(sa.insert(audit).values(row).returning(audit.c.no)).one()
