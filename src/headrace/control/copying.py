"""Copies every row of a control database into another one, whichever of the two databases each is. Knows no files of backups.

Both have the same tables, so a copy of PostgreSQL is a SQLite file, and a copy of that fits into an empty PostgreSQL.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from headrace.control.database import failed, open_database, reading, writing
from headrace.control.tables import metadata
from headrace.control.tables.console import instance
from headrace.control.tables.positions import leases
from headrace.model.errors import SettingsError

_NOT_DATA = (instance, leases)  # the second has a row once a server has tried to start
_AT_ONCE = 1_000  # rows; between two lots PostgreSQL waits, and ends a transaction that is idle for ten seconds


def copy_to_file(engine: sa.Engine, path: Path, /) -> None:
    """Copy a database, as it is at one moment, into a new SQLite file. Others may write to it meanwhile.

    On PostgreSQL the moment is that of the first statement (REPEATABLE READ); see
    https://www.postgresql.org/docs/18/transaction-iso.html#XACT-REPEATABLE-READ. Raises ControlFailed.
    """
    with _opened(path) as target:
        copy_rows(engine, target)


def copy_from_file(path: Path, where: str | Path, /, *, replaces: bool = False) -> None:
    """Copy a file into the empty database at a path or URL, all or nothing. replaces: whatever is in it is removed.

    Raises SettingsError if it has a row, ControlFailed.
    """
    with _opened(where) as target, _opened(path) as source:
        copy_rows(source, target, replaces=replaces)


def require_empty(where: str | Path, /) -> None:
    """Raises SettingsError if a server has used the database, or if it cannot be opened."""
    with _opened(where) as engine, reading(engine) as connection:
        _require_empty(connection)


def is_empty(engine: sa.Engine, /) -> bool:
    """Whether no server has used an open database. Raises ControlFailed."""
    with reading(engine) as connection:
        return not _used_table(connection)


def sums(engine: sa.Engine, /) -> dict[str, tuple[int, int]]:
    """By table: how many rows it has, and a sum over all that is in them, in any order. Without leases. Raises ControlFailed."""
    with reading(engine) as connection:
        return {table.name: _sum(connection, table) for table in metadata.sorted_tables if table is not leases}


def _sum(connection: sa.Connection, table: sa.Table) -> tuple[int, int]:
    count = total = 0
    for rows in _lots(connection, table):
        count += len(rows)
        for row in rows:
            digest = blake2b(repr(tuple(row.values())).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            total = (total + int.from_bytes(digest)) % (1 << 64)
    return count, total


def copy_rows(source: sa.Engine, target: sa.Engine, /, *, replaces: bool = False) -> None:
    """Copy every row, as it is at one moment, in one transaction. Leases are copied as released: their holder is another server.
    The log that the source knows is not copied.

    replaces: see `copy_from_file`. Raises SettingsError unless the target is empty, ControlFailed.
    """
    with reading(source) as old, writing(target) as new:
        if replaces:
            for table in reversed(metadata.sorted_tables):
                new.execute(sa.delete(table))
        _require_empty(new)
        for table in _NOT_DATA:
            new.execute(sa.delete(table))
        for table in metadata.sorted_tables:
            for rows in _lots(old, table):
                new.execute(sa.insert(table), rows)
        new.execute(sa.update(leases).values(expires_at_ms=0))
        new.execute(sa.update(instance).values(log_id=None, log_at=None, log_of=None))  # see known_log.py
        for table in metadata.sorted_tables:
            if table.autoincrement_column is not None:
                _go_on_after(new, table, _last_number(old, table))


def _lots(connection: sa.Connection, table: sa.Table) -> Iterator[Sequence[dict[str, Any]]]:
    asked = sa.select(table).execution_options(yield_per=_AT_ONCE)  # a server-side cursor, where there is one
    for rows in connection.execute(asked).mappings().partitions():
        yield [dict(row) for row in rows]


def _require_empty(connection: sa.Connection) -> None:
    if table := _used_table(connection):
        shown = connection.engine.url.render_as_string(hide_password=True).replace("+psycopg://", "://")
        raise SettingsError(
            f"The control database {shown} is not empty (table {table}): "
            "create a new database, and name it with HEADRACE_CONTROL_URL."
        )


def _used_table(connection: sa.Connection) -> str:
    """A table with a row that neither a migration nor a server's start has put there, or ""."""
    for table in metadata.sorted_tables:
        if table not in _NOT_DATA and connection.scalar(sa.select(sa.literal(1)).select_from(table).limit(1)):
            return table.name
    return ""


def _last_number(connection: sa.Connection, table: sa.Table) -> int:
    """The last number that the database has assigned; it may assign more meanwhile. 0 for none."""
    column = table.autoincrement_column
    assert column is not None  # noqa: S101
    last = connection.scalar(sa.select(sa.func.max(column))) or 0
    if connection.dialect.name == "postgresql":
        sequence = connection.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name)))
        asked = sa.text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608  its own name
        return max(last, connection.scalar(asked) or 0)
    if not table.dialect_options["sqlite"]["autoincrement"]:
        return last  # SQLite itself goes on after the greatest that is there
    asked = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return max(last, connection.scalar(asked, {"name": table.name}) or 0)


def _go_on_after(connection: sa.Connection, table: sa.Table, last: int) -> None:
    column = table.autoincrement_column
    assert column is not None  # noqa: S101
    if connection.dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        connection.execute(sa.select(sa.func.setval(sequence, max(last, 1), last > 0)))
    elif table.dialect_options["sqlite"]["autoincrement"]:
        named = {"name": table.name, "last": last}
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), named)
        connection.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), named)


@contextmanager
def _opened(where: str | Path) -> Generator[sa.Engine]:
    engine = open_database(where)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise failed(error) from error
    finally:
        engine.dispose()
