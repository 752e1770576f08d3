"""The audit: who did what with admin keys and commands. Every method raises ControlFailed."""

from typing import Protocol

from headrace.model.audit import AuditFilters, Deed, Entry, Outcome
from headrace.model.event import Tenant


class Audit(Protocol):
    """Records what transactions of control do not record themselves (model/audit.py), and lists all of it."""

    def begin(self, deed: Deed, /) -> None:
        """Record a deed durably before it is tried, as begun; sets its number."""
        ...

    def end(self, deed: Deed, outcome: Outcome, /) -> None:
        """Record how a deed ended. One that a transaction recorded as done stays so: what it did is there."""
        ...

    def page(self, tenant: Tenant | None, filters: AuditFilters, before: int, limit: int, /) -> list[Entry]:
        """The latest entries below a number, newest first.

        tenant: those of its project that concern its mode or both; None: everybody's.
        """
        ...

    def prune(self, before_ms: int, most: int, /) -> int:
        """Remove at most `most` entries from before a time. Returns how many were removed."""
        ...
