"""Everything specific to SQLite: the file, the settings of each connection, and how transactions begin."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from headrace.model.errors import SettingsError
from headrace.ports.control import ControlFailed

BUSY_TIMEOUT_MS = 5000
WRITES = "headrace_writes"  # the execution option of a transaction that will write


def open_file(path: Path, /) -> sa.Engine:
    """The engine for a database file, which is created if missing. Raises SettingsError if it cannot be written."""
    _prepare(path)
    engine = sa.create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _connect)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # Only ever a new file: closing one that SQLite has open would drop SQLite's locks on it
            # (https://www.sqlite.org/howtocorrupt.html §2.2). SQLite gives the -wal and -shm files the same mode.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder", str(path)) from None
        if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK)):
            raise PermissionError(0, "this user cannot write it", str(path))
    except OSError as error:
        raise SettingsError(
            f"The control database {path} cannot be opened: {error.strerror}: {error.filename}. "
            "Set HEADRACE_DATA or --data to a folder that this user can write."
        ) from error


# Source: https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
def _connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # begin no transaction implicitly: `_begin` does
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()  # nobody else would: the pool does not have it yet
        raise


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and then writes fails immediately, without waiting, if another wrote in between
    # (SQLITE_BUSY_SNAPSHOT). So a transaction that will write says so at its start.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(connection: sqlite3.Connection) -> None:
    # If two processes switch a new file to WAL at once, each holds a read lock, and SQLite fails one of them without waiting.
    give_up_at = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.005)


def is_full(error: BaseException | None, /) -> bool:
    """Whether an error means that the disk is full."""
    original = getattr(error, "orig", None)
    return isinstance(original, sqlite3.Error) and original.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL


def rewrite_file(engine: sa.Engine, /) -> None:
    """Write the whole file anew, so that neither it nor the write-ahead file holds anything that was deleted.

    Reads go on meanwhile, and writes wait: about a second for 100 MB. Raises ControlFailed, also while somebody who reads keeps
    the write-ahead file from being emptied.
    """
    try:
        with closing(engine.raw_connection()) as borrowed:  # SQLAlchemy's own would have begun a transaction
            connection = cast("sqlite3.Connection", borrowed.driver_connection)
            connection.execute("VACUUM")
            give_up_at = time.monotonic() + BUSY_TIMEOUT_MS / 1000
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up_at:
                    raise ControlFailed(
                        "The control database's write-ahead file cannot be emptied: a reader is using it."
                    )
                time.sleep(0.05)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise ControlFailed(f"The control database cannot be rewritten: {error}.") from error


def reuse_write_ahead(engine: sa.Engine, /) -> bool:
    """Move the write-ahead file's contents into the database, so that the next transaction reuses the file. Returns whether it
    worked.

    So small transactions, such as revoking a key, work on a full disk.
    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").one()[0] == 0
    except SQLAlchemyError:
        return False
