"""Reports tolerated problems in events to the operator: always as a metric, now and then in the log."""

import time
from collections.abc import Callable, Sequence

import structlog

from headrace.http.metrics import Metrics
from headrace.model.event import Tenant

_log = structlog.get_logger("headrace.http")
_EVERY_S = 60.0
_MAX_SENDERS = 1000


class Warned:
    """For the event loop's thread. A client with a wrong format sends it all day, so the log gets one line a minute."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._logged: dict[tuple[Tenant, str], float] = {}

    def tell(self, tenant: Tenant, source: str, warnings: Sequence[str], /) -> None:
        self._metrics.count_warnings(source, len(warnings))
        sender, now = (tenant, source), self._clock()
        if now - self._logged.get(sender, -_EVERY_S) < _EVERY_S:
            return
        if len(self._logged) >= _MAX_SENDERS:
            self._logged.clear()
        self._logged[sender] = now
        _log.warning(
            "events_taken_with_warnings",
            project=tenant.project,
            mode=tenant.mode,
            source=source,
            events=len(warnings),
            first=warnings[0],
        )
