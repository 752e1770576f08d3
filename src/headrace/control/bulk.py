"""Writes many rows by one statement. SQLAlchemy prepares each row, which takes longer than SQLite takes to write it."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa


def execute_many(connection: sa.Connection, statement: sa.UpdateBase, rows: Sequence[dict[str, Any]], /) -> None:
    """Like `connection.execute(statement, rows)`, for rows that all have the same columns."""
    if not rows:
        return
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    if compiled.insert_prefetch or compiled.update_prefetch:
        connection.execute(statement, rows)  # columns with a default of Python's
        return
    names = compiled.positiontup
    # Nothing public of SQLAlchemy tells how values are converted.
    ways: dict[str, Any] = dict(compiled._bind_processors)  # pyright: ignore[reportPrivateUsage]
    if convert := {name: way for name, way in ways.items() if name in rows[0]}:
        rows = [row | {name: way(row[name]) for name, way in convert.items()} for row in rows]
    if names is None:
        connection.exec_driver_sql(str(compiled), list(rows))
    elif len(names) == 1:
        connection.exec_driver_sql(str(compiled), [(row[names[0]],) for row in rows])
    else:
        connection.exec_driver_sql(str(compiled), list(map(itemgetter(*names), rows)))
