"""The event loop that serves, for threads that need it. It runs only once the server starts."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from headrace.model.errors import Unavailable

Result = TypeVar("Result")


class ServingLoop:
    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Call from the event loop."""
        self._loop = asyncio.get_running_loop()

    def run(self, make: Callable[[], Coroutine[Any, Any, Result]], /) -> Result:
        """Run a coroutine on the event loop, from another thread, and wait for it. Raises Unavailable before the start."""
        if self._loop is None:
            raise Unavailable("The server is starting.")
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result()

    def ping(self) -> Callable[[], float]:
        """Ping the event loop. The returned function gives the seconds until it answered, or so far."""
        asked, answered = time.monotonic(), list[float]()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: answered.append(time.monotonic()))
        return lambda: (answered[0] if answered else time.monotonic()) - asked
