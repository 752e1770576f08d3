"""Knows up to where no event can say anything about people, so that a server to which none does reads nothing for them.

In memory alone: at the start any event up to the log's last may say something, and what does is reported before it is appended.
"""

import threading

from headrace.model.event import Tenant


class StatementWatch:
    """Any thread may call it."""

    def __init__(self, unsure_upto: int) -> None:
        """unsure_upto: up to this position any event may say something."""
        self._unsure_upto = self._latest = unsure_upto
        self._of_tenant: dict[Tenant, int] = {}
        self._in_flight = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Some events that may say something are about to be appended."""
        with self._lock:
            self._in_flight += 1

    def end(self, tenant: Tenant, position: int, /) -> None:
        """They stand at this position of the log, or before; or nobody knows where, and that is the log's last."""
        with self._lock:
            self._in_flight -= 1
            self._latest = max(self._latest, position)
            self._of_tenant[tenant] = max(self._of_tenant.get(tenant, 0), position)

    def is_quiet(self, after: int, /) -> bool:
        """Whether no event past a position says anything, of those that were in the log when this was called."""
        with self._lock:
            return not self._in_flight and self._latest <= after

    def latest(self, tenant: Tenant, /) -> int:
        """The position up to which the tenant's events may have said something."""
        return max(self._unsure_upto, self._of_tenant.get(tenant, 0))
