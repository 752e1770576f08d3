"""The records that the worker stored last: the reactor reads them here instead of a second time from the log."""

from collections import deque
from collections.abc import Sequence

from headrace.model.entries import Record

_KEPT = 2  # a portion the reactor is about to read, and the next one


class RecentRecords:
    """Safe for one thread that puts and another that takes. What does not fit is dropped: the log has it."""

    def __init__(self) -> None:
        self._portions: deque[tuple[int, Sequence[Record]]] = deque(maxlen=_KEPT)

    def put(self, after: int, records: Sequence[Record], /) -> None:
        """records: everything that the log has from the position `after` up to the last of them."""
        self._portions.append((after, records))

    def take(self, after: int, /) -> Sequence[Record]:
        """The portion that follows a position, which is then forgotten, as are older ones; empty if it is not here."""
        while self._portions:
            try:
                first, records = self._portions.popleft()
            except IndexError:  # the other thread has just replaced it
                return ()
            if first == after:
                return records
        return ()

    def clear(self) -> None:
        """Forget all of them: nobody is going to read them."""
        self._portions.clear()
