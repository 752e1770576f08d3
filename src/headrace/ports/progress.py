"""How far inserts and reactions have come, by partition."""

from typing import Protocol

from headrace.model.event import Tenant


class Progress(Protocol):
    """How far each partition's worker and reactor have come, as far as this process knows.

    Answers from memory. Any thread may ask, and positions never go back. A process that owns no partition keeps a copy of what
    the owners publish.
    """

    def visible(self, partition: int, /) -> int:
        """The position up to which every event of the partition is in the store."""
        ...

    def reacted(self, tenant: Tenant, partition: int, /) -> int:
        """The position up to which every event of the tenant in the partition has been reacted to."""
        ...

    def want(self, partition: int, position: int, /) -> None:
        """Ask the partition's worker to insert soon, because somebody waits for this position."""
        ...
