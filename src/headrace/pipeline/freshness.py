"""Read your writes: requests on the event loop wait until the worker has passed a position."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from functools import partial

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant


class Freshness:
    """Who waits for which position to be visible to queries, or reacted to. All but `advance` is for the event loop's thread."""

    def __init__(
        self,
        *,
        last: Callable[[], int],
        visible: Callable[[], int],
        reacted: Callable[[Tenant], int],
        want: Callable[[int], None],
        freshness_timeout_s: float,
        sync_deadline_s: float,
    ) -> None:
        """last: the position of the last acknowledged entry. visible: up to which entry the store has everything. reacted: up to
        which entry everything of a tenant has been reacted to.

        want: asks the worker not to let time pass before it has passed a position.
        """
        self._last = last
        self._want = want
        self._freshness_timeout_s = freshness_timeout_s
        self._sync_deadline_s = sync_deadline_s
        self._visible = Waiters(visible)
        self._reacted_upto = reacted
        self._reacted: dict[Tenant, Waiters] = {}  # of those for whom somebody waits
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Call from the event loop that the waiters run on."""
        self._loop = asyncio.get_running_loop()

    def advance(self) -> None:
        """The worker has moved on. Any thread may call this."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    async def visible(self) -> None:
        """Wait until everything acknowledged before now is in the store. Raises Unavailable."""
        await self._caught_up(self._visible, "The store has not caught up")

    async def settled(self, tenant: Tenant, /) -> None:
        """Wait until everything of the tenant that was acknowledged before now has been reacted to. Raises Unavailable."""
        position = self._last()
        if not await self._wait_for_reactions(tenant, position, self._freshness_timeout_s):
            raise Unavailable("The reactions have not caught up with the events acknowledged before this query.")

    async def reacted(self, tenant: Tenant, position: int, /) -> bool:
        """Wait until an event is stored and its reactions have run; False if the sync deadline passed first."""
        return await self._wait_for_reactions(tenant, position, self._sync_deadline_s)

    async def _wait_for_reactions(self, tenant: Tenant, position: int, timeout_s: float) -> bool:
        if self._reacted_upto(tenant) >= position:
            return True
        self._want(position)
        waiters = self._reacted.get(tenant)
        if waiters is None:
            waiters = self._reacted[tenant] = Waiters(partial(self._reacted_upto, tenant))
        try:
            return await waiters.wait(position, timeout_s)
        finally:
            if waiters.is_empty():
                self._reacted.pop(tenant, None)

    async def _caught_up(self, waiters: "Waiters", problem: str) -> None:
        position = self._last()
        if waiters.reached() >= position:
            return
        self._want(position)
        if not await waiters.wait(position, self._freshness_timeout_s):
            raise Unavailable(f"{problem} with the events acknowledged before this query.")

    def _wake(self) -> None:
        self._visible.wake()
        for waiters in list(self._reacted.values()):
            waiters.wake()


class Waiters:
    """Coroutines that wait until a position is `reached`. For the event loop's thread alone."""

    def __init__(self, reached: Callable[[], int]) -> None:
        self.reached = reached
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._given_up = 0

    async def wait(self, position: int, timeout_s: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (position, next(self._order), future))
        self.wake()  # only now is it asked how far things are, so that no wake-up falls in between
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            if future.cancelled():
                self._forget_some()
        return True

    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return all(future.done() for _, _, future in self._heap)

    def _forget_some(self) -> None:
        """Those that wait no more stay among the others until they are as many; else they would while the store fails."""
        self._given_up += 1
        if self._given_up * 2 > len(self._heap):
            self._heap = [each for each in self._heap if not each[2].done()]
            heapq.heapify(self._heap)
            self._given_up = 0

    def wake(self) -> None:
        """End the waits for what is reached by now."""
        position = self.reached()
        while self._heap and self._heap[0][0] <= position:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
