"""Opens the control database, SQLite or PostgreSQL, and brings its schema up to date.

Of the tables it knows the audit's, as a transaction that does what is audited also records it, and that a new database has an id.
"""

import random
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from headrace.control.deeds import record
from headrace.control.postgres import open_server, require_usable, was_undone_for_another
from headrace.control.sqlite import WRITES, is_full, open_file, reuse_write_ahead
from headrace.model.audit import deed_to_record
from headrace.model.errors import SettingsError
from headrace.ports.control import ControlConflict, ControlFailed

HEAD = "0027"  # the last file in migrations/versions: known here so that an open database costs no import of Alembic
_MIGRATION_LOCK = 0x6865616472616365  # PostgreSQL locks a number; this one is "headrace"
_SELECT_VERSION = sa.select(sa.column("version_num", sa.String)).select_from(sa.table("alembic_version"))
_MOST_ATTEMPTS = 5  # attempts at a transaction that conflicts with others
_LONGEST_PAUSE_S = 0.05
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
T = TypeVar("T")


def open_database(where: str | Path, /) -> sa.Engine:
    """The engine of the database at a path (SQLite) or a URL, with its schema migrated to HEAD.

    A new SQLite file is readable only by its owner, and so is its folder if that is new. Any number of processes may open the
    same new database at once: one migrates it, and the others wait. The caller disposes of the engine.
    Raises SettingsError if the path cannot be written, is not a database, the server is unsuitable, or the schema is newer than
    this program.
    """
    engine = _make_engine(where)
    shown = _shown(engine)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                require_usable(connection, shown)
            version = _version(connection)
        if version != HEAD:
            _migrate(engine, shown)
            if engine.dialect.name == "sqlite":
                reuse_write_ahead(engine)  # while the file has room for its pages
    except SQLAlchemyError as error:
        engine.dispose()
        remedy = f" {_remedy(_reason(error))}" if engine.dialect.name == "postgresql" else ""
        raise SettingsError(f"The control database {shown} cannot be opened: {_reason(error)}.{remedy}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def inspect_database(where: str | Path, /) -> str:
    """Why `open_database` would fail, or "". A file that does not exist yet is fine. Changes nothing."""
    if isinstance(where, Path):
        if not where.exists():
            return ""
        engine = sa.create_engine(f"sqlite:///file:{quote(str(where.absolute()))}?mode=ro&uri=true")
    else:
        engine = _make_engine(where)
    shown = _shown(engine)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                require_usable(connection, shown)
            version = _version(connection)
    except SQLAlchemyError as error:
        return f"The control database {shown} cannot be opened: {_reason(error)}."
    except SettingsError as error:
        return str(error)
    finally:
        engine.dispose()
    return _too_new(shown, version) if version is not None and version > HEAD else ""


@contextmanager
def reading(engine: sa.Engine, /) -> Generator[sa.Connection]:
    """A connection to read from, in one snapshot. Raises ControlFailed."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise failed(error) from error


@contextmanager
def writing(engine: sa.Engine, /) -> Generator[sa.Connection]:
    """A transaction, committed on leaving and rolled back on an exception. It may read before it writes.

    On SQLite it waits for its turn to write at the start, so it is alone. On PostgreSQL others run concurrently: it must lock the
    rows that it bases a decision on, in the order that locks.py states. Raises ControlFailed if it is unknown whether it was
    committed, and ControlConflict if it was rolled back because of another.
    """
    try:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise failed(error) from error


def transact(engine: sa.Engine, work: Callable[[sa.Connection], T], /) -> T:
    """Run `work` in a transaction like `writing`'s, and return its result. After a ControlConflict, it is retried a few times.

    What it does is audited in the same transaction if it is done for an audited request or command (model/audit.py).
    On a full disk, it is retried once SQLite's write-ahead file, which never becomes shorter, has room in it.
    """
    deed = deed_to_record()
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        try:
            with writing(engine) as connection:
                done = work(connection)
                number = None if deed is None else record(connection, deed, "done")
            if deed is not None:
                deed.number = number
            return done
        except ControlConflict:
            if attempt == _MOST_ATTEMPTS:
                raise
        except ControlFailed as error:
            if attempt > 1 or not is_full(error.__cause__) or not reuse_write_ahead(engine):
                raise
        time.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311  so that two do not meet again at once
    raise AssertionError


def failed(error: SQLAlchemyError, /) -> ControlFailed:
    """The exception to raise for an error of the database."""
    undone = isinstance(error, DBAPIError) and was_undone_for_another(error)
    return (ControlConflict if undone else ControlFailed)(f"The control database failed: {_reason(error)}.")


def insert(connection: sa.Connection, table: sa.Table, /) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that supports ON CONFLICT, which SQLAlchemy offers separately for each database."""
    return (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)


def database_time_ms(connection: sa.Connection, /) -> sa.ColumnElement[int]:
    """The database's current time, in milliseconds since 1970: one clock for all processes. Not the transaction's start."""
    if connection.dialect.name == "sqlite":
        return sa.cast((sa.func.julianday("now") - 2440587.5) * 86_400_000, sa.BigInteger)
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)


def _make_engine(where: str | Path) -> sa.Engine:
    if isinstance(where, Path) or "://" not in where:
        return open_file(Path(where))
    try:
        url = make_url(where)
        if url.drivername in _POSTGRES and url.database and (url.host or "host" in url.query):
            return open_server(url)
        if url.drivername in ("sqlite", "sqlite+pysqlite") and url.database:
            return open_file(Path(url.database))
    except ImportError:
        raise SettingsError(
            "HEADRACE_CONTROL_URL: The driver for PostgreSQL is missing: pip install 'headrace[postgres]'."
        ) from None
    except (SQLAlchemyError, ValueError):
        pass
    # Without the error's own text: it quotes a malformed URL, password and all.
    raise SettingsError(
        "The control database's URL is malformed: write it as postgresql://user:password@host:5432/database."
    ) from None


def _shown(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=True).removeprefix("sqlite:///").replace("+psycopg://", "://")


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(_SELECT_VERSION)


def _migrate(engine: sa.Engine, shown: str) -> None:
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SET LOCAL lock_timeout = 0"))  # another process may migrate for a while
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        version = _version(connection)
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise SettingsError(_too_new(shown, version))
        if connection.dialect.name == "sqlite" and not sa.inspect(connection).get_table_names():
            _make(connection)
            return
        from alembic import command  # noqa: PLC0415  0.2 s, and needed once in a database's life
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", "headrace.control:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _make(connection: sa.Connection) -> None:
    """Make in an empty SQLite database what all the migrations make, in a tenth of the time and without Alembic."""
    statements = (resources.files("headrace.control") / "migrations" / "newest.sql").read_text()
    for statement in statements.split(";\n"):
        connection.exec_driver_sql(statement)
    connection.execute(sa.insert(sa.table("instance", sa.column("id"))).values(id=secrets.token_hex(4)))


def _too_new(shown: str, version: str) -> str:
    return (
        f"The control database {shown} has schema {version}, newer than this headrace, which knows {HEAD}: "
        "run the headrace that made it, or a newer one."
    )


def _remedy(reason: str) -> str:
    """For a server that cannot be opened. A connection that is refused has an error's text, and no code."""
    if "too many" in reason:  # clients, or connections for a role or a database
        return (
            "The server that HEADRACE_CONTROL_URL names has no connection left: each process takes up to 15. Run fewer, or raise "
            "its `max_connections`, or the role's or database's CONNECTION LIMIT."
        )
    return "Check HEADRACE_CONTROL_URL."


def _reason(error: SQLAlchemyError) -> str:
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
