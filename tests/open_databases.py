"""Which SQLite databases a process has open: Python 3.13 warns of each that is collected unclosed, in whichever test the collector runs."""

import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

_open: dict[int, tuple[Any, str]] = {}  # with the connection, so that no other gets its id


def watch() -> None:
    """Know of what is opened from now on."""
    event.listen(Pool, "connect", _opened)
    event.listen(Pool, "close", _closed)


def open_databases() -> set[str]:
    """The files that are open; "" for one in memory."""
    return {path for _, path in _open.values()}


def _opened(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        [(_, _, path), *_] = connection.execute("PRAGMA database_list").fetchall()
        _open[id(connection)] = (connection, path)


def _closed(connection: Any, _record: object) -> None:
    _open.pop(id(connection), None)
