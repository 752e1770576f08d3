"""The progress of a server that owns the only partition there is. Reads what its worker and its reactor say."""

from collections.abc import Callable

from headrace.model.event import Tenant


class OnlyPartition:
    """Fits the Progress port. Whatever partition is asked for is this one: positions from before partitions have any number."""

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
