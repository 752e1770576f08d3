"""Answers the worker and the commands of operators: which events the store has, of every tenant.

Its answers must never reach a client.
"""

from collections.abc import Sequence

import msgspec

from headrace.model.entries import Keyed
from headrace.model.event import Tenant, event_id, position_of
from headrace.store.engine import Engine
from headrace.store.keyed import keyed_in
from headrace.store.queries import upkeep as queries
from headrace.store.queries.conditions import Query

_POSITIONS_AT_ONCE = 1000


class UpkeepReader:
    """What the Store, ErasableStore, AgingStore and OwnedEvents ports ask. Every method raises StoreFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def present(self, after: int, upto: int, /) -> set[str]:
        """See the Store port."""
        return set(map(_id, self._engine.tell(queries.present(after, upto)).splitlines()))

    def last(self, after: int, /) -> int:
        """See the Store port."""
        return max(after, int(self._engine.tell(queries.last(after))))

    def held(self, after: int, upto: int, /) -> int:
        """See the Store port."""
        return int(self._engine.tell(queries.held(after, upto)))

    def held_of(self, partition: int, after: int, upto: int, /) -> int:
        """As `held`, of the events of one of the log's partitions."""
        return int(self._engine.tell(queries.held_of(partition, after, upto)))

    def damaged(self) -> list[str]:
        """See the Store port."""
        parts = (
            row.split("\t", 2)
            for row in self._engine.tell(queries.sound_parts(self._engine.place)).decode().splitlines()
        )
        return [f"The store's part {name} cannot be read: {message}" for name, sound, message in parts if sound != "1"]

    def keyed(self, after: int, upto: int, /, limit: int) -> list[Keyed]:
        """The newest `limit` events with a dedup key between two positions. Raises StoreFailed."""
        return self._keyed(queries.keyed(after, upto, limit))

    def keyed_at(self, positions: Sequence[int], /) -> list[Keyed]:
        """The events at some thousand positions, whether or not they have a dedup key. Raises StoreFailed."""
        return [
            row
            for start in range(0, len(positions), _POSITIONS_AT_ONCE)
            for row in self._keyed(queries.keyed_at(positions[start : start + _POSITIONS_AT_ONCE]))
        ]

    def owned(self, tenant: Tenant, ids: Sequence[str], after: int, upto: int, limit: int, /) -> list[Keyed]:
        """So many of the tenant's events of some owners with `after` < position <= `upto`, oldest first. Raises StoreFailed."""
        return self._keyed(queries.owned(tenant, ids, after, upto, limit))

    def marked(self, tenant: Tenant, space: str, marks: Sequence[str], chars: int, /) -> set[str]:
        """The owners of the tenant's events whose mark is among some; see `model.erasure.mark_of`. Raises StoreFailed."""
        lines = self._engine.tell(queries.marked(tenant, space, marks, chars), "JSONCompactEachRow").splitlines()
        return {owner for line in lines for owner in msgspec.json.decode(line, type=tuple[str])}

    def old(self, tenant: Tenant, before_ms: int, after: int, upto: int, /) -> int:
        """See the AgingStore port."""
        return int(self._engine.tell(queries.old(tenant, before_ms, after, upto)))

    def stored(self, ids: Sequence[str], /) -> set[str]:
        """See the ErasableStore port."""
        positions = list(map(position_of, ids))
        answers = [
            self._engine.tell(queries.stored_at(positions[start : start + _POSITIONS_AT_ONCE]))
            for start in range(0, len(positions), _POSITIONS_AT_ONCE)
        ]
        return {_id(row) for answer in answers for row in answer.splitlines()}.intersection(ids)

    def _keyed(self, query: Query) -> list[Keyed]:
        return list(map(keyed_in, self._engine.tell(query, "JSONCompactEachRow").splitlines()))


def _id(row: bytes) -> str:
    position, tail = row.split(b"\t")
    return event_id(int(position), int(tail))
