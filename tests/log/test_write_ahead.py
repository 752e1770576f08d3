"""The log's write-ahead file after a crash: a changed byte in it costs nothing, and a torn end is no entry."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headrace.log.sqlite import SqliteLog
from headrace.model.entries import UNREADABLE, Entry, Record
from tests.log.test_old_files import NOW_MS, key
from tests.log.test_spoilt import everything

FRAME = 24 + 4096


def open_log(path: Path) -> SqliteLog:
    return SqliteLog(path, clock_ms=lambda: NOW_MS)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """The files of a log whose process was killed, and what it had acknowledged."""
    chance = random.Random(3)
    folder = tmp_path_factory.mktemp("crashed")
    log = open_log(folder / "log.sqlite")
    for number in range(40):
        log.append([Entry(chance.randbytes(chance.choice([20, 900, 9000])), key(number)) for _ in range(1)])
    copy = folder / "copy"
    copy.mkdir()
    for file in folder.glob("log.sqlite*"):
        shutil.copy(file, copy)
    written = everything(log)
    log.close()
    assert (copy / "log.sqlite-wal").stat().st_size > 30 * FRAME
    return copy, written


@pytest.fixture
def folder(tmp_path: Path, crashed: tuple[Path, list[Record]]) -> Path:
    shutil.copytree(crashed[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def spoil(folder: Path, place: int, new: bytes) -> None:
    with (folder / "log.sqlite-wal").open("r+b") as wal:
        wal.seek(place)
        wal.write(new)


def found_in(folder: Path) -> list[Record]:
    with closing(open_log(folder / "log.sqlite")) as log:
        found = everything(log)
        new = log.append([Entry(b"new", b"n" * 16)])[0]
        assert everything(log)[-1].id == new.id
        return found


def test_without_damage_everything_is_there_and_nothing_is_changed(
    folder: Path, crashed: tuple[Path, list[Record]]
) -> None:
    assert found_in(folder) == crashed[1]
    assert not list(folder.glob("*torn*"))


@pytest.mark.parametrize("seed", range(6))
def test_one_changed_byte_is_put_right_wherever_it_is(
    tmp_path: Path, crashed: tuple[Path, list[Record]], seed: int
) -> None:
    chance = random.Random(seed)
    content = (crashed[0] / "log.sqlite-wal").read_bytes()
    last = 32 + (len(content) - 32) // FRAME * FRAME - FRAME
    places = [chance.randrange(len(content)), last + chance.randrange(24), last + chance.randrange(24, FRAME)]
    places += [32 + chance.randrange(10) * FRAME + chance.randrange(24), chance.randrange(32)]
    for number, place in enumerate(places):
        folder = tmp_path / str(number)
        shutil.copytree(crashed[0], folder)
        spoil(folder, place, bytes([content[place] ^ 1 << chance.randrange(8)]))
        found = found_in(folder)
        if last <= place < last + 24 and found == crashed[1][:-1]:
            continue  # whether the last frame ends a transaction is in that byte alone
        assert found == crashed[1], place


def test_many_changed_bytes_cost_their_entry_and_none_after_it(
    folder: Path, crashed: tuple[Path, list[Record]]
) -> None:
    written = crashed[1]
    victim = written[20]
    content = (folder / "log.sqlite-wal").read_bytes()
    at = content.find(victim.payload[:20])
    while at >= 0:
        spoil(folder, at, b"?" * 20)
        at = content.find(victim.payload[:20], at + 1)
    found = found_in(folder)
    assert [record.position for record in found] == [record.position for record in written]
    assert [record.position for record in found if record.kind == UNREADABLE] == [victim.position]
    assert [each for each in found if each.kind != UNREADABLE] == [each for each in written if each != victim]


def test_the_last_entry_is_told_too(folder: Path, crashed: tuple[Path, list[Record]]) -> None:
    written = crashed[1]
    content = (folder / "log.sqlite-wal").read_bytes()
    spoil(folder, content.rfind(written[-1].payload[:20]), b"?" * 20)
    found = found_in(folder)
    assert found[:-1] == written[:-1]
    assert (found[-1].position, found[-1].kind) == (written[-1].position, UNREADABLE)


@pytest.mark.parametrize("lost", ["the end", "a page", "all pages"])
def test_a_torn_last_transaction_was_never_acknowledged(
    folder: Path, crashed: tuple[Path, list[Record]], lost: str
) -> None:
    """What a power cut leaves of a transaction that was being written: some of its blocks, in any order."""
    wal = folder / "log.sqlite-wal"
    content = bytearray(wal.read_bytes())
    frames = range(32, len(content) - FRAME + 1, FRAME)
    salts = bytes(content[16:24])
    own = [start for start in frames if bytes(content[start + 8 : start + 16]) == salts]
    ends = [start for start in own if any(content[start + 4 : start + 8])]
    of_last = [start for start in own if start > ends[-2]]
    if lost == "the end":
        content[ends[-1] + 500 :] = b""
    else:
        for start in of_last if lost == "all pages" else of_last[:1]:
            content[start + 24 : start + FRAME] = bytes(4096)
    wal.write_bytes(content)
    found = found_in(folder)
    assert found[: len(crashed[1]) - 1] == crashed[1][:-1]
    assert all(record.kind == UNREADABLE for record in found[len(crashed[1]) - 1 :])


def test_a_file_that_is_no_write_ahead_file_is_left_to_sqlite(folder: Path) -> None:
    (folder / "log.sqlite-wal").write_bytes(b"no log at all" * 1000)
    with closing(open_log(folder / "log.sqlite")) as log:
        assert everything(log) == []
    with closing(sqlite3.connect(folder / "log.sqlite")) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
