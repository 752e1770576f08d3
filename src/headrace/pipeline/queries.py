"""Limits how many queries run and wait at once, and starts each once the store is fresh. Knows nothing about their content."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace.model.errors import Unavailable
from headrace.ports.store import CancellableReader, Reader, RunningQuery

Answer = TypeVar("Answer")


class QuerySlots:
    """Runs queries in threads. For the event loop's thread. `asked_at_ms`: when the last query arrived."""

    def __init__(
        self,
        reader: CancellableReader,
        *,
        fresh: Callable[[], Awaitable[None]],
        running: int,
        waiting: int,
        clock_ms: Callable[[], int],
    ) -> None:
        """running: how many queries run at once. waiting: how many more may wait for a slot."""
        self.asked_at_ms = 0
        self._reader = reader
        self._fresh = fresh
        self._most_running = running
        self._most = running + waiting
        self._clock_ms = clock_ms
        self._taken = 0
        self._threads = ThreadPoolExecutor(running, thread_name_prefix="reader")

    @property
    def running(self) -> int:
        """The number of running queries, at most."""
        return min(self._taken, self._most_running)

    @property
    def waiting(self) -> int:
        """The number of queries waiting for a slot."""
        return self._taken - self.running

    async def ask(self, question: Callable[[Reader], Answer], /, *, fresh: bool = True) -> Answer:
        """Run a query against the store once the store holds everything acknowledged before now.

        fresh: false for one that goes on with an earlier one, and so does not wait for that.
        Raises Unavailable if too many queries are waiting or the store is too far behind, and what the question raises.
        If it is cancelled, it stops the query and returns once that has ended.
        """
        if self._taken >= self._most:
            raise Unavailable("Too many queries are waiting.")
        self._taken += 1
        self.asked_at_ms = self._clock_ms()
        try:
            if fresh:
                await self._fresh()
            running = RunningQuery()
            work = self._threads.submit(self._answer, question, running)
            try:
                return await asyncio.wrap_future(work)
            except asyncio.CancelledError:
                if not work.cancel():  # it is running
                    await asyncio.to_thread(self._reader.cancel, running)
                raise
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Wait for the queries that are running."""
        self._threads.shutdown()

    def _answer(self, question: Callable[[Reader], Answer], running: RunningQuery) -> Answer:
        with self._reader.asking(running):
            return question(self._reader)
