"""The background loops of a server, in the orders in which they start and stop."""

from collections.abc import Sequence
from typing import Protocol


class Runs(Protocol):
    """Something with a thread of its own. `stop` waits for it; it may be called of what was never started."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Loops:
    """Both orders, each as a list. They differ, and a wing that has joined only one of them is refused."""

    def __init__(self, *, starting: Sequence[Runs], stopping: Sequence[Runs]) -> None:
        """Raises ValueError if the lists do not hold the same loops, each once."""
        if sorted(map(id, starting)) != sorted(map(id, stopping)) or len({*map(id, starting)}) < len(starting):
            raise ValueError("Every loop that starts must stop, and the reverse, each once.")
        self.starting = tuple(starting)
        self.stopping = tuple(stopping)
