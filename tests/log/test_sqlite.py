"""What only the SQLite log has: a file, a disk under it, and a process that may die."""

import hashlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from headrace.log import sqlite as sqlite_module
from headrace.log import trimming
from headrace.log.known_keys import BYTES_PER_KEY
from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry, Record
from headrace.model.errors import Unavailable
from headrace.model.event import STEP, first_position, tail_of

NOW_MS = 1_736_899_200_000


@pytest.fixture(autouse=True)
def unhurried_trims(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trim ends when there is nothing left to do, however busy the machine is."""
    monkeypatch.setattr(sqlite_module, "_TRIM_S", 3600)


def open_log(folder: Path, **settings: int) -> SqliteLog:
    return SqliteLog(folder / "log.sqlite", clock_ms=lambda: NOW_MS, **settings)


def test_an_append_is_synced_before_it_returns(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log:
        assert log._file.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert log._file.writer.execute("PRAGMA synchronous").fetchone() == (2,), (
            "FULL: each commit waits for its fsync"
        )


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log:
        log.append([Entry(b"a", b"k" * 16)])
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert modes.pop("log.keys") == 0o700
        assert set(modes.values()) == {0o600}


@pytest.mark.timeout(300)
def test_a_killed_process_leaves_each_acknowledged_entry_once(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    acknowledged: list[tuple[int, str, str]] = []
    chance = random.Random(7)
    for nth in range(8):
        command = [sys.executable, "-m", "tests.log.append_until_killed", str(path), str(nth)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            lines: list[str] = []
            enough = chance.randrange(60, 600)  # by count: on a busy disk nobody knows how far it comes in what time
            for line in process.stdout:
                lines.append(line)
                if len(lines) == enough:
                    threading.Timer(chance.uniform(0, 0.02), process.kill).start()
        assert process.returncode == -signal.SIGKILL
        found = [line[:-1].split("\t") for line in lines if line.endswith("\n")]
        acknowledged += [(int(position), event_id, text) for position, event_id, text in found]

        with closing(open_log(tmp_path)) as log:
            stored = log.read(0, 10**9, 10**12)
            records = {record.position: record for record in stored}
            assert [record.position for record in stored] == sorted(records), "each position once"
            assert len({record.id for record in stored}) == len(stored)
            texts = [record.payload.decode().strip() for record in stored]
            assert len(set(texts)) == len(texts), "each entry once"
            trimmed = [each for each in acknowledged if each[0] not in records]
            assert all(each[0] < stored[0].position for each in trimmed), "what is missing was trimmed, from the front"
            for position, event_id, text in acknowledged:
                if position in records:
                    assert (records[position].id, records[position].payload.decode().strip()) == (event_id, text)
            assert [each[0] for each in acknowledged] == sorted({each[0] for each in acknowledged})
            assert log.last() >= acknowledged[-1][0]
            # A repeat of anything acknowledged is told what the first was told.
            some = chance.sample(acknowledged, 20)
            repeats = log.append([Entry(b"again", text.encode().ljust(16)) for _, _, text in some])
            assert [(each.position, each.id, each.duplicate) for each in repeats] == [
                (position, event_id, True) for position, event_id, _ in some
            ]
            assert log.size_bytes() == sum(len(blob) for blob in _blobs(path))
    assert len(acknowledged) > 500


def _blobs(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as connection:
        return [blob for (blob,) in connection.execute("SELECT payloads FROM chunks")]


_FILLS_ITS_DISK = """
import resource, signal, sys
from pathlib import Path
from headrace.model.errors import Unavailable
from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = SqliteLog(Path(sys.argv[1]), clock_ms=lambda: 1736899200000)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
stored = []
def append(number):
    entry = Entry(b"%d " % number + b"x" * 30000, b"%16d" % number)
    return log.append([entry])[0]
for number in range(200):
    try:
        stored.append(append(number).id)
    except Unavailable:
        break
assert 5 < len(stored) < 100, len(stored)
for _ in range(3):
    try:
        append(number)
        raise SystemExit("appended past the limit")
    except Unavailable:
        pass
    assert [record.id for record in log.read(0, 999, 10**9)] == stored
    assert log.last() == log.read(0, 999, 10**9)[-1].position
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
receipt = append(number)
assert not receipt.duplicate
stored.append(receipt.id)
assert [record.id for record in log.read(0, 999, 10**9)] == stored
log.close()
log = SqliteLog(Path(sys.argv[1]), clock_ms=lambda: 1736899200000)
assert [record.id for record in log.read(0, 999, 10**9)] == stored
assert [append(each).duplicate for each in range(number + 1)] == [True] * (number + 1)
print("as promised")
"""


def test_a_full_disk_refuses_appends_until_there_is_room(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk: writes fail in the middle of a commit."""
    assert resource.RLIMIT_FSIZE
    command = [sys.executable, "-c", _FILLS_ITS_DISK, str(tmp_path / "log.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("as promised", "")


def test_a_path_that_cannot_be_a_log_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "text").write_text("no database " * 1000)
    (tmp_path / "folder").mkdir()
    for path in (
        tmp_path / "file" / "log.sqlite",
        tmp_path / "missing" / "log.sqlite",
        tmp_path / "text",
        tmp_path / "folder",
    ):
        with pytest.raises(Unavailable):
            SqliteLog(path, clock_ms=lambda: NOW_MS)


def test_a_file_that_belongs_to_somebody_else_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not the owner")

    monkeypatch.setattr(os, "chmod", refuse)
    with pytest.raises(Unavailable):
        open_log(tmp_path)


def test_a_log_that_another_connection_holds_is_unavailable_and_recovers(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log, closing(sqlite3.connect(tmp_path / "log.sqlite")) as other:
        log._file.writer.execute("PRAGMA busy_timeout = 10")
        first = log.append([Entry(b"a")])[0].position
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            log.append([Entry(b"b")])
        with pytest.raises(Unavailable):
            log.trim(first)
        assert (log.last(), log.size_bytes()) == (first, 4)
        other.execute("ROLLBACK")
        log.append([Entry(b"c")])
        assert [record.payload for record in log.read(0, 9, 99)] == [b"a", b"c"]


def test_a_failed_trim_forgets_nothing_and_keeps_count(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log:
        log.append([Entry(b"a", b"k" * 16)])
        log._file.writer.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_DELETE else 0
        )
        before = (log.size_bytes(), log.read(0, 9, 99))
        with pytest.raises(Unavailable):
            log.trim(2**62)
        assert (log.size_bytes(), log.read(0, 9, 99)) == before
        log._file.writer.set_authorizer(None)
        assert log.trim(2**62) == 1
        assert log.size_bytes() == 0
        assert log.append([Entry(b"b", b"k" * 16)])[0].duplicate


def test_one_trim_takes_many_steps_and_lets_appends_through_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trimming, "MOST_CHUNKS", 1)
    with closing(open_log(tmp_path)) as log, ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            log.append([Entry(b"x" * 50_000)])
        appended: list[int] = []

        def pause(_seconds: float) -> None:
            """In the pause between two steps, an append of another thread."""
            appended.append(pool.submit(log.append, [Entry(b"y")]).result(60)[0].position)

        monkeypatch.setattr(sqlite_module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))
        assert log.trim(first_position(NOW_MS) + 19 * STEP) == 20
        assert len(appended) >= 19


def test_a_large_append_is_trimmed_although_it_is_larger_than_a_step(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log:
        log.append([Entry(b"x" * (trimming.MOST_BYTES + 1))])
        log.append([Entry(b"y")])
        assert log.trim(2**62) == 2
        assert log.read(0, 9, 9) == list[Record]()


def append_keys(log: SqliteLog, numbers: range) -> list[bool]:
    """Which of them were repeats."""
    entries = [Entry(b"x", hashlib.md5(b"%d" % number).digest()) for number in numbers]
    return [
        receipt.duplicate
        for start in range(0, len(entries), 5000)
        for receipt in log.append(entries[start : start + 5000])
    ]


def test_keys_past_the_byte_budget_go_oldest_first_and_the_window_says_so(tmp_path: Path) -> None:
    budget = 2 << 20
    with closing(open_log(tmp_path, dedup_max_bytes=budget)) as log:
        assert log.dedup_window_s() == 7 * 86_400
        many = budget // BYTES_PER_KEY * 3
        append_keys(log, range(many))
        assert log.dedup_window_s() < 600, "as long as this test has run"
        held = budget // BYTES_PER_KEY // 2
        assert all(append_keys(log, range(many - held, many))), "the young half of the budget is known"
        assert not any(append_keys(log, range(1000))), "the oldest are not"
    kept = sum(path.stat().st_size for path in (tmp_path / "log.keys").rglob("*.sst"))
    assert kept < budget * 1.25


def test_keys_that_were_not_written_down_before_a_crash_come_from_the_chunks(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert not any(append_keys(log, range(1000)))
    # What a crash leaves: the log's file as it is on disk, and no index at all.
    shutil.copytree(tmp_path, tmp_path / "after", ignore=shutil.ignore_patterns("log.keys", "after"))
    with closing(log), closing(open_log(tmp_path / "after")) as again:
        assert all(append_keys(again, range(1000)))


def test_an_index_that_cannot_be_read_is_put_aside_and_made_again(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log:
        append_keys(log, range(1000))
    for file in (tmp_path / "log.keys").rglob("MANIFEST*"):
        file.write_bytes(b"torn" + file.read_bytes()[4:])
    with closing(open_log(tmp_path)) as log:
        assert all(append_keys(log, range(1000))), "the chunks still have them"
    assert list(tmp_path.glob("log.broken-*"))


def test_a_chunk_is_not_trimmed_before_the_index_has_its_keys_on_disk(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append_keys(log, range(1000))
    assert log.trim(2**62) == 1000
    shutil.copytree(tmp_path, tmp_path / "after", ignore=shutil.ignore_patterns("after", "LOCK"))
    with closing(log), closing(open_log(tmp_path / "after")) as again:
        assert all(append_keys(again, range(1000)))


def test_an_id_holds_the_whole_tail_so_that_it_finds_its_event(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log:
        receipts = [each for _ in range(50) for each in log.append([Entry(b"a"), Entry(b"b")])]
        assert [tail_of(each.id) for each in receipts] == [each.tail for each in receipts]
        assert len({each.tail for each in receipts}) == 100, "and no other event at its position has it"
        assert [record.id for record in log.read(0, 999, 1 << 20)] == [each.id for each in receipts]
