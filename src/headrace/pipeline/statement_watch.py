"""Knows up to which position no event says anything about people, so that a server without such events reads nothing for them.

In memory only: at startup, any event up to the log's last may say something. Later ones are reported before they are appended.
"""

import threading

from headrace.model.event import Tenant


class StatementWatch:
    """Any thread may call it."""

    def __init__(self, unsure_upto: int) -> None:
        """unsure_upto: any event up to this position may say something."""
        self._unsure_upto = self._latest = unsure_upto
        self._of_tenant: dict[Tenant, int] = {}
        self._in_flight = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Note that events that may say something are about to be appended."""
        with self._lock:
            self._in_flight += 1

    def end(self, tenant: Tenant, position: int, /) -> None:
        """Note that those events are at or before this position, which is the log's last if theirs is unknown."""
        with self._lock:
            self._in_flight -= 1
            self._latest = max(self._latest, position)
            self._of_tenant[tenant] = max(self._of_tenant.get(tenant, 0), position)

    def is_quiet(self, after: int, /) -> bool:
        """Whether no event past a position says anything, among those that are in the log now."""
        with self._lock:
            return not self._in_flight and self._latest <= after

    def latest(self, tenant: Tenant, /) -> int:
        """The position up to which the tenant's events may have said something."""
        return max(self._unsure_upto, self._of_tenant.get(tenant, 0))
