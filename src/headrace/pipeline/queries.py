"""Questions to the store: how many run and wait at once, each only once the store is fresh. Knows no question."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace.model.errors import Unavailable
from headrace.ports.store import CancellableReader, Reader, RunningQuery

Answer = TypeVar("Answer")


class QuerySlots:
    """For the event loop's thread. `asked_at_ms`: when the last question came."""

    def __init__(
        self,
        reader: CancellableReader,
        *,
        fresh: Callable[[], Awaitable[None]],
        running: int,
        waiting: int,
        clock_ms: Callable[[], int],
    ) -> None:
        """running: how many questions are asked at once. waiting: how many more may wait for that."""
        self.asked_at_ms = 0
        self._reader = reader
        self._fresh = fresh
        self._most = running + waiting
        self._clock_ms = clock_ms
        self._taken = 0
        self._threads = ThreadPoolExecutor(running, thread_name_prefix="reader")

    async def ask(self, question: Callable[[Reader], Answer], /) -> Answer:
        """Put a question to the store once it holds everything acknowledged before now.

        Raises Unavailable when too many questions wait, or the store is too far behind; and what the question raises.
        Cancelled, it ends the question's query, and returns when that has ended.
        """
        if self._taken >= self._most:
            raise Unavailable("Too many queries are waiting.")
        self._taken += 1
        self.asked_at_ms = self._clock_ms()
        try:
            await self._fresh()
            running = RunningQuery()
            work = self._threads.submit(self._answer, question, running)
            try:
                return await asyncio.wrap_future(work)
            except asyncio.CancelledError:
                if not work.cancel():  # it has begun
                    await asyncio.to_thread(self._reader.cancel, running)
                raise
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Wait for the questions that are being asked."""
        self._threads.shutdown()

    def _answer(self, question: Callable[[Reader], Answer], running: RunningQuery) -> Answer:
        with self._reader.asking(running):
            return question(self._reader)
