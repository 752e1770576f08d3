"""Which SQLite databases a process has open.

Python 3.13 warns of each that is collected unclosed, in whichever test the collector runs.
"""

import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

_opened: list[tuple[sqlite3.Connection, str]] = []


def watch() -> None:
    """Know of what is opened from now on."""
    event.listen(Pool, "connect", _keep)


def open_databases() -> set[str]:
    """The files that are open; "" for one in memory."""
    _opened[:] = [(connection, path) for connection, path in _opened if _is_open(connection)]
    return {path for _, path in _opened}


def _keep(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        [(_, _, path), *_] = connection.execute("PRAGMA database_list").fetchall()
        _opened.append((connection, path))


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return connection.total_changes >= 0
    except sqlite3.ProgrammingError:
        return False
