"""A log file from before entries had kinds and positions had partitions: it is opened, read on and appended to."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry, Held, Kind
from headrace.model.event import STEP, event_id, first_position

NOW_MS = 1_736_899_200_000
FIRST = first_position(NOW_MS)
END = 2**62
# As commit 625fd91 made it.
_SCHEMA = """
CREATE TABLE chunks (
    last INTEGER PRIMARY KEY, count INTEGER NOT NULL, tail INTEGER NOT NULL, bytes INTEGER NOT NULL,
    keys BLOB NOT NULL, payloads BLOB NOT NULL
);
CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
CHUNKS = (b"abc", b"d", b"x" * 70)


def write_old_file(path: Path, payloads: list[list[bytes]], keys: list[bytes], *, first: int = FIRST) -> list[int]:
    """A file with an append for each list, at consecutive positions, and with a key for each entry; the positions."""
    number, positions = 0, list[int]()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.executescript(_SCHEMA)
        for chunk in payloads:
            numbers = range(number, number + len(chunk))
            number += len(chunk)
            positions += [first + each for each in numbers]
            packed = msgspec.msgpack.encode(chunk)
            given = b"".join(keys[each] for each in numbers)
            row = (positions[-1], len(chunk), 7 + numbers[0], len(packed), given, packed)
            file.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", row)
    return positions


def key(number: int) -> bytes:
    return hashlib.md5(b"%d" % number).digest()


def open_log(path: Path, **settings: int) -> SqliteLog:
    return SqliteLog(path, clock_ms=lambda: NOW_MS, **settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def old(path: Path) -> list[int]:
    """The positions in the old file at `path`."""
    return write_old_file(path, [[b"%c" % each for each in text] for text in CHUNKS], list(map(key, range(74))))


def test_its_entries_are_events_at_the_positions_and_with_the_ids_that_they_were_given(
    path: Path, old: list[int]
) -> None:
    for _ in range(2):
        with closing(open_log(path)) as log:
            records = log.read(0, 999, 9999)
            assert [record.position for record in records] == old == list(range(FIRST, FIRST + 74))
            assert [record.id for record in records] == [event_id(FIRST + each, 7 + each) for each in range(74)]
            assert b"".join(record.payload for record in records) == b"abcd" + b"x" * 70
            assert {record.kind for record in records} == {Kind.EVENT}
            for index, position in enumerate(old):
                assert [each.position for each in log.read(position - 1, 1, 1)] == [position]
                assert log.held(position) == Held(index + 1, FIRST - 1, position)


def test_what_is_appended_to_it_gets_later_positions_and_both_are_read_counted_and_trimmed(
    path: Path, old: list[int]
) -> None:
    with closing(open_log(path)) as log:
        new = [each.position for each in log.append([Entry(b"n"), Entry(b"c", kind=Kind.ERASURE), Entry(b"m")])]
        assert new == [FIRST + 2 * STEP, FIRST + 3 * STEP, FIRST + 4 * STEP], (
            "the next that end in the partition's bits"
        )
    with closing(open_log(path)) as log:
        assert [record.position for record in log.read(0, 999, 9999)] == old + new
        assert log.held(END) == Held(76, FIRST - 1, new[2])
        assert log.held(new[1]) == Held(75, FIRST - 1, new[0])
        assert log.trim(old[70]) == 4
        assert log.held(END) == Held(72, old[4] - 1, new[2])
        assert log.trim(old[-1]) == 70
        assert [record.position for record in log.read(0, 999, 9999)] == new
        assert log.held(old[-1]) == Held(0, old[-1], old[-1])


def test_its_keys_are_known(path: Path, old: list[int]) -> None:
    with closing(open_log(path)) as log:
        receipts = log.append([Entry(b"again", key(number)) for number in range(74)] + [Entry(b"new", key(74))])
        assert [(each.position, each.duplicate) for each in receipts[:-1]] == [(position, True) for position in old]
        assert not receipts[-1].duplicate


def test_a_file_that_was_trimmed_to_nothing_goes_on_after_its_last_position(path: Path) -> None:
    last = FIRST + first_position(5) + 63
    write_old_file(path, [], [])
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("INSERT INTO marks VALUES ('last', ?)", (last,))
    with closing(open_log(path)) as log:
        assert log.held(last) == Held(0, last, last), "all that it held were events"
        assert log.append([Entry(b"a")])[0].position == last + 1


def test_another_partition_begins_after_all_that_was_given_before_there_were_partitions(
    path: Path, old: list[int]
) -> None:
    with closing(open_log(path)) as log, closing(open_log(path.with_name("b.sqlite"), floor=old[-1], partition=5)) as b:
        given = [each.position for opened in (log, b) for each in opened.append([Entry(b"x")] * 100)]
    assert len(set(given)) == 200
    assert min(given) > old[-1]
