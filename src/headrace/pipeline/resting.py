"""Readers that rest after a query, because writes have to wait. For the event loop's thread."""

import asyncio
from collections.abc import Callable


class Resting:
    """`release`: called for each reader once its rest is over."""

    def __init__(self, release: Callable[[], None], /) -> None:
        self._release = release
        self._handles: set[asyncio.TimerHandle] = set()

    def __len__(self) -> int:
        return len(self._handles)

    def begin(self, seconds: float, /) -> None:
        """Let one more reader rest."""

        def end() -> None:
            self._handles.discard(handle)
            self._release()

        handle = asyncio.get_running_loop().call_later(seconds, end)
        self._handles.add(handle)

    def end_all(self) -> None:
        while self._handles:
            self._handles.pop().cancel()
            self._release()
