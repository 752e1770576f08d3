"""The list of the log's entries that were put aside because they cannot be read. Reads and stores none of them itself."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.tables.quarantine import quarantine
from headrace.model.entries import ErasedEvent
from headrace.model.quarantine import Quarantined

_AT_ONCE = 1000  # rows per transaction, and per page
_COLUMNS = [quarantine.c[name] for name in Quarantined.__struct_fields__]


class ControlQuarantine:
    """Fits the Quarantine port. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, entries: Sequence[Quarantined], /) -> int:
        """See the PutAside port."""
        new = 0
        for start in range(0, len(entries), _AT_ONCE):
            some = entries[start : start + _AT_ONCE]
            new += transact(self._engine, lambda connection, some=some: _add(connection, some))
        return new

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """See the PutAside port."""
        place = quarantine.c.position
        query = sa.select(place, quarantine.c.tail, quarantine.c.key).where(place <= upto, quarantine.c.kind == 0)
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(query.where(place > after).order_by(place).limit(_AT_ONCE))
                page = [ErasedEvent(*row) for row in rows]
            if not page:
                return
            yield page
            after = page[-1].position

    def last(self, after: int, /) -> int:
        """See the PutAside port."""
        with reading(self._engine) as connection:
            return max(after, connection.scalar(sa.select(sa.func.max(quarantine.c.position))) or 0)

    def listed(self, after: int, limit: int, /) -> list[Quarantined]:
        """See the Quarantine port."""
        query = _put_aside().where(quarantine.c.position > after)
        with reading(self._engine) as connection:
            return [Quarantined(*row) for row in connection.execute(query.limit(limit))]

    def find(self, positions: Sequence[int], /) -> list[Quarantined]:
        """See the Quarantine port."""
        with reading(self._engine) as connection:
            return [
                Quarantined(*row)
                for some in _in_order(positions)
                for row in connection.execute(_put_aside().where(quarantine.c.position.in_(some)))
            ]

    def drop(self, positions: Sequence[int], now_ms: int, /) -> None:
        """See the Quarantine port."""
        gone = sa.update(quarantine).values(payload=b"", key=b"", dropped_at_ms=now_ms)
        self._write(gone.where(quarantine.c.dropped_at_ms.is_(None)), positions)

    def remove(self, positions: Sequence[int], /) -> None:
        """See the Quarantine port."""
        self._write(sa.delete(quarantine), positions)

    def count(self) -> int:
        """See the Quarantine port."""
        query = sa.select(sa.func.count()).where(quarantine.c.dropped_at_ms.is_(None))
        with reading(self._engine) as connection:
            return connection.scalar(query) or 0

    def _write(self, change: sa.Update | sa.Delete, positions: Sequence[int]) -> None:
        for some in _in_order(positions):
            where = change.where(quarantine.c.position.in_(some))
            transact(self._engine, lambda connection, where=where: connection.execute(where))


def _put_aside() -> sa.Select[tuple[object, ...]]:
    return sa.select(*_COLUMNS).where(quarantine.c.dropped_at_ms.is_(None)).order_by(quarantine.c.position)


def _in_order(positions: Sequence[int]) -> list[list[int]]:
    """Slices in one global order, so that two concurrent transactions cannot deadlock."""
    ordered = sorted(positions)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]


def _add(connection: sa.Connection, entries: Sequence[Quarantined]) -> int:
    """Returns how many of them are new."""
    places = [each.position for each in entries]
    known = set(connection.scalars(sa.select(quarantine.c.position).where(quarantine.c.position.in_(places))))
    rows = [
        {name: getattr(each, name) for name in Quarantined.__struct_fields__}
        for each in sorted(entries, key=lambda each: each.position)
        if each.position not in known
    ]
    if rows:
        connection.execute(insert(connection, quarantine).on_conflict_do_nothing(), rows)
    return len(rows)
