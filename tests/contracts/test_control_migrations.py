"""The schema of the control database on SQLite and on PostgreSQL 18: from nothing, and from every earlier one."""

import shutil
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from headrace.control import database
from headrace.control.api_keys import Keys
from headrace.control.database import HEAD, open_database
from headrace.control.tables import metadata
from headrace.model.errors import SettingsError
from tests.contracts.rivals import Rival
from tests.postgres import Postgres


def config_on(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "headrace.control:migrations")
    config.attributes["connection"] = connection
    return config


def plain_engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


EARLIER = [script.revision for script in ScriptDirectory.from_config(config_on()).walk_revisions()][::-1][:-1]


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)


def test_from_nothing_the_migrations_make_the_schema_that_tables_py_declares(empty_url: str) -> None:
    engine = open_database(empty_url)
    assert differences(engine) == []
    engine.dispose()


def climb(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        command.upgrade(config_on(connection), revision)


@pytest.fixture(scope="module")
def sqlite_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A database with the schema of a revision. Each is a copy of one that climbs: they are asked for in the order of revisions."""
    climbing = tmp_path_factory.mktemp("climbing") / "control.sqlite"

    def at(revision: str) -> str:
        engine = plain_engine(f"sqlite:///{climbing}")
        climb(engine, revision)
        engine.dispose()
        copy = climbing.with_name(f"{revision}.sqlite")
        shutil.copy(climbing, copy)
        return f"sqlite:///{copy}"

    return at


@pytest.fixture(scope="module")
def postgres_at(postgres: Postgres) -> Iterator[Callable[[str], str]]:
    """As `sqlite_at`."""
    climbing, copies = postgres.empty(), list[str]()

    def at(revision: str) -> str:
        engine = plain_engine(climbing)
        climb(engine, revision)
        engine.dispose()
        copies.append(postgres.empty(f"TEMPLATE {make_url(climbing).database}"))
        return copies[-1]

    yield at
    for url in (climbing, *copies):
        postgres.drop(url)


@pytest.mark.parametrize("revision", EARLIER)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_earlier_schema_is_brought_up_to_date_with_what_is_in_it(
    request: pytest.FixtureRequest, kind: str, revision: str
) -> None:
    url = request.getfixturevalue(f"{kind}_at")(revision)
    earlier = plain_engine(url)
    with earlier.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == revision
        connection.execute(text("INSERT INTO projects VALUES ('shop', 1)"))
    earlier.dispose()
    engine = open_database(url)
    assert differences(engine) == []
    key, secret = Keys(engine).create("shop", "live", "flux", None, 1)
    assert Keys(engine).find(secret) == key
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT created_at_ms FROM projects")) == 1
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
    engine.dispose()


def test_several_that_open_an_empty_database_at_once_all_succeed(empty_url: str) -> None:
    rivals = [Rival(lambda: open_database(empty_url)) for _ in range(4)]
    engines = [rival.result() for rival in rivals]
    for engine in engines:
        Keys(engine).create("shop", "live", "flux", None, 1)
    assert len(Keys(engines[0]).list()) == 4
    for engine in engines:
        engine.dispose()


def test_a_database_newer_than_this_program_is_refused(control_url: str) -> None:
    engine = plain_engine(control_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(SettingsError, match="schema 9999, newer than this headrace"):
            open_database(control_url)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))
        engine.dispose()


# What PostgreSQL servers can be


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "nobody", "password": "hunter2"}, "nobody"),
        ({"query": {"host": "/nowhere"}}, "No such file"),
        ({"host": "127.0.0.1", "port": 1, "query": {}, "password": "hunter2"}, "refused"),
    ],
)
def test_a_server_that_cannot_be_reached_is_a_settings_error_that_keeps_the_password(
    postgres: Postgres, change: dict[str, object], problem: str
) -> None:
    url = make_url(postgres.url).set(**change)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=problem) as refused:
        open_database(url.render_as_string(hide_password=False))
    assert "HEADRACE_CONTROL_URL" in refused.value.message
    assert "hunter2" not in refused.value.message


def test_a_server_without_a_connection_left_is_told_with_the_remedy(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE limited LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 0")
    url = make_url(postgres.url).set(username="limited", password="hunter2")
    with pytest.raises(SettingsError, match="CONNECTION LIMIT") as refused:
        open_database(url.render_as_string(hide_password=False))
    assert "HEADRACE_CONTROL_URL" in refused.value.message
    assert "hunter2" not in refused.value.message
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP ROLE limited")


def test_a_database_that_is_not_utf_8_is_refused(postgres: Postgres) -> None:
    url = postgres.empty("ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(SettingsError, match="its encoding is SQL_ASCII"):
        open_database(url)
    postgres.drop(url)


def test_a_server_that_is_too_old_is_refused(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.control.postgres._OLDEST", (99,))
    with pytest.raises(SettingsError, match=r"it is PostgreSQL 18.*; use 99 or newer"):
        open_database(postgres.url)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_driver(_url: object) -> Engine:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(database, "open_server", without_driver)
    with pytest.raises(SettingsError, match=r"pip install 'headrace\[postgres\]'"):
        open_database("postgresql://u:hunter2@host/name")
