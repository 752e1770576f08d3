"""Opens the control database and brings its schema up to date. Never looks into a table of ours."""

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from headrace.model.errors import SettingsError
from headrace.ports.control import ControlFailed

HEAD = "0007"  # the last file in migrations/versions: known here so that an open database costs no import of Alembic
BUSY_TIMEOUT_MS = 5000
_MIGRATION_LOCK = 0x6865616472616365  # PostgreSQL locks a number; this one is "headrace"
_WRITES = "headrace_writes"
_SELECT_VERSION = sa.select(sa.column("version_num", sa.String)).select_from(sa.table("alembic_version"))


def open_database(where: str | Path, /) -> sa.Engine:
    """The engine of the database at a path (SQLite) or a URL, its schema migrated to HEAD.

    A new SQLite file is readable by its owner alone, as is its folder when that is new too. Any number of processes may
    open the same new database at once: one migrates it, the others wait. The caller disposes of the engine.
    Raises SettingsError for a place that cannot be written, what is no database, and one newer than this program.
    """
    engine = _make_engine(where)
    shown = engine.url.render_as_string(hide_password=True).removeprefix("sqlite:///")
    if engine.dialect.name == "sqlite":
        _prepare_file(Path(engine.url.database or ""))
        _set_up_sqlite(engine)
    try:
        with engine.connect() as connection:
            version = _version(connection)
        if version != HEAD:
            _migrate(engine, shown)
    except SQLAlchemyError as error:
        engine.dispose()
        raise SettingsError(f"The control database {shown} cannot be opened: {_reason(error)}.") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: sa.Engine, /) -> Generator[sa.Connection]:
    """A connection to read from, in one snapshot. Raises ControlFailed."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise failed(error) from error


@contextmanager
def writing(engine: sa.Engine, /) -> Generator[sa.Connection]:
    """A transaction, committed on leaving and rolled back on an exception; it may read before it writes.

    On SQLite it takes its turn to write at the start. Raises ControlFailed when it is not known to be committed.
    """
    try:
        with _begin_write(engine) as connection:
            yield connection
    except SQLAlchemyError as error:
        raise failed(error) from error


def failed(error: SQLAlchemyError, /) -> ControlFailed:
    return ControlFailed(f"The control database failed: {_reason(error)}.")


def _begin_write(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    return engine.execution_options(**{_WRITES: True}).begin()


def _make_engine(where: str | Path) -> sa.Engine:
    if isinstance(where, Path) or "://" not in where:
        return sa.create_engine(URL.create("sqlite", database=str(where)))
    try:
        return sa.create_engine(where)
    except (SQLAlchemyError, ImportError, ValueError):
        # Without the error's own text: it quotes a malformed URL, password and all.
        raise SettingsError(
            "The control database's URL is malformed, or no driver for it is installed: "
            "write it as database+driver://user:password@host/name."
        ) from None


def _prepare_file(path: Path) -> None:
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


def _set_up_sqlite(engine: sa.Engine) -> None:
    """The one place that knows of SQLite: its settings for each connection, and how its transactions begin.

    Source: https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """

    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # begin no transaction unasked: `begin` below does
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    def begin(connection: sa.Connection) -> None:
        # A transaction that first reads and then writes fails at once, unasked to wait, if another wrote between
        # (SQLITE_BUSY_SNAPSHOT); so one that will write says so at its start.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)


def _use_wal(connection: sqlite3.Connection) -> None:
    # Of two processes that turn a new file to WAL at once, each holds a read lock and SQLite fails one without waiting.
    give_up_at = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.005)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(_SELECT_VERSION)


def _migrate(engine: sa.Engine, shown: str) -> None:
    with _begin_write(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        version = _version(connection)
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise SettingsError(
                f"The control database {shown} has schema {version}, newer than this headrace, which knows {HEAD}: "
                "run the headrace that made it, or a newer one."
            )
        from alembic import command  # noqa: PLC0415  0.2 s, and needed once in a database's life
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", "headrace.control:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _reason(error: SQLAlchemyError) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error)
