"""An index that was lost: which keys are to be learnt again, whatever ends the start that finds it out."""

import itertools
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry, Receipt
from headrace.model.event import first_position

NOW_MS = 1_736_899_200_000


def opened(path: Path, floor: int = 0) -> SqliteLog:
    return SqliteLog(path, clock_ms=lambda: NOW_MS, floor=floor)


def entries(*numbers: int) -> list[Entry]:
    return [Entry(b"%d" % number, b"%016d" % number) for number in numbers]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def given(path: Path) -> list[Receipt]:
    """What five keyed entries were given, of which the log holds only the last two; their index is lost."""
    with closing(opened(path)) as log:
        receipts = [*log.append(entries(0, 1, 2)), *log.append(entries(3, 4))]
        log.trim(receipts[2].position)
        assert [record.payload for record in log.read(0, 9, 999)] == [b"3", b"4"]
    shutil.rmtree(path.with_suffix(".keys"))
    return receipts


def is_repeat(log: SqliteLog, number: int) -> bool:
    return log.append(entries(number))[0].duplicate


def test_keys_that_only_the_lost_index_had_are_named_and_the_logs_own_are_known_at_once(
    path: Path, given: list[Receipt]
) -> None:
    with closing(opened(path)) as log:
        assert log.lost_keys() == (first_position(NOW_MS - 7 * 86_400_000), given[2].position)
        assert is_repeat(log, 4)


def test_a_start_that_ends_before_lost_keys_are_learnt_leaves_them_to_the_next_one(
    path: Path, given: list[Receipt]
) -> None:
    with closing(opened(path)) as log:
        lost = log.lost_keys()
        assert lost is not None
        log.learn({b"%016d" % 2: (given[2].position, given[2].tail)}, done=False)
    with closing(opened(path)) as log:
        assert log.lost_keys() == lost, "although the index has the keys of the log's entries after them by now"
        log.learn({b"%016d" % n: (given[n].position, given[n].tail) for n in (0, 1)}, done=True)
        assert log.lost_keys() is None
        assert [is_repeat(log, number) for number in range(6)] == [True] * 5 + [False]
    with closing(opened(path)) as log:
        assert log.lost_keys() is None
        assert [is_repeat(log, number) for number in range(7)] == [True] * 6 + [False]


def test_of_a_log_that_was_cut_back_the_keys_up_to_the_stores_last_event_are_lost(
    path: Path, given: list[Receipt]
) -> None:
    floor = given[4].position + (1 << 20)
    with closing(opened(path, floor)) as log:
        assert log.lost_keys() == (first_position(NOW_MS - 7 * 86_400_000), floor)
        [receipt] = log.append(entries(7))
        assert receipt.position > floor


def test_a_log_that_never_trimmed_a_key_has_lost_none(path: Path) -> None:
    with closing(opened(path)) as log:
        log.append([Entry(b"no key")])
        log.append(entries(0))
        log.trim(log.read(0, 1, 99)[0].position)
    shutil.rmtree(path.with_suffix(".keys"))
    with closing(opened(path)) as log:
        assert log.lost_keys() is None
        assert is_repeat(log, 0)


def test_the_files_of_an_index_before_there_were_generations_go_once_its_keys_are_learnt(
    path: Path, given: list[Receipt]
) -> None:
    folder = path.with_suffix(".keys")
    folder.mkdir()
    for name in ("CURRENT", "000008.sst"):
        (folder / name).write_bytes(b"as RocksDB wrote it")
    with closing(opened(path)) as log:
        assert log.lost_keys() is not None
        assert (folder / "CURRENT").exists(), "as long as a crash would need them to tell"
        log.learn({b"%016d" % n: (given[n].position, given[n].tail) for n in (0, 1, 2)}, done=True)
    assert [each.name for each in folder.iterdir() if each.is_file()] == []
    with closing(opened(path)) as log:
        assert log.lost_keys() is None
        assert is_repeat(log, 0)


def test_trims_that_follow_each_other_write_the_index_once_a_minute_and_keep_what_it_has_not_written(
    path: Path,
) -> None:
    now_ms, numbers = NOW_MS, itertools.count()
    with closing(SqliteLog(path, clock_ms=lambda: now_ms)) as log:

        def held_after_a_trim() -> int:
            [upto] = log.append(entries(next(numbers)))
            log.append(entries(next(numbers)))  # so that there is something that need not be written yet
            log.trim(upto.position)
            return len(log.read(0, 9999, 1 << 20))

        assert [held_after_a_trim() for _ in range(3)] == [1, 2, 4]
        now_ms += 59_000
        assert held_after_a_trim() == 6
        now_ms += 1000
        assert held_after_a_trim() == 1, "the index has written down all that waited"
