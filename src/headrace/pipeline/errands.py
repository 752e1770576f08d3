"""Work that other threads have a loop's thread do, between two of its steps."""

import threading
from collections import deque
from collections.abc import Callable

from headrace.model.errors import Unavailable
from headrace.pipeline.loop import Loop

_LOOK_EVERY_S = 0.5


class _Errand:
    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.error: Exception | None = None
        self.done = threading.Event()


class Errands:
    """`run` is for any thread, `do` for the loop's step."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._asked: deque[_Errand] = deque()

    def __bool__(self) -> bool:
        """Whether any is waiting."""
        return bool(self._asked)

    def run(self, work: Callable[[], None], /) -> None:
        """Have the loop's thread do some work, and wait for it. If that thread is not running, do it here.

        Raises what the work raises, and Unavailable if the loop ends first.
        """
        if not self._loop.is_running:
            work()
            return
        errand = _Errand(work)
        self._asked.append(errand)
        self._loop.wake()
        while not errand.done.wait(_LOOK_EVERY_S):
            if not self._loop.is_running:
                raise Unavailable("The server is shutting down.")
        if errand.error is not None:
            raise errand.error

    def do(self) -> None:
        """Do what was asked for so far."""
        while self._asked:
            errand = self._asked.popleft()
            try:
                errand.work()
            except Exception as error:  # noqa: BLE001  it is raised where it was asked for
                errand.error = error
            errand.done.set()
