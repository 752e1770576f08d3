"""How far stored events are behind acknowledged ones, by partition."""

from typing import Protocol

from headrace.model.event import Tenant


class Progress(Protocol):
    """How far each partition's worker and reactor have come, as far as this process knows.

    Answers from memory: any thread may ask, and what it says never goes back. A process that works on no partition itself
    keeps a copy of what the owners publish.
    """

    def visible(self, partition: int, /) -> int:
        """Every event of the partition up to this position is in the store."""
        ...

    def reacted(self, tenant: Tenant, partition: int, /) -> int:
        """Every event of the tenant in the partition up to this position has been reacted to."""
        ...

    def want(self, partition: int, position: int, /) -> None:
        """Somebody waits for this position: ask the partition's worker not to let time pass before its next insert."""
        ...
