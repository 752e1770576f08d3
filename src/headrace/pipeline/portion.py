"""How much the worker inserts at once: the maximum, or less if that does not fit on the disk."""

from collections.abc import Sequence

import structlog

from headrace.model.entries import Record
from headrace.ports.store import Store, StoreFailed, StoreRefused

_log = structlog.get_logger("headrace.pipeline.portion")
_FEWEST_EVENTS, _FEWEST_BYTES = 1, 64 * 1024
# What the system, SQLite and ClickHouse say about a full disk; the adapters pass their messages on.
_OUT_OF_ROOM = ("No space left on device", "disk is full", "NOT_ENOUGH_SPACE", "Disk quota exceeded")


def is_out_of_room(error: BaseException, /) -> bool:
    """Whether an error means that a disk is full."""
    return any(sign in str(error) for sign in _OUT_OF_ROOM)


class Portion:
    """For the worker's thread."""

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self._most = (most_events, most_bytes)
        self._now = self._most

    def size(self) -> tuple[int, int]:
        """How many events, and how many bytes, to read and insert next."""
        return self._now

    def insert(self, store: Store, records: Sequence[Record], /) -> None:
        """Insert records. After a failure, the next portion is half as large, down to one event; after a success, twice as large.

        So a nearly full disk still accepts a little. Raises StoreFailed.
        """
        try:
            store.insert(records)
        except StoreRefused:  # not for lack of room
            raise
        except StoreFailed:
            size = sum(len(record.payload) for record in records)
            self._now = max(_FEWEST_EVENTS, len(records) // 2), max(_FEWEST_BYTES, size // 2)
            _log.warning("portion_halved", events=self._now[0], bytes=self._now[1])
            raise
        if self._now != self._most:
            events, most_bytes = self._now
            self._now = min(events * 2, self._most[0]), min(most_bytes * 2, self._most[1])
