"""The partitions of the log on Valkey, and the workers that store one each."""

import itertools
import os
from collections.abc import Iterator

import pytest

from headrace.log.valkey.log import ValkeyLog
from headrace.log.valkey.partition import PartitionLog
from headrace.log.valkey.server import LogServer
from headrace.model.entries import Entry, ErasedEvent, Held, Kind, Record
from headrace.model.errors import SettingsError
from headrace.model.event import Event, encode, partition_of
from headrace.model.quarantine import Quarantined
from headrace.model.settings import Settings
from headrace.pipeline.listed_in_partition import ErasedInPartition, PutAsideInPartition
from headrace.pipeline.worker import Worker
from tests.fakes import MemoryErasedEvents, MemoryQuarantine, MemoryStore
from tests.valkey_server import Valkey, valkey
from tests.worker.test_worker import Offsets

__all__ = ["valkey"]

_names = itertools.count()
_PARTITIONS = 3
_ALL = (10**9, 10**12)
_END = 2**62


class Opener:
    """Opens one log again and again, and closes it."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._name = f"parts{os.getpid()}x{next(_names)}"
        self._opened: list[ValkeyLog] = []

    def __call__(self, partitions: int = _PARTITIONS, *, is_owner: bool = True) -> ValkeyLog:
        log = ValkeyLog(self.server(), instance="i", partitions=partitions, is_owner=is_owner)
        self._opened.append(log)
        return log

    def server(self) -> LogServer:
        return LogServer(self._valkey.url, name=self._name)

    def of(self, log: ValkeyLog) -> list[PartitionLog]:
        return [PartitionLog(log, self.server(), partition) for partition in range(_PARTITIONS)]

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture
def logs(valkey: Valkey) -> Iterator[Opener]:
    opener = Opener(valkey)
    yield opener
    opener.close()


def filled(log: ValkeyLog, appends: int = 10) -> list[Record]:
    """What is in a log after some appends of different sizes."""
    for number in range(appends):
        events = [Event("p", "live", "s", "n", 0, user_id=f"u{number}") for _ in range(number % 4 + 1)]
        log.append([Entry(encode(each), bytes([number, index]) * 8) for index, each in enumerate(events)])
    return log.read(0, *_ALL)


def test_each_append_is_one_partitions_and_all_have_one_order(logs: Opener) -> None:
    log = logs()
    whole = filled(log)
    assert [each.position for each in whole] == sorted({each.position for each in whole})
    assert {partition_of(each.position) for each in whole} == set(range(_PARTITIONS))
    parts = [each.read(0, *_ALL) for each in logs.of(log)]
    assert sorted((record for part in parts for record in part), key=lambda each: each.position) == whole
    for partition, records in enumerate(parts):
        assert {partition_of(each.position) for each in records} == {partition}


def test_a_partition_is_read_from_any_position_of_any_partition_in_portions(logs: Opener) -> None:
    log = logs()
    whole = filled(log)
    for partition, part in enumerate(logs.of(log)):
        own = [each for each in whole if partition_of(each.position) == partition]
        for record in whole:
            after = [each for each in own if each.position > record.position]
            assert part.read(record.position, 2, 10**9) == after[:2]
            held = [each for each in own if each.position <= record.position]
            expected = (len(held), held[-1].position) if held else (0, 0)
            found = part.held(record.position)
            assert (found.events, found.last_event) == expected
            assert found.after == (own[0].position - 1 if held else record.position)


def test_a_partition_ends_where_the_log_does_and_leaves_trimming_to_whoever_trims_all(logs: Opener) -> None:
    log = logs()
    whole = filled(log)
    for part in logs.of(log):
        assert part.last() == log.last() == whole[-1].position
        assert part.trim(_END) == 0
    assert log.read(0, *_ALL) == whole
    assert log.trim(whole[3].position) > 0
    assert [part.held(0) for part in logs.of(log)] == [Held(0, 0, log.held(0).last_event)] * _PARTITIONS


@pytest.mark.parametrize("is_owner", [True, False])
def test_the_number_of_partitions_stays_what_the_log_was_made_with(logs: Opener, is_owner: bool) -> None:
    log = logs(4)
    log.append([Entry(b"a")])
    for other in (1, 3):
        with pytest.raises(
            SettingsError, match=r"HEADRACE_LOG_PARTITIONS: .* was made with 4, .*: set it to 4, or name"
        ):
            logs(other, is_owner=is_owner)
    assert logs(4, is_owner=is_owner).last() == log.last()


def test_repeats_are_known_whichever_partition_they_come_to(logs: Opener) -> None:
    log = logs()
    [first] = log.append([Entry(b"a", b"k" * 16)])
    for _ in range(_PARTITIONS):
        [again] = log.append([Entry(b"a", b"k" * 16)])
        assert again.duplicate
        assert again.position == first.position


class Storing:
    """The workers of all partitions over one store, stepped by the test."""

    def __init__(self, logs: Opener, log: ValkeyLog) -> None:
        self.store = MemoryStore()
        self.erased, self.aside = MemoryErasedEvents(), MemoryQuarantine()
        self.offsets = [Offsets() for _ in range(_PARTITIONS)]
        self._parts = logs.of(log)
        self.workers = [self.begin(partition) for partition in range(_PARTITIONS)]

    def begin(self, partition: int) -> Worker:
        return Worker(
            *(self._parts[partition], self.store, self.offsets[partition], Settings()),
            erased=ErasedInPartition(self.erased, partition),
            put_aside=PutAsideInPartition(self.aside, partition),
            needed_from=lambda: 0,
            on_progress=lambda: None,
            clock_ms=lambda: 0,
            drain=False,
            is_shared=True,
        )


def test_workers_of_all_partitions_store_each_event_once_and_get_to_the_end_of_the_log(logs: Opener) -> None:
    log = logs()
    whole = filled(log)
    storing = Storing(logs, log)
    for worker in storing.workers:
        while worker.step():
            pass
        assert worker.progress.visible == log.last(), "what is behind its own last event is others'"
    assert storing.store.present(0, _END) == {each.id for each in whole}
    assert storing.store.held(0, _END) == len(whole)
    assert {each.committed for each in storing.offsets} == {log.last()}


def test_a_worker_that_has_nothing_to_store_passes_over_what_is_others(logs: Opener) -> None:
    log = logs()
    storing = Storing(logs, log)
    [receipt] = log.append([Entry(b"c", kind=Kind.ERASURE)])
    for partition, worker in enumerate(storing.workers):
        assert worker.step() == (partition == partition_of(receipt.position))
        assert worker.progress.visible == storing.offsets[partition].committed == receipt.position


def test_a_partition_that_another_takes_after_a_crash_is_stored_once(logs: Opener) -> None:
    log = logs()
    whole = filled(log)
    storing = Storing(logs, log)
    for partition in range(_PARTITIONS):
        storing.offsets[partition].broken = True
        with pytest.raises(Exception, match="told to"):  # stored, and not committed
            storing.workers[partition].step()
        storing.offsets[partition].broken = False
        heir = storing.begin(partition)
        while heir.step():
            pass
    assert storing.store.held(0, _END) == len(whole)
    assert {each.committed for each in storing.offsets} == {log.last()}


def test_a_worker_beside_others_never_erases_and_never_stores_what_was_erased(logs: Opener) -> None:
    log = logs()
    whole = filled(log)
    storing = Storing(logs, log)
    stored, unstored = whole[0], whole[1]
    storing.store.insert([stored])
    storing.erased.add([ErasedEvent(each.position, each.tail) for each in (stored, unstored)])
    for worker in storing.workers:
        while worker.step():
            pass
    assert storing.store.present(0, _END) == {each.id for each in whole} - {unstored.id}, (
        "the coordinator erases the other"
    )


def test_what_an_operator_stores_again_while_a_worker_recovers_is_not_stored_twice(logs: Opener) -> None:
    log = logs()
    record = filled(log, 1)[0]
    storing = Storing(logs, log)
    storing.aside.add([Quarantined(record.position, record.tail, 0, "why", record.payload, b"", 0)])
    pages = storing.aside.pages

    def stored_meanwhile(after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        if not storing.store.stored([record.id]):
            storing.store.insert([record])
            storing.aside.remove([record.position])
        return pages(after, upto)

    storing.aside.pages = stored_meanwhile  # pyright: ignore[reportAttributeAccessIssue]
    worker = storing.begin(partition_of(record.position))
    while worker.step():
        pass
    assert storing.store.held(0, _END) == 1
