"""How far each consumer of the log has come. Never goes back."""

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.leases import LastingLease, require
from headrace.control.tables import offsets
from headrace.model.lease import Lease


class ControlOffsets:
    """The Offsets of one consumer, in the control database. Any thread may call it."""

    def __init__(self, engine: sa.Engine, consumer: str = "worker", lease: Lease | LastingLease | None = None) -> None:
        """lease: commits are refused with LeaseLost once another has taken it. None where there cannot be another."""
        self._engine = engine
        self._consumer = consumer
        self._lease = lease

    def take_again(self) -> bool:
        """See the Offsets port."""
        return isinstance(self._lease, LastingLease) and self._lease.take_again()

    def position(self) -> int:
        """The last position committed; 0 at the beginning. Raises ControlFailed."""
        with reading(self._engine) as connection:
            found = connection.scalar(sa.select(offsets.c.position).where(offsets.c.consumer == self._consumer))
        return 0 if found is None else found

    def commit(self, position: int, /) -> None:
        """Durably move on to a position; an earlier one than the last changes nothing.

        Raises LeaseLost, and ControlFailed if that is not known to have happened.
        """
        transact(self._engine, lambda connection: move(connection, self._consumer, position, self._lease))


def move(connection: sa.Connection, consumer: str, position: int, lease: Lease | LastingLease | None = None, /) -> None:
    """As `ControlOffsets.commit`, within a transaction, which LeaseLost must undo."""
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
