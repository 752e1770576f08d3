"""Rules whose conditions cost too much for consecutive events, and rules put aside. Only reads; the reactions save them."""

import sqlalchemy as sa

from headrace.control.database import reading
from headrace.control.tables.reactions import reaction_progress
from headrace.control.tables.rules import overruns
from headrace.model.event import Tenant
from headrace.model.reaction_state import Overrun
from headrace.model.rulebook import PutAside


class ControlOverruns:
    """Fits the Overruns port. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def load(self, tenant: Tenant, /) -> tuple[int, dict[int, Overrun]]:
        """See the Overruns port."""
        of_progress = reaction_progress.c.project == tenant.project, reaction_progress.c.mode == tenant.mode
        asked = sa.select(
            *(overruns.c.rule_no, overruns.c.events, overruns.c.first_ms, overruns.c.event_id, overruns.c.why),
            overruns.c.is_aside,
        ).where(overruns.c.project == tenant.project, overruns.c.mode == tenant.mode)
        with reading(self._engine) as connection:
            version = connection.scalar(sa.select(reaction_progress.c.version).where(*of_progress))
            return version or 0, {row[0]: Overrun(*row[1:]) for row in connection.execute(asked)}

    def put_aside(self, project: str, /) -> list[PutAside]:
        """See the Overruns port."""
        asked = (
            sa.select(overruns.c.rule_no, overruns.c.mode, overruns.c.event_id, overruns.c.why)
            .where(overruns.c.project == project, overruns.c.is_aside)
            .order_by(overruns.c.rule_no, overruns.c.mode)
        )
        with reading(self._engine) as connection:
            return [PutAside(*row) for row in connection.execute(asked)]

    def counts(self) -> dict[Tenant, int]:
        """See the Overruns port."""
        asked = (
            sa.select(overruns.c.project, overruns.c.mode, sa.func.count())
            .where(overruns.c.is_aside)
            .group_by(overruns.c.project, overruns.c.mode)
        )
        with reading(self._engine) as connection:
            return {Tenant(row[0], row[1]): row[2] for row in connection.execute(asked)}
