"""The audit in the control database: records deeds, lists and prunes them. Transactions record their own: see database.py."""

from typing import Any

import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.deeds import record
from headrace.control.tables.audit import audit
from headrace.model.audit import Actor, AuditFilters, Deed, Entry, Outcome
from headrace.model.event import Tenant


class ControlAudit:
    """Fits the Audit port. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def begin(self, deed: Deed, /) -> None:
        """See the Audit port."""
        self._record(deed, "begun")

    def end(self, deed: Deed, outcome: Outcome, /) -> None:
        """See the Audit port."""
        if deed.number is None:
            self._record(deed, outcome)
            return
        change = sa.update(audit).where(audit.c.no == deed.number, audit.c.outcome == "begun")
        values = {"outcome": outcome, "detail": deed.detail, "person": deed.person}
        transact(self._engine, lambda connection: connection.execute(change.values(values)))

    def page(self, tenant: Tenant | None, filters: AuditFilters, before: int, limit: int, /) -> list[Entry]:
        """See the Audit port."""
        asked = sa.select(audit).where(audit.c.no < before, *_conditions(tenant, filters))
        with reading(self._engine) as connection:
            return [_entry(row) for row in connection.execute(asked.order_by(audit.c.no.desc()).limit(limit))]

    def prune(self, before_ms: int, most: int, /) -> int:
        """See the Audit port."""
        old = sa.select(audit.c.no).where(audit.c.at_ms < before_ms).order_by(audit.c.at_ms).limit(most)
        with reading(self._engine) as connection:  # an upkeep that finds nothing writes nothing
            numbers = list(connection.scalars(old))
        if numbers:
            gone = sa.delete(audit).where(audit.c.no.in_(numbers))
            transact(self._engine, lambda connection: connection.execute(gone))
        return len(numbers)

    def _record(self, deed: Deed, outcome: Outcome) -> None:
        number = transact(self._engine, lambda connection: record(connection, deed, outcome))
        deed.number = number


def _conditions(tenant: Tenant | None, filters: AuditFilters) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if tenant is not None:
        found += [audit.c.project == tenant.project, audit.c.mode.in_(("", tenant.mode))]
    if filters.action:
        found.append(audit.c.action == filters.action)
    if filters.by:
        found.append(sa.or_(*(audit.c[name] == filters.by for name in ("by_key", "by_prefix", "by_name"))))
    if filters.person:
        found.append(sa.or_(audit.c.person == filters.person, audit.c.target.contains(f"~{filters.person}")))
    if filters.project:
        found.append(audit.c.project == filters.project)
    if filters.outcome is not None:
        found.append(audit.c.outcome == filters.outcome)
    if filters.from_ms is not None:
        found.append(audit.c.at_ms >= filters.from_ms)
    if filters.to_ms is not None:
        found.append(audit.c.at_ms <= filters.to_ms)
    return found


def _entry(row: sa.Row[Any]) -> Entry:
    actor = Actor(kind=row.by_kind, key_id=row.by_key, prefix=row.by_prefix, name=row.by_name, address=row.address)
    deed = Deed(
        actor=actor,
        action=row.action,
        at_ms=row.at_ms,
        project=row.project,
        mode=row.mode,
        target=row.target,
        person=row.person,
        detail=row.detail,
        number=row.no,
    )
    return Entry(row.no, deed, row.outcome)
