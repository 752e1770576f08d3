"""Leaderboards: ranks, pages and neighbours over any rows that have names and scores. Knows no table."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from headrace.model.scores import Board, Ranked


class BoardRows:
    """Rows with a column `name` and columns to rank them by, greatest first, then by name.

    Equal scores share a rank, and the next rank skips: 1, 2, 2, 4.
    """

    def __init__(self, connection: sa.Connection, rows: sa.Subquery, scores: Sequence[str]) -> None:
        self._connection = connection
        self._rows = rows
        self._scores = [rows.c[name] for name in scores]

    def page(self, limit: int, offset: int) -> Board:
        """Up to `limit` rows from an offset on."""
        total = self._connection.scalar(sa.select(sa.func.count()).select_from(self._rows)) or 0
        order = [*(score.desc() for score in self._scores), self._rows.c.name]
        found = self._connection.execute(sa.select(self._rows).order_by(*order).limit(limit).offset(offset)).all()
        rows: list[Ranked] = []
        before: list[Any] | None = None
        rank = 0
        for place, row in enumerate(found, offset + 1):
            scores = self._scores_of(row)
            if before is None:
                rank = 1 + self._count(self._is_better(scores))
            elif scores != before:
                rank = place
            before = scores
            rows.append(Ranked(rank, row.name, dict(row._mapping)))  # pyright: ignore[reportPrivateUsage]
        return Board(rows, total, offset)

    def around(self, name: str, limit: int) -> Board | None:
        """The page with this row in its middle, as far as there are rows; None if there is no such row."""
        own = self._connection.execute(sa.select(self._rows).where(self._rows.c.name == name)).first()
        if own is None:
            return None
        scores = self._scores_of(own)
        is_equal = sa.and_(*(column == value for column, value in zip(self._scores, scores, strict=True)))
        before = self._count(sa.or_(self._is_better(scores), sa.and_(is_equal, self._rows.c.name < name)))
        return self.page(limit, max(0, before - limit // 2))

    def _scores_of(self, row: sa.Row[Any]) -> list[Any]:
        return [getattr(row, score.name) for score in self._scores]

    def _is_better(self, scores: Sequence[Any]) -> sa.ColumnElement[bool]:
        ways: list[sa.ColumnElement[bool]] = []
        equal: list[sa.ColumnElement[bool]] = []
        for column, value in zip(self._scores, scores, strict=True):
            ways.append(sa.and_(*equal, column > value))
            equal.append(column == value)
        return sa.or_(*ways)

    def _count(self, condition: sa.ColumnElement[bool]) -> int:
        return self._connection.scalar(sa.select(sa.func.count()).select_from(self._rows).where(condition)) or 0
