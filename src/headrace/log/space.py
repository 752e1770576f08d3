"""Returns the disk space of trimmed entries. SQLite keeps free pages in its file unless told otherwise.

Source: https://www.sqlite.org/pragma.html#pragma_incremental_vacuum
"""

import sqlite3
from contextlib import suppress

from headrace.log.chunks import INCREMENTAL

_PAGES_AT_ONCE = 1024  # of 4 KiB
_A_FEW_PAGES = 128  # moved pages need room in the write-ahead file
_MANY_FREE_PAGES = 16_384
_CHEAPLY_COPIED_BYTES = 16 * 1024 * 1024


def let_shrink(connection: sqlite3.Connection, /) -> None:
    """Let a file from an older version return free pages from now on, if it is small enough to be copied at once."""
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0]:
        return
    if connection.execute("SELECT coalesce(sum(bytes), 0) FROM chunks").fetchone()[0] <= _CHEAPLY_COPIED_BYTES:
        with suppress(sqlite3.OperationalError):  # no room for the copy, or another process has the file open
            connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
            connection.execute("VACUUM")


def give_back_a_little(connection: sqlite3.Connection, /) -> bool:
    """Shorten the file by some free pages, which needs little room. Returns whether there are more. Raises sqlite3.Error."""
    empty_write_ahead(connection)
    if not _free_pages(connection):
        return False
    _shrink(connection, _A_FEW_PAGES)
    empty_write_ahead(connection)  # only this makes the file shorter
    return _free_pages(connection) > 0


def give_back_if_much(connection: sqlite3.Connection, /) -> bool:
    """Free some pages if most of a large file is free: appends would not use them soon. Raises sqlite3.Error."""
    free = _free_pages(connection)
    [(pages,)] = connection.execute("PRAGMA page_count")
    if free <= _MANY_FREE_PAGES or free * 2 <= pages:
        return False
    _shrink(connection, _PAGES_AT_ONCE)
    return True


def _shrink(connection: sqlite3.Connection, pages: int) -> None:
    # As a script: `execute` would stop after one page, because this statement returns no rows to step through.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")


def _free_pages(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA freelist_count").fetchone()[0]


def empty_write_ahead(connection: sqlite3.Connection, /) -> bool:
    """Move the write-ahead file's contents into the database. Returns whether nothing is left in it: no reader was in the way."""
    return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
