"""The progress of a server that owns the only partition, read from its worker and its reactor."""

from collections.abc import Callable

from headrace.model.event import Tenant


class OnlyPartition:
    """Fits the Progress port. Ignores the partition's number, because positions from before partitions existed may have any."""

    def __init__(
        self, *, visible: Callable[[], int], reacted: Callable[[Tenant], int], want: Callable[[int], None]
    ) -> None:
        """See the Progress port for each."""
        self._visible = visible
        self._reacted = reacted
        self._want = want

    def visible(self, _partition: int, /) -> int:
        """See the Progress port."""
        return self._visible()

    def reacted(self, tenant: Tenant, _partition: int, /) -> int:
        """See the Progress port."""
        return self._reacted(tenant)

    def want(self, _partition: int, position: int, /) -> None:
        """See the Progress port."""
        self._want(position)
