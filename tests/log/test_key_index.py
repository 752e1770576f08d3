"""The index of keys over a log, while it fails: what an append then does, and how often it is opened again."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.log import key_index
from headrace.log.known_keys import KnownKeys
from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry
from headrace.model.errors import Unavailable

NOW_MS = 1_736_899_200_000


class SickKeys(KnownKeys):
    """While `sick`, it takes no keys, like RocksDB on a full disk. `opened`: how often one was."""

    sick = False
    opened = 0

    def __init__(self, path: Path, **settings: Any) -> None:
        SickKeys.opened += 1
        super().__init__(path, **settings)

    def add(self, given: Mapping[bytes, tuple[int, int]], last: int, /) -> None:
        if SickKeys.sick:
            raise RuntimeError("IO error: No space left on device")
        super().add(given, last)


class Monotonic:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Monotonic]:
    clock = Monotonic()
    monkeypatch.setattr(key_index, "KnownKeys", SickKeys)
    monkeypatch.setattr(key_index, "time", SimpleNamespace(monotonic=clock))
    SickKeys.sick, SickKeys.opened = False, 0
    yield clock
    SickKeys.sick = False


def entry(number: int) -> list[Entry]:
    return [Entry(b"%d" % number, b"%016d" % number)]


def test_an_index_that_keeps_failing_is_opened_again_once_a_second_and_not_for_each_append(
    tmp_path: Path, monotonic: Monotonic
) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", clock_ms=lambda: NOW_MS)) as log:
        log.append(entry(0))
        assert SickKeys.opened == 1
        SickKeys.sick = True
        log.append(entry(1))  # its chunk is durable; that the index lacks its key shows at the next
        opened: list[int] = []
        for wait_s in (0, 0, 0.9, 0.2, 0, 0.9, 0.1):
            monotonic.now_s += wait_s
            with pytest.raises(Unavailable):
                log.append(entry(2))
            opened.append(SickKeys.opened)
        assert opened == [2, 2, 2, 3, 3, 3, 4]


def test_an_index_that_works_again_has_the_keys_of_meanwhile_and_appends_go_on(
    tmp_path: Path, monotonic: Monotonic
) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", clock_ms=lambda: NOW_MS)) as log:
        log.append(entry(0))
        SickKeys.sick = True
        [first] = log.append(entry(1))
        with pytest.raises(Unavailable):
            log.append(entry(2))
        SickKeys.sick = False
        [again] = log.append(entry(1))
        assert (again.duplicate, again.id) == (True, first.id)
        assert not log.append(entry(2))[0].duplicate
