"""How long each project keeps its events. Everything raises ControlFailed."""

from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.retention import Retention


class Retentions(Protocol):
    """The settings, each of one project and mode."""

    def get(self, tenant: Tenant, /) -> Retention: ...

    def put(self, tenant: Tenant, keep_ms: int | None, now_ms: int, /) -> Retention:
        """Set it; None to keep events for ever. What is set already stays as it is."""
        ...

    def all(self) -> list[Retention]:
        """Those that are set."""
        ...

    def applied(self, tenant: Tenant, events: int, now_ms: int, /) -> None:
        """Note that it was applied, and how many events that has removed."""
        ...
