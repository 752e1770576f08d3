"""Intake: makes checked events durable. Groups waiting requests into one append; never queries, never stores.

Requests arrive on the event loop; one thread appends. The loop wakes it after reading everything that had arrived. While it
waits for the disk, more requests gather for the next append. So one sync serves many requests, and none waits for a timer.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog

from headrace.model.batch import Item
from headrace.model.entries import Entry, Receipt
from headrace.model.errors import HeadraceError, Unavailable
from headrace.model.event import encode
from headrace.model.repeats import dedup_key
from headrace.pipeline.loop import Loop
from headrace.ports.log import LogWriter

_log = structlog.get_logger("headrace.pipeline.intake")
_MANY = 2500


class _Request(msgspec.Struct, frozen=True):
    entries: list[Entry]
    bytes: int
    answer: "asyncio.Future[list[Receipt]]"
    since_s: float


class Intake:
    """`accept` is for the event loop's thread. After each append, the appending thread calls `on_append` with its entry count."""

    def __init__(
        self,
        log: LogWriter,
        *,
        max_queue_bytes: int,
        on_append: Callable[[int], None],
        elsewhere: Callable[[], str] = lambda: "",
        max_entries_per_append: int = 10_000,
        max_bytes_per_append: int = 16 * 1024 * 1024,
    ) -> None:
        """elsewhere: why nobody would store what is appended here, or ""; requests are refused then.
        max_entries_per_append, max_bytes_per_append: how much is grouped; a larger request is an append by itself."""
        self._log = log
        self._max_entries, self._max_bytes = max_entries_per_append, max_bytes_per_append
        self._max_queue_bytes = max_queue_bytes
        self._on_append = on_append
        self._elsewhere = elsewhere
        self._queue: deque[_Request] = deque()
        self._queued_bytes = 0
        self._telling = False
        self._longest_wait_s = 0.0
        self._closed = False
        self._lock = threading.Lock()
        self._loop = Loop("intake", self._step, drain=True)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Append what is waiting, then stop. Later requests are refused."""
        with self._lock:  # so that the loop's last step finds every accepted request
            self._closed = True
        self._loop.stop()

    async def accept(self, items: Sequence[Item], /) -> list[Receipt]:
        """Make events durable; one receipt each, in order.

        Raises Unavailable if they could not be made durable; then none of them counts as accepted.
        """
        if not items:
            return []
        self._require_readers()
        # A log shipper's batch has so many that encoding them at once would hold up every other request.
        entries = _entries(items) if len(items) <= _MANY else await asyncio.to_thread(_entries, items)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Receipt]] = loop.create_future()
        request = _Request(entries, sum(len(entry.payload) for entry in entries), answer, time.monotonic())
        with self._lock:
            if self._closed:
                raise Unavailable("The server is shutting down.")
            if self._queued_bytes + request.bytes > self._max_queue_bytes:
                raise Unavailable("Too many events are waiting for the log.")
            self._queue.append(request)
            self._queued_bytes += request.bytes
        if not self._telling:
            self._telling = True
            loop.call_soon(self._tell)
        return await answer

    async def accept_history(self, items: Sequence[Item], /) -> list[Receipt]:
        """As `accept`, for events whose ids shall say that they are history: see `model.event`.

        Each call is an append of its own, beside the queue, so a caller should make one at a time.
        """
        self._require_readers()
        if self._closed:
            raise Unavailable("The server is shutting down.")
        return await asyncio.to_thread(self._append_history, items)

    def _require_readers(self) -> None:
        if why := self._elsewhere():
            raise Unavailable(why, retry_after_s=5)

    def _append_history(self, items: Sequence[Item]) -> list[Receipt]:
        receipts = self._log.append(_entries(items), history=True)
        self._on_append(len(items))
        return receipts

    def _tell(self) -> None:
        self._telling = False
        self._loop.wake()

    def queued_bytes(self) -> int:
        return self._queued_bytes

    def longest_wait_s(self) -> float:
        """The longest that a request has waited to be durable and answered, since the last call; 0 if there was none."""
        longest, self._longest_wait_s = self._longest_wait_s, 0.0
        return longest

    def _step(self) -> bool:
        requests = self._take()
        if not requests:
            return False
        entries = [entry for request in requests for entry in request.entries]
        try:
            receipts = self._log.append(entries)
        except HeadraceError as error:
            self._deliver(requests, None, error)
        except Exception:  # noqa: BLE001  every waiting request must get an answer
            _log.exception("append_failed")
            self._deliver(requests, None, Unavailable("The log could not store the events."))
        else:
            self._on_append(len(entries))
            self._deliver(requests, receipts, None)
        return True

    def _deliver(self, requests: list[_Request], receipts: list[Receipt] | None, error: HeadraceError | None) -> None:
        """Answer all requests of an append in one wake-up of their event loop."""

        def answer() -> None:
            self._longest_wait_s = max(self._longest_wait_s, time.monotonic() - requests[0].since_s)
            start = 0
            for request in requests:
                end = start + len(request.entries)
                if request.answer.cancelled():  # the client went away, but its events are stored
                    pass
                elif receipts is None:
                    request.answer.set_exception(error or Unavailable())
                else:
                    request.answer.set_result(receipts[start:end])
                start = end

        requests[0].answer.get_loop().call_soon_threadsafe(answer)

    def _take(self) -> list[_Request]:
        """As many waiting requests as fit into one append, at least one; none if none are waiting."""
        with self._lock:
            taken: list[_Request] = []
            entries = size = 0
            while self._queue:
                entries += len(self._queue[0].entries)
                size += self._queue[0].bytes
                if taken and (entries > self._max_entries or size > self._max_bytes):
                    break
                taken.append(self._queue.popleft())
            self._queued_bytes -= sum(request.bytes for request in taken)
            return taken


def _entries(items: Sequence[Item]) -> list[Entry]:
    return [Entry(encode(item.event), dedup_key(item.event) if item.event.message_id else b"") for item in items]
