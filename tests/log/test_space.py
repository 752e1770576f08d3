"""The room of what was trimmed goes back to the disk."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headrace.log import space
from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry
from tests.log.test_old_files import NOW_MS, key, write_old_file


def open_log(path: Path) -> SqliteLog:
    return SqliteLog(path, clock_ms=lambda: NOW_MS)


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob("log.sqlite*"))


def fill(log: SqliteLog) -> int:
    """12 MB; the position before the last entry."""
    for _ in range(12):
        before = log.append([Entry(b"x" * 100_000)] * 10)[-1].position
    log.append([Entry(b"the last")])
    return before


def test_room_is_given_back_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as log:
        before = fill(log)
        assert size(path) > 12_000_000
        while log.trim(before):
            pass
        for _ in range(20):
            log.give_back_room()
        assert size(path) < 1_000_000
        assert [record.payload for record in log.read(0, 9, 999)] == [b"the last"]
        log.append([Entry(b"one more")])
        assert len(log.read(0, 9, 999)) == 2
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_large_file_that_is_mostly_free_shrinks_with_the_trims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_MANY_FREE_PAGES", 500)
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as log:
        before = fill(log)
        while log.trim(before):
            pass
        for _ in range(8):
            log.append([Entry(b"y")])
            log.trim(log.last())
    assert path.stat().st_size < 6_000_000


def test_a_file_from_before_gives_room_back_too_unless_it_is_too_large_to_be_copied_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.sqlite"
    write_old_file(path, [[b"x" * 1000] * 50], [key(number) for number in range(50)])

    def mode() -> int:
        with closing(sqlite3.connect(path)) as file:
            return file.execute("PRAGMA auto_vacuum").fetchone()[0]

    monkeypatch.setattr(space, "_CHEAPLY_COPIED_BYTES", 1000)
    with closing(open_log(path)) as log:
        assert len(log.read(0, 99, 10**6)) == 50
    assert mode() == 0
    monkeypatch.undo()
    with closing(open_log(path)) as log:
        assert len(log.read(0, 99, 10**6)) == 50
    assert mode() == 2
