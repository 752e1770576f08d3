"""Erased events go out of the log's chunks; their places, keys and neighbours stay, and no byte of them does."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry, Kind, Record
from tests.log.test_old_files import NOW_MS, key
from tests.log.test_spoilt import change, everything, flip, open_log

_numbers = itertools.count()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    with closing(open_log(path)) as log:
        yield log


def files(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.iterdir() if each.is_file())


def test_an_emptied_event_keeps_its_place_and_its_key_and_its_neighbours_stay(path: Path) -> None:
    with closing(open_log(path)) as log:
        receipts = log.append([Entry(b"secret-%d" % number, key(number)) for number in range(5)])
        log.append([Entry(b"other", kind=Kind.TIMER)])
        before = everything(log)
        size = log.size_bytes()
        log.redact([receipts[1].position, receipts[3].position])
        wanted = [
            Record(each.position, each.tail, b"", Kind.ERASED) if index in (1, 3) else each
            for index, each in enumerate(before)
        ]
        assert everything(log) == wanted
        [again] = log.append([Entry(b"again", key(1))])
        assert (again.position, again.duplicate) == (receipts[1].position, True)
        held = log.held(log.last())
        assert (held.events, held.last_event) == (5, receipts[4].position)
        assert log.size_bytes() == size - 2 * len(b"secret-1")
    with closing(open_log(path)) as reopened:
        assert everything(reopened) == wanted
        assert reopened.knows(key(3)) == receipts[3].position
        assert reopened.size_bytes() == size - 2 * len(b"secret-1")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=8), st.data())
def test_any_entries_are_emptied_and_no_others(tmp_path_factory: pytest.TempPathFactory, chunks, data) -> None:
    path = tmp_path_factory.mktemp("log") / "log.sqlite"
    with closing(SqliteLog(path, clock_ms=lambda: NOW_MS)) as log:
        for chunk in chunks:
            log.append([Entry(b"p%d" % next(_numbers), kind=Kind.EVENT if each else Kind.TIMER) for each in chunk])
        before = everything(log)
        chosen = data.draw(st.sets(st.sampled_from(before).map(lambda record: record.position)))
        unknown = data.draw(st.sets(st.integers(1, 2**62), max_size=3)) - {each.position for each in before}
        log.redact([*chosen, *unknown])
        assert everything(log) == [
            Record(each.position, each.tail, b"", Kind.ERASED) if each.position in chosen and not each.kind else each
            for each in before
        ]
        log.redact([*chosen])
        assert log.held(log.last()).events == sum(not each.kind for each in before)


@pytest.mark.parametrize("size", [10, 5_000, 200_000])
def test_no_byte_of_an_emptied_event_is_left_in_any_file(path: Path, log: SqliteLog, size: int) -> None:
    trimmed = log.append([Entry(b"trimmed-secret" * (size // 10), key(0))])
    receipts = log.append([Entry(b"kept-%d" % number * (size // 6), key(number)) for number in range(1, 4)])
    secret = log.append([Entry(b"my-secret" + b"x" * size + b"my-secret", key(9)), Entry(b"beside", key(10))])
    assert b"my-secret" in files(path)
    log.trim(trimmed[0].position)
    log.redact([secret[0].position])
    log.overwrite()
    left = files(path)
    assert b"my-secret" not in left
    assert b"trimmed-secret" not in left
    assert [each.payload for each in everything(log)][-1] == b"beside"
    assert log.knows(key(0)) == trimmed[0].position
    assert log.append([Entry(b"", key(2))])[0].position == receipts[1].position


def test_a_chunk_that_is_not_what_was_written_stays_for_its_checksums_to_tell(path: Path, log: SqliteLog) -> None:
    receipts = log.append([Entry(b"first"), Entry(b"second")])
    later = log.append([Entry(b"third")])
    change(path, "payloads", flip(b"first"))
    before = everything(log)
    log.redact([receipts[1].position, later[0].position])
    assert everything(log)[:2] == before[:2]
    assert everything(log)[2] == Record(later[0].position, later[0].tail, b"", Kind.ERASED)


def test_no_byte_of_a_large_file_is_left_either(path: Path, log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not written anew as a whole."""
    monkeypatch.setattr("headrace.log.redact._REWRITTEN_BYTES", 0)
    trimmed = log.append([Entry(b"trimmed-secret" * 5_000)])
    secret = log.append([Entry(b"my-secret" * 5_000), Entry(b"beside")])
    log.append([Entry(b"later" * 5_000)])
    log.trim(trimmed[0].position)
    log.redact([secret[0].position])
    log.overwrite()
    left = files(path)
    assert b"trimmed-secret" not in left
    assert b"my-secret" not in left
    assert b"laterlater" in left
