"""How far a continuous export has come. Exports nothing."""

from collections.abc import Sequence

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.tables.exports import continuous_exports as marks
from headrace.control.tables.projects import projects
from headrace.model.event import MODES, Tenant
from headrace.model.exports import Mark

_DEFAULT_PROJECT = "default"  # HEADRACE_ADMIN_KEY's, which may be in no table


class ControlExportMarks:
    """Fits the ExportMarks port. Any thread may call it."""

    def __init__(self, engine: sa.Engine, target: str) -> None:
        """target: at most 64 characters that tell it from other targets."""
        self._engine = engine
        self._target = target

    def tenants(self) -> Sequence[Tenant]:
        """See the ExportMarks port."""
        with reading(self._engine) as connection:
            names = {_DEFAULT_PROJECT, *connection.scalars(sa.select(projects.c.name))}
        return [Tenant(name, mode) for name in sorted(names) for mode in MODES]

    def mark(self, tenant: Tenant, /) -> Mark:
        """See the ExportMarks port."""
        query = sa.select(marks.c.done, marks.c.upto).where(
            marks.c.target == self._target, marks.c.project == tenant.project, marks.c.mode == tenant.mode
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return Mark() if row is None else Mark(*row)

    def intend(self, tenant: Tenant, upto: int, /) -> None:
        """See the ExportMarks port."""
        self._put(tenant, {"done": self.mark(tenant).done, "upto": upto})

    def done(self, tenant: Tenant, upto: int, /) -> None:
        """See the ExportMarks port."""
        self._put(tenant, {"done": upto, "upto": None})

    def _put(self, tenant: Tenant, values: dict[str, int | None]) -> None:
        key = {"target": self._target, "project": tenant.project, "mode": tenant.mode}

        def put(connection: sa.Connection) -> None:
            new = insert(connection, marks).values(key | values)
            connection.execute(
                new.on_conflict_do_update(index_elements=[marks.c.target, marks.c.project, marks.c.mode], set_=values)
            )

        transact(self._engine, put)
