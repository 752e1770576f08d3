"""Reads events for exports, in pieces, and finds those that an import brings again."""

from collections.abc import Sequence

from headrace.model.event import StoredEvent, Tenant
from headrace.model.exports import Place, Twins
from headrace.model.filters import Filters
from headrace.model.repeats import dedup_key
from headrace.store.engine import Engine
from headrace.store.keyed import keyed_in
from headrace.store.known_people import KnownPeople
from headrace.store.queries import exports as queries
from headrace.store.queries.conditions import Hot

_MOMENTS_AT_ONCE = 1000


class ExportReader:
    """Fits the Exports and the StoredTwins port."""

    def __init__(self, engine: Engine, people: KnownPeople, hot: Hot, /) -> None:
        self._engine = engine
        self._people = people
        self._hot = hot

    def left(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> int:
        """See the Exports port."""
        return self._engine.rows(queries.left(tenant, self._people.meant(tenant, filters), after, upto, self._hot))[0][
            0
        ]

    def places(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[Place]:
        """See the Exports port."""
        query = queries.places(tenant, self._people.meant(tenant, filters), after, upto, limit, self._hot)
        return [Place(position, tail) for position, tail in self._engine.rows(query)]

    def whole(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> list[StoredEvent]:
        """See the Exports port."""
        return self._engine.events(queries.whole(tenant, self._people.meant(tenant, filters), after, upto, self._hot))

    def columns(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> bytes:
        """See the Exports port."""
        query = queries.columns(tenant, self._people.meant(tenant, filters), after, upto, self._hot)
        return self._engine.ask(query, "ArrowStream")

    def twins(
        self, tenant: Tenant, moments: Sequence[tuple[str, int]], ids: Sequence[str], message_ids: Sequence[str], /
    ) -> Twins:
        """See the StoredTwins port."""
        found = [
            keyed_in(line)
            for start in range(0, len(moments), _MOMENTS_AT_ONCE)
            for line in self._engine.ask(
                queries.twins(tenant, moments[start : start + _MOMENTS_AT_ONCE], ids, message_ids), "JSONCompactEachRow"
            ).splitlines()
        ]
        keys = frozenset(dedup_key(each.event) for each in found if each.event.message_id)
        return Twins(frozenset(each.id for each in found), keys)
