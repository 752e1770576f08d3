"""When timers of journeys are due, by tenant; and whether they are late."""

import threading
import time

import structlog

from headrace.model.event import Tenant

_log = structlog.get_logger("headrace.timers")
_LATE_MS = 5_000  # timers that are later than this are logged


class DueTimers:
    """When each tenant's first timer is due, or an earlier moment. Any thread may call it."""

    def __init__(self) -> None:
        self._first: dict[Tenant, int] = {}
        self._lock = threading.Lock()

    def note(self, tenant: Tenant, due_ms: int, /) -> bool:
        """A timer is due then. Returns whether none was known to be due as early."""
        with self._lock:
            known = self._first.get(tenant)
            if known is not None and known <= due_ms:
                return False
            self._first[tenant] = due_ms
            return True

    def first_ms(self) -> int | None:
        """When the first of all timers is due; None if there is none."""
        with self._lock:
            return min(self._first.values(), default=None)

    def by(self, now_ms: int, /) -> list[Tenant]:
        """The tenants whose timers are due by now, longest due first."""
        with self._lock:
            due = [(due_ms, each.project, each.mode, each) for each, due_ms in self._first.items() if due_ms <= now_ms]
        return [each for *_, each in sorted(due)]

    def take(self, tenant: Tenant, /) -> int | None:
        """Forget a tenant's moment, which is returned. What is noted from now on is not lost."""
        with self._lock:
            return self._first.pop(tenant, None)


class Lateness:
    """Logs when timers are late, and when that is over. For one thread."""

    def __init__(self) -> None:
        self._since = 0.0
        self._fired = 0

    def note(self, due_ms: int, now_ms: int, /) -> None:
        """A timer that was due then fires now."""
        if not self._since and now_ms - due_ms > _LATE_MS:
            self._since, self._fired = time.monotonic(), 0
            _log.warning("timers_catching_up", first_late_s=round((now_ms - due_ms) / 1000, 1))

    def count(self, fired: int, /) -> None:
        self._fired += fired

    def end(self) -> None:
        """No timer is due any more."""
        if self._since:
            _log.info("timers_caught_up", fired=self._fired, took_s=round(time.monotonic() - self._since, 3))
            self._since = 0.0
