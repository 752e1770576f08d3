"""One question at a time, asked in a thread for everybody on the event loop who waits for its answer."""

import asyncio
from collections.abc import Callable


class SharedQuestion:
    """For the event loop's thread. While a question is being asked, those who come wait for the next one, and share it.

    So an answer is never older than who gets it, and a server that hangs takes one thread and not all of them.
    """

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._running: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def __call__(self) -> int:
        """The answer. Raises what asking raises."""
        if self._next is None or self._next.done():
            self._next = asyncio.ensure_future(self._ask_after(self._running))
        return await asyncio.shield(self._next)

    async def _ask_after(self, running: "asyncio.Task[int] | None") -> int:
        if running is not None and not running.done():
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await asyncio.to_thread(self._ask)
