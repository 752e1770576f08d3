"""Where the log ends; and, for a request that accepts a stale answer while the log cannot be asked, until when that is complete.

See docs/decisions/0186-stale-reads.md.
"""

from collections.abc import Awaitable, Callable

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant, received_at_ms
from headrace.model.stale_reads import stale_read
from headrace.ports.log import Tails
from headrace.ports.progress import Progress


class KnownTails:
    """Asks the log where it ends, and remembers when that was last visible. For the event loop's thread."""

    def __init__(
        self,
        tails: Callable[[], Awaitable[Tails]],
        progress: Progress,
        clock_ms: Callable[[], int],
        elsewhere: Callable[[], str],
    ) -> None:
        """tails: see the LogTails port. elsewhere: why it does not tell what was acknowledged, or ""."""
        self._tails = tails
        self._progress = progress
        self._clock_ms = clock_ms
        self._elsewhere = elsewhere
        self._last: tuple[int, Tails] = (0, {})  # until it is asked, nobody knows which partitions there are
        self._last_visible = self._last

    async def __call__(self, tenant: Tenant | None = None, /) -> Tails | None:
        """The tail of each partition; None if the log cannot be asked and the request accepts a stale answer, which it then is.

        tenant: whose reactions it asks about; None for the store. Raises Unavailable.
        """
        if why := self._elsewhere():
            raise Unavailable(why, retry_after_s=5)
        read = stale_read()
        if read is not None and read.is_stale:
            # A log that hangs would take its time again, and the answer be no better.
            read.mark(self._complete_until_ms(tenant))
            return None
        asked_at_ms = self._clock_ms()
        try:
            tails = await self._tails()
        except Unavailable:
            if read is None:
                raise
            read.mark(self._complete_until_ms(tenant))
            return None
        if self._has(self._last[1], None):
            self._last_visible = self._last
        self._last = asked_at_ms, tails
        return tails

    def _complete_until_ms(self, tenant: Tenant | None) -> int:
        """What was acknowledged before an answer of the log that has been reached, or is of an earlier position, is there."""
        times = [0]
        times += [asked_at_ms for asked_at_ms, tails in (self._last, self._last_visible) if self._has(tails, tenant)]
        reached = min((self._reached(each, tenant) for each in self._last[1]), default=0)
        # A position's time is ahead of the clock where that was set back.
        return min(max(received_at_ms(reached), *times), self._clock_ms())

    def _has(self, tails: Tails, tenant: Tenant | None) -> bool:
        return all(self._reached(partition, tenant) >= tail for partition, tail in tails.items())

    def _reached(self, partition: int, tenant: Tenant | None) -> int:
        return self._progress.visible(partition) if tenant is None else self._progress.reacted(tenant, partition)
