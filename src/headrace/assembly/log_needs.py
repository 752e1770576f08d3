"""Who needs the log besides the store: reactions, and a backup that copies it."""

from collections.abc import Callable

from headrace.pipeline.reactor import Reactor


class LogNeeds:
    """Any thread may call it."""

    def __init__(self, reactor: Reactor, *, size_bytes: Callable[[], int], spare_bytes: int) -> None:
        """size_bytes: how large the log is. spare_bytes: beyond this, reactions read from the store what they still need."""
        self._reactor = reactor
        self._size_bytes = size_bytes
        self._spare_bytes = spare_bytes
        self._is_held = False

    def hold(self) -> None:
        """Let the log give up nothing, so that a copy of it has what the copy of control lacks."""
        self._is_held = True

    def release(self) -> None:
        self._is_held = False

    def upto(self) -> int:
        """The position up to which only the store needs the log. Raises Unavailable."""
        if self._size_bytes() > self._spare_bytes:
            self._reactor.release_log()
        return 0 if self._is_held else self._reactor.committed()
