"""Whether the current request accepts a stale answer, and whether it has got one.

Nobody accepts any unless the setting `stale_reads` is on; then `http/stale.py` lets queries accept them, and says so in replies.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from headrace.model.errors import Unavailable


class StaleRead:
    """What is known of the answer to one request. Its threads may share it.

    complete_until_ms: everything received before this time is in the answer, in milliseconds since 1970; None if the answer is
    fresh.
    """

    def __init__(self) -> None:
        self.complete_until_ms: int | None = None

    @property
    def is_stale(self) -> bool:
        return self.complete_until_ms is not None

    def mark(self, complete_until_ms: int, /) -> None:
        """Part of the answer may lack what was received since that time."""
        before = self.complete_until_ms
        self.complete_until_ms = complete_until_ms if before is None else min(before, complete_until_ms)


_accepted: ContextVar[StaleRead | None] = ContextVar("stale_read", default=None)


@contextmanager
def accepting_stale_reads() -> Generator[StaleRead]:
    """Within it, whatever is asked may be answered stale. Returns what then tells whether it was."""
    read = StaleRead()
    token = _accepted.set(read)
    try:
        yield read
    finally:
        _accepted.reset(token)


def stale_read() -> StaleRead | None:
    """What the current request has read; None if it accepts no stale answer."""
    return _accepted.get()


def mark_like(read: StaleRead | None, /) -> None:
    """The current request is answered with what another one has read.

    Raises Unavailable if that is stale, and this request does not accept it.
    """
    if read is None or read.complete_until_ms is None:
        return
    own = stale_read()
    if own is None:
        raise Unavailable("The log is not responding.", retry_after_s=5)
    own.mark(read.complete_until_ms)
