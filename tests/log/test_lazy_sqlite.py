"""A SQLite built not to wait for the disk, as distributions may build it: what has to be durable says so itself."""

import sqlite3
from contextlib import closing
from pathlib import Path
from sqlite3 import dbapi2
from typing import Any

import pytest
from sqlalchemy import text

from headrace.control.database import open_database
from headrace.log.sqlite import SqliteLog

FULL = 2  # https://www.sqlite.org/pragma.html#pragma_synchronous


@pytest.fixture(autouse=True)
def lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: https://www.sqlite.org/compile.html#default_synchronous, #default_wal_synchronous, #default_foreign_keys"""
    connect = sqlite3.connect

    def connect_lazily(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_lazily)
    monkeypatch.setattr(dbapi2, "connect", connect_lazily)


def test_the_log_waits_for_the_disk(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", clock_ms=lambda: 1)) as log:
        assert log._file.writer.execute("PRAGMA synchronous").fetchone() == (FULL,)


def test_control_waits_for_the_disk_and_keeps_its_references(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "control.sqlite")
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA synchronous")) == FULL
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    engine.dispose()
