"""Rows that are locked until the transaction ends, so that two who read, compute and write do so one after the other.

Every transaction locks in this order, and rows of one kind in the order of their keys; else two could wait for each other:
project, tenant, its reaction progress, participants, rules, offsets, replay job, webhook, deliveries, lease. On SQLite a
transaction that writes is alone, and locks no row.
"""

import sqlalchemy as sa

from headrace.control.database import insert
from headrace.control.tables import projects, tenants
from headrace.model.event import Tenant


def lock_project(connection: sa.Connection, project: str, now_ms: int, /) -> None:
    """Be the only one to change what belongs to the project, until the transaction ends. A new project is made."""
    connection.execute(insert(connection, projects).values(name=project, created_at_ms=now_ms).on_conflict_do_nothing())
    # key_share: a new row that refers to the project need not wait for this.
    connection.execute(sa.select(projects.c.name).where(projects.c.name == project).with_for_update(key_share=True))


def lock_tenant(connection: sa.Connection, tenant: Tenant, /) -> None:
    """Be the only one to count and then add to what a tenant has, until the transaction ends.

    Its reactions need no such lock: saving them checks a version (reaction_states.py).
    """
    if connection.dialect.name == "sqlite":
        return
    own = sa.select(tenants.c.project).where(tenants.c.project == tenant.project, tenants.c.mode == tenant.mode)
    if connection.scalar(own.with_for_update()) is None:
        values = {"project": tenant.project, "mode": tenant.mode}
        connection.execute(insert(connection, tenants).values(values).on_conflict_do_nothing())
        connection.execute(own.with_for_update())
