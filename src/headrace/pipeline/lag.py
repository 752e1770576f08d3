"""How far a gateway's answers may lag: the age of the oldest acknowledged event that it knows of and that is not visible yet.

It knows what queries have asked for: each learns where the log ends, and waits for that. So an answer with a lag lacks nothing
that was acknowledged before it was asked; what it may lack came meanwhile. Nothing is asked for its sake.
"""

from collections import deque
from collections.abc import Awaitable, Callable

from headrace.model.event import received_at_ms
from headrace.ports.log import Tails

_MOST = 1000  # tails that are remembered of a partition


class LagWatch:
    """For the event loop's thread."""

    def __init__(
        self, tails: Callable[[], Awaitable[Tails]], visible: Callable[[int], int], clock_ms: Callable[[], int]
    ) -> None:
        """tails: see the LogTails port. visible: see the Progress port."""
        self._tails = tails
        self._visible = visible
        self._clock_ms = clock_ms
        self._waiting: dict[int, deque[int]] = {}

    async def tails(self) -> Tails:
        """See the LogTails port."""
        tails = await self._tails()
        for partition, tail in tails.items():
            waiting = self._waiting.setdefault(partition, deque())
            self._forget_visible(partition, waiting)
            newest = waiting[-1] if waiting else self._visible(partition)
            if tail > newest and len(waiting) < _MOST:
                waiting.append(tail)
        return tails

    def lag_ms(self) -> int:
        """0 if everything that it knows of is visible. By this machine's clock."""
        oldest = 0
        for partition, waiting in self._waiting.items():
            self._forget_visible(partition, waiting)
            if waiting:
                oldest = max(oldest, self._clock_ms() - received_at_ms(waiting[0]))
        return oldest

    def _forget_visible(self, partition: int, waiting: deque[int]) -> None:
        visible = self._visible(partition)
        while waiting and waiting[0] <= visible:
            waiting.popleft()
