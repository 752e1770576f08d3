"""The committed positions of the workers that store one partition of the log each."""

from collections.abc import Sequence

import sqlalchemy as sa

from headrace.control.database import reading
from headrace.control.leases import LastingLease
from headrace.control.offsets import ControlOffsets
from headrace.control.tables.positions import offsets

_WHOLE = "worker"  # the consumer whose position says that everything before it is stored, of every partition


def offsets_of(engine: sa.Engine, partition: int, lease: LastingLease, /) -> ControlOffsets:
    """One partition's, for the worker that stores it."""
    return ControlOffsets(engine, f"{_WHOLE}/{partition}", lease, begins_at=_WHOLE)


def furthest(engine: sa.Engine, /) -> int:
    """The greatest position that any worker has committed; 0 if none has. Raises ControlFailed."""
    stores = (offsets.c.consumer == _WHOLE) | offsets.c.consumer.startswith(f"{_WHOLE}/")
    with reading(engine) as connection:
        return connection.scalar(sa.select(sa.func.max(offsets.c.position)).where(stores)) or 0


def committed(engine: sa.Engine, partitions: int, /) -> Sequence[int]:
    """What the workers of so many partitions have committed, in order of the partitions. Raises ControlFailed."""
    names = [f"{_WHOLE}/{partition}" for partition in range(partitions)]
    query = sa.select(offsets.c.consumer, offsets.c.position).where(offsets.c.consumer.in_([_WHOLE, *names]))
    with reading(engine) as connection:
        found: dict[str, int] = dict(connection.execute(query).tuples().all())
    whole = found.get(_WHOLE, 0)
    return [max(whole, found.get(name, 0)) for name in names]
