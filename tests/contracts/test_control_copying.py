"""A copy of a control database, whichever of the two it is, into either: every row, as it was at one moment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from headrace.assembly.clock import clock_ms
from headrace.control import copying
from headrace.control.api_keys import Keys
from headrace.control.copying import copy_from_file, copy_rows, copy_to_file, require_empty
from headrace.control.database import open_database, reading, writing
from headrace.control.tables import metadata
from headrace.control.tables.console import instance
from headrace.control.tables.deliveries import webhooks
from headrace.control.tables.positions import leases
from headrace.control.tables.projects import projects
from headrace.model.errors import SettingsError

ROWS = 3


def fill(engine: sa.Engine) -> None:
    """Rows in every table, with what is awkward to carry over."""
    with writing(engine) as connection:
        for table in metadata.sorted_tables:
            if table is not instance:
                connection.execute(sa.insert(table), [_row(table, number) for number in range(1, ROWS + 1)])


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: sa.Column[Any], number: int) -> Any:
    if column.foreign_keys:
        [key] = column.foreign_keys
        column = key.column
    kind = column.type.python_type
    if kind is bool:
        return number % 2 == 0
    if kind is bytes:
        return bytes([0, number, 255])
    if kind is float:
        return number + 0.1
    if kind is int:
        return (
            number
            if isinstance(column.type, sa.Integer) and not isinstance(column.type, sa.BigInteger)
            else number << 40
        )
    return f"é\x00\x01{column.name[:5]}{number}"


def rows_of(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    with reading(engine) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in metadata.sorted_tables
        }


@pytest.fixture
def opened() -> Iterator[Callable[[str | Path], sa.Engine]]:
    engines: list[sa.Engine] = []

    def open_it(where: str | Path) -> sa.Engine:
        engines.append(open_database(where))
        return engines[-1]

    yield open_it
    for engine in engines:
        engine.dispose()


def test_a_copy_and_a_copy_of_it_have_every_row_and_no_lease_that_is_held(
    engine: sa.Engine, empty_url: str, tmp_path: Path, opened: Callable[[str | Path], sa.Engine]
) -> None:
    fill(engine)
    copy_to_file(engine, tmp_path / "copy.sqlite")
    copy_from_file(tmp_path / "copy.sqlite", empty_url)
    copied = opened(empty_url)
    wanted, found = rows_of(engine), rows_of(copied)
    assert all(len(rows) == (1 if name == "instance" else ROWS) for name, rows in wanted.items())
    place = leases.c.keys().index("expires_at_ms")
    assert [row[place] for row in found.pop("leases")] == [0] * ROWS
    assert found == {name: rows for name, rows in wanted.items() if name != "leases"}


def test_numbers_go_on_after_those_that_were_given_also_to_what_was_deleted(
    engine: sa.Engine, empty_url: str, tmp_path: Path, opened: Callable[[str | Path], sa.Engine]
) -> None:
    row = {name: value for name, value in _row(webhooks, 1).items() if name != "no"}

    def add(into: sa.Engine, name: str) -> int:
        with writing(into) as connection:
            return connection.scalars(sa.insert(webhooks).values(row | {"id": name}).returning(webhooks.c.no)).one()

    add(engine, "first")
    last = add(engine, "second")
    with writing(engine) as connection:
        connection.execute(sa.delete(webhooks).where(webhooks.c.no == last))
    copy_to_file(engine, tmp_path / "copy.sqlite")
    copy_from_file(tmp_path / "copy.sqlite", empty_url)
    assert add(opened(empty_url), "third") == last + 1


def test_a_copy_is_of_one_moment_whatever_is_written_meanwhile(
    engine: sa.Engine, other: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)
    wanted = rows_of(engine)
    read, is_written = copying._lots, []

    def read_and_write(connection: sa.Connection, table: sa.Table) -> Iterator[Any]:
        yield from read(connection, table)
        if not is_written:  # after the first table, and before the others are read
            is_written.append(True)
            Keys(other).create("later", "live", "admin", None, clock_ms())

    monkeypatch.setattr(copying, "_lots", read_and_write)
    copy_to_file(engine, tmp_path / "copy.sqlite")
    copy = open_database(tmp_path / "copy.sqlite")
    found = rows_of(copy)
    copy.dispose()
    assert found["projects"] == wanted["projects"]
    assert found["keys"] == wanted["keys"]
    assert rows_of(engine)["keys"] != wanted["keys"]


def test_nothing_is_copied_into_a_database_that_has_a_row(
    engine: sa.Engine, control_url: str, tmp_path: Path, opened: Callable[[str | Path], sa.Engine]
) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(projects), [_row(projects, 1)])
    before = rows_of(engine)
    source = opened(tmp_path / "source.sqlite")
    fill(source)
    with pytest.raises(SettingsError, match="is not empty"):
        require_empty(control_url)
    with pytest.raises(SettingsError, match="is not empty"):
        copy_rows(source, engine)
    assert rows_of(engine) == before


def test_a_copy_that_fails_half_way_leaves_nothing(
    engine: sa.Engine, control_url: str, tmp_path: Path, opened: Callable[[str | Path], sa.Engine], monkeypatch: Any
) -> None:
    source = opened(tmp_path / "source.sqlite")
    fill(source)
    read, tables = copying._lots, []

    def fail(connection: sa.Connection, table: sa.Table) -> Iterator[Any]:
        tables.append(table)
        if len(tables) == len(metadata.sorted_tables):
            raise RuntimeError
        yield from read(connection, table)

    monkeypatch.setattr(copying, "_lots", fail)
    with pytest.raises(RuntimeError):
        copy_rows(source, engine)
    require_empty(control_url)
