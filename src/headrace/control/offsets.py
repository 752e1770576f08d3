"""The committed position of each consumer of the log. It never goes back."""

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.leases import LastingLease, require
from headrace.control.tables.positions import offsets
from headrace.model.lease import Lease


class ControlOffsets:
    """Fits the Offsets port, for one consumer. Any thread may call it."""

    def __init__(
        self,
        engine: sa.Engine,
        consumer: str = "worker",
        lease: Lease | LastingLease | None = None,
        *,
        begins_at: str = "",
    ) -> None:
        """lease: commits raise LeaseLost once another process has taken it. None if there cannot be another process.

        begins_at: a consumer before whose position this one never is.
        """
        self._engine = engine
        self._begins_at = begins_at
        self._consumer = consumer
        self._lease = lease

    def take_again(self) -> bool:
        """See the Offsets port."""
        return isinstance(self._lease, LastingLease) and self._lease.take_again()

    def position(self) -> int:
        """See the Offsets port."""
        with reading(self._engine) as connection:
            own = offsets.c.consumer.in_([self._consumer, self._begins_at])
            found = connection.scalar(sa.select(sa.func.max(offsets.c.position)).where(own))
        return 0 if found is None else found

    def commit(self, position: int, /) -> None:
        """See the Offsets port."""
        transact(self._engine, lambda connection: move(connection, self._consumer, position, self._lease))


def move(connection: sa.Connection, consumer: str, position: int, lease: Lease | LastingLease | None = None, /) -> None:
    """Like `ControlOffsets.commit`, within a transaction, which LeaseLost must undo."""
    new = insert(connection, offsets).values(consumer=consumer, position=position)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[offsets.c.consumer],
            set_={"position": new.excluded.position},
            where=offsets.c.position < new.excluded.position,
        )
    )
    if lease is not None:
        require(connection, lease)
