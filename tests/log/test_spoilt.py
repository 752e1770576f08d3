"""Bytes of the log's file that a disk has changed: what is good is given back, what is not is said, and nothing is held up."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from headrace.log.sqlite import SqliteLog
from headrace.model.entries import UNREADABLE, Entry, Kind, Record, Unreadable
from headrace.model.event import event_id
from tests.log.test_old_files import FIRST, NOW_MS, key, write_old_file

END = 2**62


def open_log(path: Path, **settings: Callable[[bytes], bool]) -> SqliteLog:
    return SqliteLog(path, clock_ms=lambda: NOW_MS, **settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    with closing(open_log(path)) as log:
        yield log


def change(path: Path, column: str, work: Callable[[bytes], bytes], last: int = 0) -> None:
    """Change what a chunk has in a column, as a disk would: without its checksum."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        where = f"last = {last or '(SELECT min(last) FROM chunks)'}"
        [(found,)] = file.execute(f"SELECT {column} FROM chunks WHERE {where}")
        file.execute(f"UPDATE chunks SET {column} = ? WHERE {where}", (work(found),))


def flip(where: bytes) -> Callable[[bytes], bytes]:
    """Change one bit of the last byte of these bytes."""
    return lambda found: found.replace(where, where[:-1] + bytes([where[-1] ^ 1]), 1)


def everything(log: SqliteLog) -> list[Record]:
    return log.read(0, 10**6, 10**9)


def test_one_changed_byte_costs_one_entry_and_none_of_its_neighbours(path: Path, log: SqliteLog) -> None:
    entries = [Entry(b"payload %03d" % number, key(number)) for number in range(300)]
    receipts = log.append(entries) + log.append([Entry(b"later")])
    change(path, "payloads", flip(b"payload 123"))
    found = everything(log)
    assert [record.position for record in found] == [receipt.position for receipt in receipts]
    assert [record.id for record in found] == [receipt.id for receipt in receipts]
    spoilt = found.pop(123)
    assert isinstance(spoilt, Unreadable)
    assert spoilt == Unreadable.at(
        *(receipts[123].position, receipts[123].tail, b"payload 122", spoilt.why), key=entries[123].key
    )
    assert "checksum" in spoilt.why
    assert spoilt.kind == UNREADABLE
    assert [record.payload for record in found] == [each.payload for each in entries[:123] + entries[124:]] + [b"later"]


@pytest.mark.parametrize("count", [1, 2, 20, 300])
@pytest.mark.parametrize("size", [1, 300, 70_000])
def test_wherever_a_byte_is_changed_no_entry_is_given_back_that_is_not_what_was_written(
    path: Path, log: SqliteLog, count: int, size: int
) -> None:
    if count * size > 1_000_000:
        count = 5
    chance = random.Random(count * size)
    written = [chance.randbytes(size) for _ in range(count)]
    kinds = [chance.choice([Kind.EVENT, Kind.EVENT, Kind.REPLAY]) for _ in range(count)]
    log.append([Entry(payload, kind=kind) for payload, kind in zip(written, kinds, strict=True)])
    with closing(sqlite3.connect(path)) as file:
        [(packed,)] = file.execute("SELECT payloads FROM chunks")
    places = {0, 1, 2, 3, 4, 5, len(packed) - 1, *(chance.randrange(len(packed)) for _ in range(30))}
    for place in places:
        if place < len(packed):
            changed = bytearray(packed)
            changed[place] ^= 1 << chance.randrange(8)
            change(path, "payloads", lambda _, changed=changed: bytes(changed))
            found = everything(log)
            assert len(found) == count
            spoilt = [record for record in found if isinstance(record, Unreadable)]
            for record, payload, kind in zip(found, written, kinds, strict=True):
                if isinstance(record, Unreadable):
                    assert record.was == kind
                else:
                    assert (record.payload, record.kind) == (payload, kind)
            assert len(spoilt) == (0 if place < 5 and not spoilt else 1), place
    change(path, "payloads", lambda _: packed)
    assert [record.payload for record in everything(log)] == written


def test_reading_in_pieces_gives_the_same(path: Path, log: SqliteLog) -> None:
    log.append([Entry(b"entry %d" % number) for number in range(20)])
    change(path, "payloads", flip(b"entry 7"))
    whole = everything(log)
    for most in (1, 2, 3, 7):
        found: list[Record] = []
        while some := log.read(found[-1].position if found else 0, most, 10**6):
            found += some
        assert found == whole
    assert [record.kind for record in whole].count(UNREADABLE) == 1


def test_a_byte_that_is_only_misread_once_is_read_again(path: Path, log: SqliteLog) -> None:
    log.append([Entry(b"one"), Entry(b"two")])
    everything(log)  # the connection keeps the page
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        [(packed,)] = file.execute("SELECT payloads FROM chunks")
    rows = log._file.reader.execute("SELECT last, count, tail, payloads, spaced, kinds, checks FROM chunks").fetchall()
    misread = [(*row[:3], packed.replace(b"two", b"twa"), *row[4:]) for row in rows]

    class Misreading:
        def execute(self, sql: str, _values: object) -> Iterator[object]:
            yield from misread

    log._file.chunks._connection = Misreading()  # pyright: ignore[reportAttributeAccessIssue]
    assert [record.payload for record in everything(log)] == [b"one", b"two"]


def test_changed_keys_cost_no_entry_and_are_not_taken_for_keys(tmp_path: Path, path: Path) -> None:
    with closing(open_log(path)) as log:
        log.append([Entry(b"a", key(1)), Entry(b"b", key(2))])
    shutil.rmtree(tmp_path / "log.keys")
    change(path, "keys", flip(key(1)))
    wrong = flip(key(1))(key(1))
    with closing(open_log(path)) as log:
        assert [record.payload for record in everything(log)] == [b"a", b"b"]
        assert not log.append([Entry(b"c", wrong)])[0].duplicate


@pytest.mark.parametrize(
    ("column", "work"),
    [
        ("count", lambda found: found + 1),
        ("count", lambda _: 2**40),
        ("count", lambda _: b"no number"),
        ("tail", lambda found: found ^ 8),
        ("spaced", lambda _: 0),
        ("kinds", lambda _: b"\1\1\1"),
        ("checks", lambda found: b"\0" + found[1:]),
        ("checks", lambda _: 17),
        ("last", lambda found: found | 1 << 61),
        ("last", lambda found: found - 64),
        ("payloads", lambda _: 5),
    ],
)
def test_a_chunk_whose_fields_are_changed_is_told_and_holds_nothing_up(
    path: Path, log: SqliteLog, column: str, work: Callable[[bytes], bytes]
) -> None:
    before = log.append([Entry(b"before")])
    log.append([Entry(b"a"), Entry(b"b"), Entry(b"c")])
    after = log.append([Entry(b"after")])
    with closing(sqlite3.connect(path)) as file:
        [_, (middle,), _] = file.execute("SELECT last FROM chunks ORDER BY last").fetchall()
    change(path, column, work, middle)
    found = everything(log)
    assert [record.position for record in found] == sorted({record.position for record in found})
    sound = [(record.position, record.payload) for record in found if record.kind != UNREADABLE]
    assert sound[0] == (before[0].position, b"before")
    assert sound[-1] == (after[0].position, b"after")
    assert {payload for _, payload in sound[1:-1]} <= {b"a", b"b", b"c"}
    spoilt = [record for record in found if isinstance(record, Unreadable)]
    assert spoilt
    assert all(before[0].position < each.position for each in spoilt)
    again = log.append([Entry(b"again")])
    assert everything(log)[-1].id == again[0].id
    assert log.last() == again[0].position < first_impossible()
    assert not any(wal.stat().st_size for wal in path.parent.glob("log.torn-*-wal")), "no reader of ours was in the way"
    assert log.trim(END) >= 3
    assert log.held(END).events == 0


def first_impossible() -> int:
    return FIRST + (1000 << 20)


def test_an_old_file_without_checksums_is_read_on_and_what_is_no_entry_any_more_is_told(path: Path) -> None:
    payloads = [[b'{"n":%d}' % number for number in range(10)], [b'{"n":10}'], [b'{"n":11}', b'{"n":12}']]
    positions = write_old_file(path, payloads, list(map(key, range(13))))

    def is_sound(payload: bytes) -> bool:
        try:
            msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return False
        return True

    with closing(open_log(path, is_sound=is_sound)) as log:
        assert [record.kind for record in everything(log)] == [0] * 13
        change(path, "payloads", lambda found: found.replace(b'{"n":3}', b'{"n":3!'))
        change(path, "payloads", lambda found: found[:-20], positions[-1])
        new = log.append([Entry(b'{"n":13}')])
        found = everything(log)
        assert [record.position for record in found] == [*positions, new[0].position]
        assert [index for index, record in enumerate(found) if record.kind == UNREADABLE] == [3, 11, 12]
        assert [record.payload for record in found][4:11] == [b'{"n":%d}' % number for number in range(4, 11)]
        assert found[3].id == event_id(FIRST + 3, 7 + 3)


def pages_of(path: Path) -> bytearray:
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    return bytearray(path.read_bytes())


def fill(log: SqliteLog, chance: random.Random) -> dict[int, bytes]:
    """Payload by position."""
    written: dict[int, bytes] = {}
    for _ in range(60):
        payloads = [chance.randbytes(chance.choice([5, 200, 3000])) for _ in range(chance.choice([1, 1, 3, 20]))]
        receipts = log.append([Entry(payload, key(len(written) + index)) for index, payload in enumerate(payloads)])
        written |= {receipt.position: payload for receipt, payload in zip(receipts, payloads, strict=True)}
    return written


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("damage", ["byte", "page"])
def test_wherever_the_file_is_damaged_what_can_be_read_is_and_the_rest_is_told(
    tmp_path: Path, path: Path, damage: str, seed: int
) -> None:
    """A byte that is changed, or a page of zeros, anywhere behind the first page: which says that it is a database."""
    chance = random.Random(f"{damage} {seed}")
    with closing(open_log(path)) as log:
        written = fill(log, chance)
    pages = pages_of(path)
    if damage == "byte":
        pages[chance.randrange(4096, len(pages))] ^= 1 << chance.randrange(8)
    else:
        start = chance.randrange(1, len(pages) // 4096) * 4096
        pages[start : start + 4096] = bytes(4096)
    path.write_bytes(pages)
    with closing(open_log(path)) as log:
        found = everything(log)
        assert [record.position for record in found] == sorted({record.position for record in found})
        sound = {record.position: record.payload for record in found if record.kind != UNREADABLE}
        assert sound.items() <= written.items(), "nothing is given back that was not written"
        spoilt = [record for record in found if isinstance(record, Unreadable)]
        assert bool(spoilt) == (len(sound) < len(written)), "what is missing is told"
        new = log.append([Entry(b"new", key(10_000))])[0]
        assert new.position > max(written)
        assert everything(log)[-1] == Record(new.position, new.tail, b"new")
        events = log.held(END).events
        assert events == len(found) + 1
        log.trim(END)
        assert log.held(END).events == 0
    with closing(open_log(path)) as log:
        assert log.append([Entry(b"new", key(10_000))])[0].duplicate
        assert everything(log) == []


def test_a_lost_page_is_told_as_one_place_however_many_entries_it_held(path: Path) -> None:
    with closing(open_log(path)) as log:
        for number in range(150):
            log.append([Entry(b"entry %03d" % number)])
    pages = pages_of(path)
    start = pages.find(b"entry 070") // 4096 * 4096
    held = {b"entry %03d" % number for number in range(150) if b"entry %03d" % number in pages[start : start + 4096]}
    assert len(held) > 10
    pages[start : start + 4096] = bytes(4096)
    path.write_bytes(pages)
    with closing(open_log(path)) as log:
        found = everything(log)
        assert len([record for record in found if record.kind == UNREADABLE]) == 1
        sound = {record.payload for record in found if record.kind != UNREADABLE}
        assert sound == {b"entry %03d" % number for number in range(150)} - held


def test_a_page_that_is_damaged_while_the_log_is_open_is_put_aside_with_the_file(tmp_path: Path, path: Path) -> None:
    with closing(open_log(path)) as log:
        written = fill(log, random.Random(5))
        pages = pages_of(path)
        with path.open("r+b") as file:
            for payload in list(written.values())[10:60:10]:
                file.seek(pages.find(payload[:100]) // 4096 * 4096)
                file.write(bytes(4096))
        log._file.reader.execute("PRAGMA cache_size = 0")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:  # so that the connections read it anew
            other.execute("UPDATE marks SET value = value")
            other.execute("INSERT OR REPLACE INTO marks VALUES ('test', 1)")
        found = everything(log)
        sound = {record.position: record.payload for record in found if record.kind != UNREADABLE}
        assert sound.items() <= written.items()
        assert any(record.kind == UNREADABLE for record in found)
        new = log.append([Entry(b"new", b"n" * 16)])[0]
        assert everything(log)[-1].id == new.id
        assert log.append([Entry(b"new", b"n" * 16)])[0].duplicate
        assert log.trim(END)
    assert len(list(tmp_path.glob("log.torn-*.sqlite"))) == 1


def test_a_rescue_that_was_cut_short_is_finished_by_the_next_start(tmp_path: Path, path: Path) -> None:
    with closing(open_log(path)) as log:
        log.append([Entry(b"a")])
    ready = path.with_name("log.sqlite.rescued")
    shutil.copy(path, ready)
    path.write_bytes(b"what was damaged")
    with closing(open_log(path)) as log:
        assert [record.payload for record in everything(log)] == [b"a"]
    assert not ready.exists()
    assert [each.read_bytes() for each in tmp_path.glob("log.torn-*.sqlite")] == [b"what was damaged"]


def test_keys_are_forgotten_where_what_they_were_of_was_given_up(log: SqliteLog) -> None:
    first = log.append([Entry(b"a", key(1)), Entry(b"b", key(2)), Entry(b"c", key(3))])
    log.forget(first[1].position - 1, first[1].position)
    again = log.append([Entry(b"a", key(1)), Entry(b"b", key(2)), Entry(b"c", key(3))])
    assert [receipt.duplicate for receipt in again] == [True, False, True]
    assert log.append([Entry(b"b", key(2))])[0].position == again[1].position
