"""How busy the server is: what a replay adapts its pace to, and what new columns wait for."""

from headrace.assembly.clock import clock_ms
from headrace.model.event import received_at_ms
from headrace.pipeline.queries import QuerySlots
from headrace.pipeline.shared_storing import AnyWorker
from headrace.ports.log import LogReader

_BEHIND_MS = 250
_QUIET_MS = 1000


class ServerLoad:
    """Any thread may ask."""

    def __init__(self, log: LogReader, worker: AnyWorker, queries: QuerySlots, flush_interval_ms: int) -> None:
        self._log = log
        self._worker = worker
        self._queries = queries
        self._flush_interval_ms = flush_interval_ms

    def is_quiet(self) -> bool:
        """Whether nobody has sent an event or run a query within the last second."""
        return clock_ms() - max(received_at_ms(self._log.last()), self._queries.asked_at_ms) > _QUIET_MS

    def is_worker_busy(self) -> bool:
        """Whether the worker is inserting events, or new ones have waited for it longer than a flush should take."""
        last, visible = self._log.last(), self._worker.progress.visible
        if last > visible and self._worker.progress.flushing:
            return True
        return last > visible and clock_ms() - received_at_ms(visible) > _BEHIND_MS + self._flush_interval_ms

    def is_pressed(self) -> bool:
        """Whether the worker is behind or busy, or queries wait or rest."""
        return self.is_worker_busy() or self._queries.waiting > 0 or self._queries.rest > 0
