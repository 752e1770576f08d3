"""Read your writes: requests on the event loop wait until events acknowledged before them are visible, or reacted to."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from functools import partial

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant, partition_of
from headrace.pipeline.known_tails import KnownTails
from headrace.ports.log import Tails
from headrace.ports.progress import Progress

_LOOK_EVERY_S = 0.5  # whether what is waited for has got stuck meanwhile


class Freshness:
    """Lets requests wait for positions, up to the tail of each partition. Only `advance` may be called from other threads."""

    def __init__(
        self,
        *,
        tails: Callable[[], Awaitable[Tails]],
        progress: Progress,
        freshness_timeout_s: float,
        sync_deadline_s: float,
        clock_ms: Callable[[], int],
        stuck: Callable[[], str] = lambda: "",
        reactions_stuck: Callable[[], str] = lambda: "",
        elsewhere: Callable[[], str] = lambda: "",
    ) -> None:
        """tails: see the LogTails port. elsewhere: why they do not tell what was acknowledged, or "".

        stuck, reactions_stuck: why nothing can become visible, or be reacted to, now, or "". Requests do not wait for what is
        stuck, whether it was so before or becomes so meanwhile.
        """
        self._stuck = stuck
        self._reactions_stuck = reactions_stuck
        self._tails = KnownTails(tails, progress, clock_ms, elsewhere)
        self._progress = progress
        self._freshness_timeout_s = freshness_timeout_s
        self._sync_deadline_s = sync_deadline_s
        self._waiters: dict[tuple[int, Tenant | None], Waiters] = {}  # by partition; for reactions, by tenant too
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Call from the event loop that the waiters run on."""
        self._loop = asyncio.get_running_loop()

    def advance(self) -> None:
        """Call it when progress was made. Any thread may call it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    # Of these, the ones that ask the log wait for nothing while it cannot be asked, if the request accepts a stale answer.

    async def visible(self) -> None:
        """Wait until everything acknowledged before now is in the store. Raises Unavailable."""
        if not await self._wait_for_tails(None):
            raise Unavailable("The store has not caught up with the events acknowledged before this query.")

    async def settled(self, tenant: Tenant, /) -> None:
        """Wait until everything of the tenant that was acknowledged before now has been reacted to. Raises Unavailable."""
        if not await self._wait_for_tails(tenant):
            raise Unavailable("The reactions have not caught up with the events acknowledged before this query.")

    async def known(self, tenant: Tenant, said: Callable[[Tenant], int], /) -> None:
        """Wait until everything that events acknowledged before now said of the tenant's people is known. Raises Unavailable.

        said: returns a position past which no event of the tenant says anything of people, asked after the log.
        """
        if (tails := await self._tails(tenant)) is None:
            return
        position = min(said(tenant), max(tails.values()))
        if not await self._wait_for_reactions(tenant, position, self._freshness_timeout_s):
            raise Unavailable("The state of people has not caught up with the events acknowledged before this query.")

    async def reacted(self, tenant: Tenant, position: int, /) -> bool:
        """Wait until an event is stored and its reactions have run; False if that is not so before the sync deadline."""
        return await self._wait_for_reactions(tenant, position, self._sync_deadline_s)

    async def _wait_for_reactions(self, tenant: Tenant, position: int, timeout_s: float) -> bool:
        partition = partition_of(position)
        if self._progress.reacted(tenant, partition) >= position:
            return True
        self._progress.want(partition, position)
        return await self._wait(partition, tenant, position, timeout_s)

    async def _wait_for_tails(self, tenant: Tenant | None) -> bool:
        """Whether every partition has reached its tail in time."""
        if (tails := await self._tails(tenant)) is None:
            return True
        behind = [(each, tail) for each, tail in tails.items() if self._reached(each, tenant) < tail]
        if not behind:
            return True
        if why := self._failing(tenant):
            raise Unavailable(why)
        for partition, tail in behind:  # all of them before the first wait
            self._progress.want(partition, tail)
        clock = asyncio.get_running_loop().time
        until = clock() + self._freshness_timeout_s
        for partition, tail in behind:
            if not await self._wait(partition, tenant, tail, until - clock()):
                return False
        return True

    async def _wait(self, partition: int, tenant: Tenant | None, position: int, timeout_s: float) -> bool:
        waiters = self._waiters.get((partition, tenant))
        if waiters is None:
            waiters = self._waiters[partition, tenant] = Waiters(partial(self._reached, partition, tenant))
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_s
        try:
            while not self._failing(tenant):
                left_s = until - clock()
                if await waiters.wait(position, min(left_s, _LOOK_EVERY_S)):
                    return True
                if left_s <= _LOOK_EVERY_S:
                    break
            return False
        finally:
            if tenant is not None and waiters.is_empty():  # there are few partitions, but any number of tenants
                self._waiters.pop((partition, tenant), None)

    def _failing(self, tenant: Tenant | None) -> str:
        """Why waiting cannot succeed now; "" if it can. tenant: whose reactions are waited for; None for the store."""
        if self._stuck():
            return "The store is failing, and lacks events acknowledged before this query; see the server log."
        if tenant is not None and self._reactions_stuck():
            return "The reactions are failing, and lack events acknowledged before this query; see the server log."
        return ""

    def _reached(self, partition: int, tenant: Tenant | None) -> int:
        return self._progress.visible(partition) if tenant is None else self._progress.reacted(tenant, partition)

    def _wake(self) -> None:
        for waiters in list(self._waiters.values()):
            waiters.wake()


class Waiters:
    """Coroutines that wait until `reached` returns their position. For the event loop's thread only."""

    def __init__(self, reached: Callable[[], int]) -> None:
        self.reached = reached
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._given_up = 0

    async def wait(self, position: int, timeout_s: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (position, next(self._order), future))
        self.wake()  # after the future is queued, so that no progress in between goes unnoticed
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            if future.cancelled():
                self._forget_some()
        return True

    def is_empty(self) -> bool:
        """Whether no coroutine is waiting."""
        return all(future.done() for _, _, future in self._heap)

    def _forget_some(self) -> None:
        """Remove waits that timed out once they are half of all. Otherwise they would pile up while the store fails."""
        self._given_up += 1
        if self._given_up * 2 > len(self._heap):
            self._heap = [each for each in self._heap if not each[2].done()]
            heapq.heapify(self._heap)
            self._given_up = 0

    def wake(self) -> None:
        """End the waits for positions that have been reached."""
        position = self.reached()
        while self._heap and self._heap[0][0] <= position:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
