"""How far each consumer of the log has come. Never goes back."""

import sqlalchemy as sa

from headrace.control.database import reading, writing
from headrace.control.tables import offsets


class ControlOffsets:
    """The Offsets of one consumer, in the control database. Any thread may call it."""

    def __init__(self, engine: sa.Engine, consumer: str = "worker") -> None:
        self._engine = engine
        self._consumer = consumer

    def position(self) -> int:
        """The last position committed; 0 at the beginning. Raises ControlFailed."""
        with reading(self._engine) as connection:
            found = connection.scalar(sa.select(offsets.c.position).where(offsets.c.consumer == self._consumer))
        return 0 if found is None else found

    def commit(self, position: int, /) -> None:
        """Durably move on to a position; an earlier one than the last changes nothing.

        Raises ControlFailed if that is not known to have happened.
        """
        with writing(self._engine) as connection:
            move(connection, self._consumer, position)


def move(connection: sa.Connection, consumer: str, position: int, /) -> None:
    """As `ControlOffsets.commit`, within a transaction."""
    own = offsets.c.consumer == consumer
    moved = connection.execute(sa.update(offsets).where(own, offsets.c.position < position).values(position=position))
    if moved.rowcount == 0:
        connection.execute(
            sa.insert(offsets).from_select(
                ["consumer", "position"],
                sa.select(sa.literal(consumer), sa.literal(position)).where(~sa.exists().where(own)),
            )
        )
