"""Row locks until the end of the transaction, so that two transactions that read, compute and write run one after the other.

To avoid deadlocks, every transaction locks in this order, and rows of one kind in the order of their keys: project, tenant, its
reaction progress, participants, rules, offsets, replay job, webhook, deliveries, lease, API key. On SQLite a writing transaction
is alone and locks no rows.
"""

import sqlalchemy as sa

from headrace.control.database import insert
from headrace.control.tables.projects import projects, tenants
from headrace.model.event import Tenant


def lock_project(connection: sa.Connection, project: str, now_ms: int, /) -> None:
    """Lock the project, so that no other transaction changes what belongs to it. Creates a new project."""
    connection.execute(insert(connection, projects).values(name=project, created_at_ms=now_ms).on_conflict_do_nothing())
    # key_share: inserting a row that refers to the project need not wait for this.
    connection.execute(sa.select(projects.c.name).where(projects.c.name == project).with_for_update(key_share=True))


def lock_tenant(connection: sa.Connection, tenant: Tenant, /) -> None:
    """Lock the tenant, so that no other transaction counts and then adds to what the tenant has.

    Its reactions do not need this lock: saving them checks a version (reaction_states.py).
    """
    if connection.dialect.name == "sqlite":
        return
    own = sa.select(tenants.c.project).where(tenants.c.project == tenant.project, tenants.c.mode == tenant.mode)
    if connection.scalar(own.with_for_update()) is None:
        values = {"project": tenant.project, "mode": tenant.mode}
        connection.execute(insert(connection, tenants).values(values).on_conflict_do_nothing())
        connection.execute(own.with_for_update())
