"""The keys of one project and mode, for whoever administers them over HTTP. Never sees a secret."""

from collections.abc import Mapping

import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.key_rows import key_of, of_tenant
from headrace.control.tables.keys import keys
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.keys import Key, masked


class ControlTenantKeys:
    """Fits the TenantKeys port. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def page(self, tenant: Tenant, after: tuple[int, str], limit: int, /) -> list[Key]:
        """See the TenantKeys port."""
        place = sa.tuple_(keys.c.created_at_ms, keys.c.id)
        asked = sa.select(keys).where(of_tenant(tenant), place > sa.tuple_(*map(sa.literal, after)))
        with reading(self._engine) as connection:
            return [
                key_of(row) for row in connection.execute(asked.order_by(keys.c.created_at_ms, keys.c.id).limit(limit))
            ]

    def get(self, tenant: Tenant, key_id: str, /) -> Key:
        """See the TenantKeys port."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(keys).where(of_tenant(tenant), keys.c.id == key_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no key {masked(key_id[:80])!r} in this project and mode.")
        return key_of(row)

    def mark_used(self, used: Mapping[str, int], /) -> None:
        """See the TenantKeys port."""
        latest = sa.update(keys).where(
            keys.c.id == sa.bindparam("key_id"),
            sa.or_(keys.c.last_used_at_ms.is_(None), keys.c.last_used_at_ms < sa.bindparam("at_ms")),
        )
        rows = [{"key_id": key_id, "at_ms": at_ms} for key_id, at_ms in sorted(used.items())]
        values: dict[str, sa.BindParameter[int]] = {"last_used_at_ms": sa.bindparam("at_ms")}
        transact(self._engine, lambda connection: connection.execute(latest.values(values), rows))
