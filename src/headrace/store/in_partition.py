"""What the worker of one of the log's partitions asks of the store."""

from collections.abc import Sequence

from headrace.ports.store import StoreFailed
from headrace.store.clickhouse import ClickHouseStore


class StoreOfPartition:
    """Fits the ErasableStore port, but erases nothing: the coordinator does, because the store erases for one at a time.

    `present` and `last` answer for all partitions, because more than asked for does no harm there.
    """

    def __init__(self, store: ClickHouseStore, partition: int) -> None:
        self.insert, self.present, self.last = store.insert, store.present, store.last
        self.stored, self.damaged = store.stored, store.damaged
        self._held_of = store.held_of
        self._partition = partition

    def held(self, after: int, upto: int, /) -> int:
        """See the Store port: of the partition's events."""
        return self._held_of(self._partition, after, upto)

    def erase(self, _ids: Sequence[str], /) -> None:
        """Raises StoreFailed."""
        raise StoreFailed("Only the coordinating worker erases.")
