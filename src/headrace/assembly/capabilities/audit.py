"""The audit for those who talk to a server: records what their requests do, lists it, and prunes it. Errors come out as those
of `model.errors`.
"""

from collections.abc import Callable

import structlog

from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.clock import clock_ms
from headrace.model.audit import AuditFilters, Deed, Entry, Outcome
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.ports.audit import Audit

_log = structlog.get_logger("headrace.audit")


class AuditTrail:
    """The audit. See the Audit port."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self.now_ms: Callable[[], int] = clock_ms

    async def begin(self, deed: Deed, /) -> None:
        """Record a deed before it is tried. Raises Unavailable, and then it must not be tried."""
        await ask_control(lambda: self._audit.begin(deed))

    async def end(self, deed: Deed, outcome: Outcome, /) -> None:
        """Record how a deed ended. What has happened is answered for even if this fails, which is logged."""
        try:
            await ask_control(lambda: self._audit.end(deed, outcome))
        except Unavailable as error:
            _log.warning("audit_end_not_recorded", action=deed.action, outcome=outcome, problem=str(error))

    async def page(self, tenant: Tenant, filters: AuditFilters, before: int, limit: int, /) -> list[Entry]:
        """See the Audit port. Raises Unavailable."""
        return await ask_control(lambda: self._audit.page(tenant, filters, before, limit))
