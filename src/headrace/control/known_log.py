"""Which log belongs to a control database that several processes share. Knows no log.

A copy of the database knows none: it is made for another server, which has a log of its own.
"""

import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.leases import LastingLease, require
from headrace.control.tables.console import instance
from headrace.model.known_log import KnownLog


class ControlKnownLog:
    """Any thread may call it. Every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self) -> KnownLog | None:
        """None before a server with its log on another server has used the database."""
        columns = instance.c
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(columns.log_id, columns.log_at, columns.log_of)).one()
        return None if row.log_id is None else KnownLog(row.log_id, row.log_at, row.log_of)

    def set(self, log: KnownLog | None, lease: LastingLease | None, /) -> None:
        """None: it has no log any more. Raises LeaseLost unless the lease is still this owner's."""
        names = "log_id", "log_at", "log_of"
        values = (None, None, None) if log is None else (log.id, log.shown, log.process)

        def write(connection: sa.Connection) -> None:
            connection.execute(sa.update(instance).values(dict(zip(names, values, strict=True))))
            require(connection, lease)

        transact(self._engine, write)
