"""Summarizes events by user and by name."""

from collections.abc import Sequence

from headrace.model.event import Tenant
from headrace.model.filters import Observed
from headrace.store.engine import Engine
from headrace.store.queries import people as queries


class PersonReader:
    """Fits the PersonEvents port."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seen_by_id(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        """See the PersonEvents port."""
        return [Observed(*row) for row in self._engine.rows(queries.by_owner(tenant, ids))] if ids else []

    def seen_by_name(self, tenant: Tenant, ids: Sequence[str], limit: int, /) -> list[Observed]:
        """See the PersonEvents port."""
        return [Observed(*row) for row in self._engine.rows(queries.by_name(tenant, ids, limit))] if ids else []
