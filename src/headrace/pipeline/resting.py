"""Readers that rest after a query, because writes have to wait. For the event loop's thread."""

import asyncio
from collections.abc import Callable


class Resting:
    """`release`: called for each reader once its rest is over."""

    def __init__(self, release: Callable[[], None], /) -> None:
        self._release = release
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._begun = 0

    def __len__(self) -> int:
        return len(self._handles)

    def begin(self, seconds: float, /) -> None:
        """Let one more reader rest."""
        self._begun += 1
        self._handles[self._begun] = asyncio.get_running_loop().call_later(seconds, self._end, self._begun)

    def end_all(self) -> None:
        while self._handles:
            self._handles.popitem()[1].cancel()
            self._release()

    def _end(self, which: int) -> None:
        del self._handles[which]
        self._release()
