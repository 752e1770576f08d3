"""The keys of one project and mode, for whoever administers them over HTTP. Never sees a secret."""

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.key_rows import key_of, of_tenant
from headrace.control.tables.keys import key_uses, keys
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.keys import Key, KeyUse, masked


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

    def count_uses(self, uses: Sequence[KeyUse], before_ms: int, /) -> None:
        """See the TenantKeys port."""
        rows = [msgspec.structs.asdict(each) for each in sorted(uses, key=msgspec.structs.astuple)]

        def add(connection: sa.Connection) -> None:
            if rows:
                new = insert(connection, key_uses)
                more = {"requests": key_uses.c.requests + new.excluded.requests, "last_ms": new.excluded.last_ms}
                alike = [column.name for column in key_uses.primary_key.columns]
                connection.execute(new.on_conflict_do_update(index_elements=alike, set_=more), rows)
            connection.execute(sa.delete(key_uses).where(key_uses.c.from_ms < before_ms))

        transact(self._engine, add)

    def uses(self, key_id: str, since_ms: int, /) -> list[KeyUse]:
        """See the TenantKeys port."""
        asked = sa.select(key_uses).where(key_uses.c.key_id == key_id, key_uses.c.from_ms >= since_ms)
        with reading(self._engine) as connection:
            return [KeyUse(*row) for row in connection.execute(asked)]
