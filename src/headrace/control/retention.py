"""How long each project keeps its events, as control keeps it. Removes no event itself."""

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.tables.erasures import retention
from headrace.model.event import Tenant
from headrace.model.retention import Retention


class ControlRetentions:
    """Fits the Retentions port. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self, tenant: Tenant, /) -> Retention:
        """See the Retentions port."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(retention).where(*_of(tenant))).one_or_none()
        return Retention(tenant, None) if row is None else _retention(row)

    def put(self, tenant: Tenant, keep_ms: int | None, now_ms: int, /) -> Retention:
        """See the Retentions port."""

        def keep(connection: sa.Connection) -> None:
            if keep_ms is None:
                connection.execute(sa.delete(retention).where(*_of(tenant)))
                return
            values = {"project": tenant.project, "mode": tenant.mode, "keep_ms": keep_ms, "set_at_ms": now_ms}
            new = insert(connection, retention).values(values)
            changed = {name: new.excluded[name] for name in ("keep_ms", "set_at_ms")}
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["project", "mode"], set_=changed, where=retention.c.keep_ms != keep_ms
                )
            )

        transact(self._engine, keep)
        return self.get(tenant)

    def all(self) -> list[Retention]:
        """See the Retentions port."""
        with reading(self._engine) as connection:
            asked = sa.select(retention).order_by(retention.c.project, retention.c.mode)
            return [_retention(row) for row in connection.execute(asked)]

    def applied(self, tenant: Tenant, events: int, now_ms: int, /) -> None:
        """See the Retentions port."""
        more = {"pruned": retention.c.pruned + events, "pruned_at_ms": now_ms}
        note = sa.update(retention).where(*_of(tenant)).values(more)
        transact(self._engine, lambda connection: connection.execute(note))


def _of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return retention.c.project == tenant.project, retention.c.mode == tenant.mode


def _retention(row: sa.Row[tuple[object, ...]]) -> Retention:
    return Retention(Tenant(row.project, row.mode), row.keep_ms, row.set_at_ms, row.pruned_at_ms, row.pruned)
