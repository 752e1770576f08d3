"""The index of known keys, alone: when a key goes, and what a crash leaves."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from headrace.log.known_keys import KnownKeys


class Clock:
    now_ms = 1_736_899_200_000

    def __call__(self) -> int:
        return self.now_ms


def open_keys(folder: Path, clock: Clock, window_s: float = 60, max_bytes: int = 1 << 30) -> KnownKeys:
    return KnownKeys(folder / "keys", window_s=window_s, max_bytes=max_bytes, clock_ms=clock)


def key(number: int) -> bytes:
    return b"%016d" % number


def test_no_key_goes_before_its_window_however_its_files_are_merged_and_none_stays_for_ever(tmp_path: Path) -> None:
    """A file a key, so that files are merged again and again; opened again now and then."""
    clock = Clock()
    keys = open_keys(tmp_path, clock)
    for number in range(1, 60):
        clock.now_ms += 5000
        keys.add({key(number): (number, number)}, number)
        keys.flush()
        young = [key(each) for each in range(max(1, number - 12), number + 1)]
        assert keys.find(young).keys() == set(young)
        old = [key(each) for each in range(1, number - 25)]
        assert not keys.find(old), "past two windows nothing is left"
        assert len(list((tmp_path / "keys").iterdir())) <= 2
        assert keys.last() == number
        if number % 7 == 0:
            keys.close()
            keys = open_keys(tmp_path, clock)
    keys.close()


def test_a_key_given_again_after_its_window_is_found_where_it_was_given_last(tmp_path: Path) -> None:
    clock = Clock()
    with closing(open_keys(tmp_path, clock)) as keys:
        keys.add({key(1): (1, 1)}, 1)
        clock.now_ms += 60_001
        keys.add({key(1): (2, 2)}, 2)
        assert keys.find([key(1)]) == {key(1): (2, 2)}


def test_the_window_is_what_was_set_until_the_budget_made_a_generation_go_too_soon(tmp_path: Path) -> None:
    clock = Clock()
    with closing(open_keys(tmp_path, clock, window_s=600, max_bytes=1 << 20)) as keys:
        number = 0
        windows: list[float] = []
        for _ in range(5):
            clock.now_ms += 10_000
            keys.add({key(number + each): (number + each, 0) for each in range(10_000)}, number)
            number += 10_000
            windows.append(keys.window_s())
        assert windows[:2] == [600, 600]
        assert windows[-1] <= 30
        keys.find([key(number - 1)])


def test_a_voided_range_is_forgotten_and_stays_so_and_nothing_else_is(tmp_path: Path) -> None:
    clock = Clock()
    keys = open_keys(tmp_path, clock)
    keys.add({key(each): (each, each) for each in range(1, 10)}, 9)
    keys.void(5, 9)
    for _ in range(3):
        assert keys.find([key(each) for each in range(1, 10)]).keys() == {key(each) for each in range(1, 6)}
        keys.add({key(7): (17, 17)}, 17)
        assert keys.find([key(7), key(8)]) == {key(7): (17, 17)}, "given again, it is known again"
        keys.flush()
        keys.close()
        keys = open_keys(tmp_path, clock)
        keys.add({key(7): (7, 7)}, 17)  # as it was
    clock.now_ms += 60_001
    keys.add({key(50): (50, 50)}, 50)
    assert not keys.find([key(8)]), "also after a turn"
    keys.close()


@pytest.mark.parametrize("turned", [False, True])
def test_what_was_flushed_survives_a_crash_and_last_says_up_to_where(tmp_path: Path, turned: bool) -> None:
    clock = Clock()
    keys = open_keys(tmp_path, clock)
    keys.add({key(1): (1, 1)}, 1)
    keys.flush()
    if turned:
        clock.now_ms += 60_001
    keys.add({key(2): (2, 2)}, 2)
    shutil.copytree(tmp_path / "keys", tmp_path / "after" / "keys", ignore=shutil.ignore_patterns("LOCK"))
    with closing(keys), closing(open_keys(tmp_path / "after", clock)) as again:
        assert again.last() in (1, 2)
        assert len(again.find([key(1), key(2)])) == again.last()


def test_a_crash_after_the_next_generation_was_flushed_loses_no_key_of_the_one_before(tmp_path: Path) -> None:
    """`last` covers both, so a key that only waited in memory would be missed for good."""
    clock = Clock()
    keys = open_keys(tmp_path, clock)
    keys.add({key(1): (1, 1)}, 1)
    clock.now_ms += 60_001
    keys.add({key(2): (2, 2)}, 2)
    keys.flush()
    shutil.copytree(tmp_path / "keys", tmp_path / "after" / "keys", ignore=shutil.ignore_patterns("LOCK"))
    with closing(keys), closing(open_keys(tmp_path / "after", clock)) as again:
        assert again.last() == 2
        assert again.find([key(1), key(2)]) == {key(1): (1, 1), key(2): (2, 2)}


def test_after_a_restart_an_unknown_key_is_still_told_from_the_filters_without_a_look_into_the_files(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        keys = KnownKeys(tmp_path / "keys", window_s=3600, max_bytes=1 << 30)
        keys.add({os.urandom(16): (keys.last() + number, 0) for number in range(1, 2001)}, keys.last() + 2000)
        keys.close()
    keys = KnownKeys(tmp_path / "keys", window_s=3600, max_bytes=1 << 30)
    maybe = sum(bool(keys._current.files.key_may_exist(os.urandom(16))) for _ in range(1000))
    keys.close()
    assert maybe < 50


def test_a_void_survives_a_crash_right_after_it(tmp_path: Path) -> None:
    """A retry of what an older copy of the log lacks would be answered as a repeat, and be lost."""
    clock = Clock()
    keys = open_keys(tmp_path, clock)
    keys.add({key(each): (each, each) for each in range(1, 10)}, 9)
    keys.flush()
    keys.void(5, 9)
    shutil.copytree(tmp_path / "keys", tmp_path / "after" / "keys", ignore=shutil.ignore_patterns("LOCK"))
    with closing(keys), closing(open_keys(tmp_path / "after", clock)) as again:
        assert again.find([key(each) for each in range(1, 10)]).keys() == {key(each) for each in range(1, 6)}


def test_a_generation_that_a_crash_left_beside_the_two_younger_ones_is_removed(tmp_path: Path) -> None:
    clock = Clock()
    with closing(open_keys(tmp_path, clock)) as keys:
        keys.add({key(1): (1, 1)}, 1)
        keys.flush()
        [oldest] = (tmp_path / "keys").iterdir()
        shutil.copytree(oldest, tmp_path / "aside", ignore=shutil.ignore_patterns("LOCK"))
        for number in (2, 3):
            clock.now_ms += 60_001
            keys.add({key(number): (number, number)}, number)
    shutil.move(tmp_path / "aside", oldest)
    with closing(open_keys(tmp_path, clock)) as keys:
        assert sorted(each.name.split("-")[0] for each in (tmp_path / "keys").iterdir()) == ["1", "2"]
        assert keys.find([key(1), key(2), key(3)]).keys() == {key(2), key(3)}
        assert keys.last() == 3


def test_several_voids_survive_a_restart_each_as_it_was(tmp_path: Path) -> None:
    clock = Clock()
    with closing(open_keys(tmp_path, clock)) as keys:
        keys.add({key(each): (each, each) for each in range(1, 20)}, 19)
        for void in ((2, 4), (7, 8), (11, 15)):
            keys.void(*void)
    with closing(open_keys(tmp_path, clock)) as keys:
        gone = {key(each) for each in (3, 4, 8, 12, 13, 14, 15)}
        assert keys.find([key(each) for each in range(1, 20)]).keys() == {key(each) for each in range(1, 20)} - gone
