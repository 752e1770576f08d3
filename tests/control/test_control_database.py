"""Opening the control database: its schema, its files, and who else is opening it."""

import multiprocessing
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from headrace.control.api_keys import Keys
from headrace.control.database import HEAD, open_database, writing
from headrace.control.tables import metadata
from headrace.model.errors import SettingsError
from headrace.ports.control import ControlFailed
from tests.control.newest_schema import dump, migrate


def test_the_migrations_make_the_schema_that_tables_py_declares(engine: Engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_last_migration_is_the_one_that_database_py_names():
    config = Config()
    config.set_main_option("script_location", "headrace.control:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_new_database_is_what_all_the_migrations_make(database: Path, tmp_path: Path):
    open_database(database).dispose()
    migrate(tmp_path / "migrated")
    assert dump(database) == dump(tmp_path / "migrated"), "after a migration: python -m tests.control.newest_schema"
    counts = [dict(_rows(path)) for path in (database, tmp_path / "migrated")]
    assert counts[0] == counts[1]
    assert counts[0]["instance"] == 1


def _rows(path: Path) -> Iterator[tuple[str, int]]:
    """The tables of a SQLite database, with how many rows each has."""
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield name, connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]


def test_what_was_stored_is_there_when_it_is_opened_again(database: Path):
    first = open_database(database)
    key, secret = Keys(first).create("default", "live", "flux", None, 1)
    first.dispose()
    second = open_database(str(database))
    assert Keys(second).find(secret) == key
    second.dispose()


def test_a_url_opens_the_same_database_as_its_path(database: Path):
    first = open_database(database)
    key, secret = Keys(first).create("default", "live", "flux", None, 1)
    second = open_database(f"sqlite:///{database}")
    assert Keys(second).find(secret) == key
    first.dispose()
    second.dispose()


def test_a_commit_is_on_disk_and_readers_do_not_wait_for_it(engine: Engine):
    with engine.connect() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.scalar(text(f"PRAGMA {pragma}")) == value
        assert connection.scalar(text("PRAGMA busy_timeout")) == 5000


def test_a_new_folder_and_its_files_are_for_their_owner_alone(database: Path):
    engine = open_database(database)
    Keys(engine).create("default", "live", "flux", None, 1)
    files = sorted(database.parent.iterdir())
    assert [file.name for file in files] == [f"control.sqlite{end}" for end in ("", "-shm", "-wal")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700
    engine.dispose()


def open_at_once(path: Path, together: Barrier) -> None:
    together.wait(60)
    engine = open_database(path)
    Keys(engine).create("default", "live", "flux", None, 1)
    engine.dispose()


def test_processes_that_open_a_new_database_at_once_all_succeed(database: Path):
    spawn = multiprocessing.get_context("spawn")  # a new interpreter each: nothing is imported yet
    together = spawn.Barrier(4)
    openers = [spawn.Process(target=open_at_once, args=(database, together)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(60)
    assert [opener.exitcode for opener in openers] == [0, 0, 0, 0]
    engine = open_database(database)
    assert len(Keys(engine).list()) == 4
    engine.dispose()


def test_an_up_to_date_database_is_opened_without_importing_alembic(database: Path):
    open_database(database).dispose()
    program = (
        "import sys; from headrace.control.database import open_database; "
        "open_database(sys.argv[1]); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, database], check=True)


def test_a_database_newer_than_this_program_is_refused_and_left_alone(database: Path):
    engine = open_database(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    before = database.read_bytes()
    with pytest.raises(SettingsError, match="schema 9999, newer than this headrace"):
        open_database(database)
    assert database.read_bytes() == before


def test_a_folder_that_cannot_be_is_a_settings_error_that_names_the_setting(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/control\.sqlite cannot be opened: .* HEADRACE_DATA"):
        open_database(tmp_path / "file" / "control.sqlite")
    with pytest.raises(SettingsError, match="it is a folder"):
        open_database(tmp_path)


def test_a_file_that_is_no_database_is_a_settings_error_and_left_alone(tmp_path: Path):
    path = tmp_path / "control.sqlite"
    path.write_text("not a database, and longer than the header of one" * 10)
    with pytest.raises(SettingsError, match="file is not a database"):
        open_database(path)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize(
    "url",
    [
        "://",
        "nosuch://u:hunter2@host/name",
        "sqlite+nosuch://u:hunter2@host",
        "sqlite://u:hunter2@h:x/",
    ],
)
def test_a_url_that_cannot_be_is_a_settings_error_that_keeps_the_password(url: str):
    with pytest.raises(SettingsError, match="control database's URL") as refused:
        open_database(url)
    assert "hunter2" not in refused.value.message


def insert_and_fail(engine: Engine, sql: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO projects VALUES ('half', 1)"))
        connection.execute(text(sql))
        raise ZeroDivisionError


def test_an_exception_in_a_transaction_takes_it_back(engine: Engine):
    with pytest.raises(ZeroDivisionError):
        insert_and_fail(engine, "INSERT INTO projects VALUES ('other half', 1)")
    with pytest.raises(ControlFailed, match="no such table"):
        insert_and_fail(engine, "INSERT INTO nowhere VALUES (1)")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM projects")) == 0


def test_a_transaction_that_reads_first_may_write_although_another_process_wrote_between(
    engine: Engine, database: Path
):
    """Deferred, SQLite would fail the second write here with SQLITE_BUSY_SNAPSHOT; its turn being taken, it waits."""
    other = open_database(database)
    with writing(engine) as connection:
        connection.scalar(text("SELECT count(*) FROM projects"))
        with other.connect() as reader:
            assert reader.scalar(text("SELECT count(*) FROM projects")) == 0
        connection.execute(text("INSERT INTO projects VALUES ('a', 1)"))
    with writing(other) as connection:
        connection.execute(text("INSERT INTO projects VALUES ('b', 1)"))
    other.dispose()


def test_a_key_cannot_be_of_a_project_that_does_not_exist(engine: Engine):
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO keys (id, project, mode, style, scopes, prefix, hash, created_at_ms) "
                "VALUES ('k', 'nowhere', 'live', 'flux', '', '', '', 1)"
            )
        )
