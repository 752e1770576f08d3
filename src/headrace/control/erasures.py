"""The list of events that were erased on purpose. Erases nothing itself."""

from collections.abc import Collection, Iterator, Sequence

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.tables.erasures import erased
from headrace.model.entries import ErasedEvent

_AT_ONCE = 10_000  # rows per transaction, and per page


class ControlErasedEvents:
    """Fits the ErasedEvents and ErasedKeys ports. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, events: Sequence[ErasedEvent], /) -> None:
        """See the ErasedEvents port."""
        ordered = sorted(
            events, key=lambda each: (each.position, each.tail)
        )  # so that two transactions cannot deadlock
        for start in range(0, len(ordered), _AT_ONCE):
            rows = [
                {"position": each.position, "tail": each.tail, "key": each.key}
                for each in ordered[start : start + _AT_ONCE]
            ]
            transact(
                self._engine,
                lambda connection, rows=rows: connection.execute(
                    insert(connection, erased).on_conflict_do_nothing(), rows
                ),
            )

    def count(self, after: int, upto: int, /) -> int:
        """See the ErasedEvents port."""
        with reading(self._engine) as connection:
            return connection.scalar(sa.select(sa.func.count()).where(*_between(after, upto))) or 0

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """See the ErasedEvents port."""
        place = sa.tuple_(erased.c.position, erased.c.tail)
        query = sa.select(erased.c.position, erased.c.tail, erased.c.key).where(*_between(after, upto))
        page: list[ErasedEvent] = []
        while not page or len(page) == _AT_ONCE:
            rest = query.where(place > sa.tuple_(page[-1].position, page[-1].tail)) if page else query
            with reading(self._engine) as connection:
                rows = connection.execute(rest.order_by(erased.c.position, erased.c.tail).limit(_AT_ONCE))
                page = [ErasedEvent(*row) for row in rows]
            if not page:
                return
            yield page

    def last(self, after: int, /) -> int:
        """See the ErasedEvents port."""
        with reading(self._engine) as connection:
            found = connection.scalar(sa.select(sa.func.max(erased.c.position)).where(erased.c.position > after))
        return after if found is None else found

    def with_keys(self, keys: Collection[bytes], /) -> set[bytes]:
        """See the ErasedKeys port."""
        wanted = [each for each in keys if each]
        found: set[bytes] = set()
        with reading(self._engine) as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                asked = sa.select(erased.c.key).where(erased.c.key.in_(wanted[start : start + _AT_ONCE]))
                found.update(bytes(each) for each in connection.scalars(asked))
        return found


def _between(after: int, upto: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return erased.c.position > after, erased.c.position <= upto
