"""Lets people watch events arrive: how many may, from where on, and what they missed. Knows no HTTP."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence

import msgspec

from headrace.dialects.native_live import render_live_row
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant, received_at_ms
from headrace.model.filters import Dimension, Filters, Page
from headrace.model.live import MAX_ROWS, REST, Refusal, Told
from headrace.pipeline.live import LiveHub, Tail
from headrace.pipeline.queries import QuerySlots
from headrace.ports.store import Reader

_RESUMES_FOR_MS = 15 * 60_000
_MOST_REFUSALS = 200
_FIRST_ROWS = 100
_MOST_TENANTS = 1000


class Watching:
    """One open connection. For the event loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.ended = False

    def on_news(self) -> None:
        """Any thread may call this."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    def end(self) -> None:
        self.ended = True
        self._news.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether there is news, or this has ended, before the time is over."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Live:
    """Raises Unavailable."""

    def __init__(
        self,
        hub: LiveHub,
        queries: QuerySlots,
        *,
        visible: Callable[[], int],
        clock_ms: Callable[[], int],
        most: int,
        most_of_one: int,
    ) -> None:
        """visible: the position up to which everything is stored. most, most_of_one: connections in all, and of one key."""
        self._hub = hub
        self._queries = queries
        self._visible = visible
        self._clock_ms = clock_ms
        self._most = most
        self._most_of_one = most_of_one
        self._owners: Counter[str] = Counter()
        self._refused: OrderedDict[Tenant | None, deque[Refusal]] = OrderedDict()

    def open(
        self, owner: str, tenant: Tenant, filters: Filters, watching: Watching, /, *, hears_strangers: bool = False
    ) -> Tail:
        """Watch a tenant's events from now on: from `tail.after` on. Ends with `close`."""
        if self._owners.total() >= self._most:
            raise Unavailable(f"{self._most} connections are watching events already.", retry_after_s=5)
        if self._owners[owner] >= self._most_of_one:
            raise Unavailable(
                f"{self._most_of_one} connections are watching events with this key already.", retry_after_s=5
            )
        self._owners[owner] += 1
        tail = Tail(tenant, filters, watching.on_news)
        tail.hears_strangers = hears_strangers
        # In this order: what is stored in between is both visible and offered, and told once, because of `after`.
        self._hub.watch(tail)
        tail.after = self._visible()
        return tail

    def close(self, owner: str, tail: Tail, /) -> None:
        self._hub.unwatch(tail)
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]

    async def missed(self, tail: Tail, since: int, /) -> Told | None:
        """What a watcher that was told of everything up to a position has missed; None if that is too long ago."""
        if received_at_ms(since) < self._clock_ms() - _RESUMES_FOR_MS:
            return None
        tenant = tail.tenant
        if tenant is None or since >= tail.after:
            return Told(max(since, tail.after))
        filters = msgspec.structs.replace(tail.filters, after=since, upto=tail.after)

        def ask(reader: Reader) -> Told:
            counted = reader.count(tenant, filters, group_by=Dimension("name"))
            counts = dict(counted.groups or [])
            if rest := counted.total - sum(counts.values()):
                counts[REST] = rest
            found = reader.events(tenant, filters, Page(limit=MAX_ROWS)).events if counts else []
            return Told(tail.after, [render_live_row(each) for each in reversed(found)], counts)

        return await self._queries.ask(ask)

    async def newest(self, tail: Tail, /) -> Told:
        """The newest rows before a watcher came, which are not counted."""
        tenant, filters = tail.tenant, msgspec.structs.replace(tail.filters, upto=tail.after)
        if tenant is None:
            return Told(tail.after)

        def ask(reader: Reader) -> Told:
            found = reader.events(tenant, filters, Page(limit=_FIRST_ROWS, brief=True)).events
            return Told(tail.after, [render_live_row(each) for each in reversed(found)])

        return await self._queries.ask(ask)

    def refused(self, tenant: Tenant | None, refusal: Refusal, /) -> None:
        """Keep a refusal, and tell whoever watches. tenant: None if it belongs to no project."""
        kept = self._refused.get(tenant)
        if kept is None:
            if len(self._refused) >= _MOST_TENANTS:
                self._refused.popitem(last=False)
            kept = self._refused[tenant] = deque(maxlen=_MOST_REFUSALS)
        kept.append(refusal)
        self._hub.refused(tenant, refusal)

    def latest_refusals(self, tail: Tail, since_ms: int = 0, /) -> Sequence[Refusal]:
        """Those that a watcher may hear of, oldest first."""
        kept = [*self._refused.get(tail.tenant, ()), *(self._refused.get(None, ()) if tail.hears_strangers else ())]
        return sorted((each for each in kept if each.at_ms > since_ms), key=lambda each: each.at_ms)[-_MOST_REFUSALS:]
