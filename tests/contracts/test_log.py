"""What the Log port promises, of every log."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.log.sqlite import SqliteLog
from headrace.log.valkey.log import ValkeyLog
from headrace.log.valkey.server import LogServer
from headrace.model.entries import Entry, Held, Kind, Record
from headrace.model.errors import Unavailable
from headrace.model.event import STEP, first_position, is_history, partition_of, position_of, received_at_ms
from headrace.ports.log import Log
from tests.fakes import MemoryLog
from tests.valkey_server import Valkey, valkey

__all__ = ["valkey"]

NOW_MS = 1_736_899_200_000
DAY_MS = 86_400_000
_END = 2**62
_names = itertools.count()


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class SqliteLogs:
    """One SQLite file, opened again and again; `break_down` makes its disk full."""

    def __init__(self, folder: Path, _valkey: Callable[[], Valkey]) -> None:
        self.clock = Clock()
        self._path = folder / "log.sqlite"
        self._log: SqliteLog | None = None

    def open(self, **settings: Any) -> SqliteLog:
        self.close()
        self._log = SqliteLog(self._path, clock_ms=self.clock, **settings)
        return self._log

    def break_down(self) -> None:
        assert self._log
        pages = self._log._file.writer.execute("PRAGMA page_count").fetchone()[0]
        self._log._file.writer.execute(f"PRAGMA max_page_count = {pages}")

    def mend(self) -> None:
        assert self._log
        self._log._file.writer.execute("PRAGMA max_page_count = 1000000000")

    def close(self) -> None:
        if self._log:
            self._log.close()


class MemoryLogs:
    def __init__(self, _folder: Path, _valkey: Callable[[], Valkey]) -> None:
        self.clock = Clock()
        self._log: MemoryLog | None = None

    def open(self, **settings: Any) -> MemoryLog:
        self._log = MemoryLog(clock_ms=self.clock, reopens=self._log, **settings)
        return self._log

    def break_down(self) -> None:
        assert self._log
        self._log.broken = "disk full"

    def mend(self) -> None:
        assert self._log
        self._log.broken = ""

    def close(self) -> None:
        pass


class ValkeyLogs:
    """One log on a Valkey server, opened again and again; `break_down` leaves the server no memory."""

    def __init__(self, _folder: Path, valkey: Callable[[], Valkey]) -> None:
        self.clock = Clock()
        self._valkey = valkey()
        self._name = f"contract{next(_names)}"
        self._log: ValkeyLog | None = None

    def open(self, **settings: Any) -> ValkeyLog:
        self.close()
        server = LogServer(self._valkey.url, name=self._name)
        self._log = ValkeyLog(server, instance="i", clock_ms=self.clock, **settings)
        return self._log

    def break_down(self) -> None:
        self._valkey.client.config_set("maxmemory", 1)

    def mend(self) -> None:
        self._valkey.client.config_set("maxmemory", 0)

    def close(self) -> None:
        self.mend()
        if self._log:
            self._log.close()


class PartitionedLogs(ValkeyLogs):
    """The same with four partitions, unless a test wants one of its own."""

    def open(self, **settings: Any) -> ValkeyLog:
        log = super().open(**({} if "partition" in settings else {"partitions": 4}) | settings)
        log._turns = itertools.count()  # so that two logs give the same positions
        return log


Logs = SqliteLogs | MemoryLogs | ValkeyLogs
_ALL = {
    "params": [SqliteLogs, MemoryLogs, ValkeyLogs, PartitionedLogs],
    "ids": ["sqlite", "memory", "valkey", "valkey-4-partitions"],
}


@pytest.fixture(**_ALL)
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Logs]:
    logs: Logs = request.param(tmp_path, lambda: request.getfixturevalue("valkey"))
    yield logs
    logs.close()


def another(logs: Logs, tmp_path: Path) -> Logs:
    """A log beside it."""
    return type(logs)(tmp_path / "..", lambda: logs._valkey)  # type: ignore[union-attr]


def entries(*payloads: str) -> list[Entry]:
    return [Entry(payload.encode()) for payload in payloads]


def keyed(payload: str, key: str) -> Entry:
    return Entry(payload.encode(), key.encode().ljust(16, b"."))


def everything(log: Log) -> list[Record]:
    return log.read(0, 10**9, 10**12)


def payloads(log: Log) -> list[str]:
    return [record.payload.decode() for record in everything(log)]


def trim_all(log: Log, upto: int = _END) -> int:
    gone = 0
    while step := log.trim(upto):
        gone += step
    return gone


# Appending and reading


def test_ids_say_which_entries_are_history_and_keys_do_not(logs: Logs) -> None:
    log = logs.open()
    receipts = [
        *log.append([keyed("a", "k")]),
        *log.append([keyed("b", "l"), keyed("c", "k")], history=True),
        *log.append(entries("d")),
    ]
    assert [is_history(receipt.tail) for receipt in receipts] == [False, True, False, False]
    assert [receipt.duplicate for receipt in receipts] == [False, False, True, False]
    assert [(record.payload, is_history(record.tail)) for record in everything(logs.open())] == [
        *((b"a", False), (b"b", True), (b"d", False))
    ]


def test_entries_are_read_in_the_order_in_which_they_were_appended(logs: Logs) -> None:
    log = logs.open()
    receipts = log.append(entries("a", "b")) + log.append(entries("c"))
    found = everything(log)
    assert [record.payload for record in found] == [b"a", b"b", b"c"]
    assert [(each.position, each.id) for each in receipts] == [(each.position, each.id) for each in found]
    assert not any(receipt.duplicate for receipt in receipts)


def test_an_id_holds_its_position_and_a_position_the_time_of_receipt(logs: Logs) -> None:
    for receipt in logs.open().append(entries("a", "b")):
        assert position_of(receipt.id) == receipt.position
        assert received_at_ms(receipt.position) == NOW_MS


def test_ids_differ_between_two_logs_that_give_the_same_positions(logs: Logs, tmp_path: Path) -> None:
    other = another(logs, tmp_path)
    first, second = logs.open().append(entries("a"))[0], other.open().append(entries("a"))[0]
    other.close()
    assert first.position == second.position
    assert first.id != second.id


def test_nothing_appended_is_nothing_stored(logs: Logs) -> None:
    log = logs.open()
    assert log.append([]) == []
    assert (log.last(), everything(log), log.trim(_END)) == (0, [], 0)


def test_payloads_come_back_byte_for_byte_after_reopening(logs: Logs) -> None:
    sent = [b"", b"\0", b"\xff\xfe", b"{}", bytes(range(256)) * 1000]
    receipts = logs.open().append([Entry(payload) for payload in sent])
    found = everything(logs.open())
    assert [record.payload for record in found] == sent
    assert [record.id for record in found] == [receipt.id for receipt in receipts]


# Positions


def test_positions_increase_while_the_clock_stands_still_or_goes_back(logs: Logs) -> None:
    log = logs.open()
    given = []
    for now_ms in (NOW_MS, NOW_MS, NOW_MS - DAY_MS, 0, NOW_MS + 1, NOW_MS):
        logs.clock.now_ms = now_ms
        given += [receipt.position for receipt in log.append(entries("a", "b", "c"))]
    assert given == sorted(set(given))
    assert [record.position for record in everything(log)] == given


def test_positions_increase_across_reopening_with_the_clock_gone_back(logs: Logs) -> None:
    first = logs.open().append(entries("a", "b"))[-1].position
    logs.clock.now_ms = 0
    assert logs.open().append(entries("c"))[0].position > first


def test_no_position_comes_again_after_everything_was_trimmed_and_the_log_reopened(logs: Logs) -> None:
    log = logs.open()
    last = log.append(entries("a", "b"))[-1].position
    assert trim_all(log) == 2
    logs.clock.now_ms = 0
    log = logs.open()
    assert (log.last(), everything(log)) == (last, [])
    assert log.append(entries("c"))[0].position > last
    assert payloads(log) == ["c"]


def test_no_position_at_or_below_the_floor_is_given(logs: Logs) -> None:
    floor = first_position(NOW_MS + DAY_MS) + 5
    log = logs.open(floor=floor)
    assert log.last() == floor
    given = [receipt.position for receipt in log.append(entries("a", "b"))]
    assert floor < given[0] < given[1] < floor + 3 * STEP
    assert given[1] < logs.open(floor=3).append(entries("c"))[0].position, "a lower floor changes nothing"


def test_the_last_position_is_that_of_the_last_entry(logs: Logs) -> None:
    log = logs.open()
    last = log.append([keyed("a", "k"), keyed("b", "l")])[-1].position
    assert log.last() == last
    log.append([keyed("a", "k")])
    assert log.last() == last, "a repeat adds nothing"
    assert logs.open().last() == last


# Repeats


def test_a_repeated_key_within_one_call_writes_once(logs: Logs) -> None:
    log = logs.open()
    first, other, repeat, last = log.append([keyed("a", "k"), keyed("b", "l"), keyed("a again", "k"), keyed("c", "m")])
    assert (repeat.position, repeat.id, repeat.duplicate) == (first.position, first.id, True)
    assert [each.duplicate for each in (first, other, last)] == [False, False, False]
    assert payloads(log) == ["a", "b", "c"]
    assert [record.id for record in everything(log)] == [first.id, other.id, last.id]


def test_a_repeated_key_in_a_later_call_writes_nothing(logs: Logs) -> None:
    log = logs.open()
    first = log.append([keyed("a", "k")])[0]
    new, repeat = log.append([keyed("b", "l"), keyed("c", "k")])
    assert (repeat.position, repeat.id, repeat.duplicate) == (first.position, first.id, True)
    assert not new.duplicate
    assert payloads(log) == ["a", "b"]


def test_a_repeated_key_is_known_after_reopening(logs: Logs) -> None:
    first = logs.open().append([keyed("z", "j"), keyed("a", "k")])[1]
    log = logs.open()
    repeat = log.append([keyed("b", "k")])[0]
    assert (repeat.position, repeat.id, repeat.duplicate) == (first.position, first.id, True)
    assert payloads(log) == ["z", "a"]


def test_a_repeated_key_is_known_after_its_entry_was_trimmed(logs: Logs) -> None:
    log = logs.open()
    first = log.append([keyed("a", "k")])[0]
    trim_all(log)
    repeat = logs.open().append([keyed("b", "k")])[0]
    assert (repeat.position, repeat.id, repeat.duplicate) == (first.position, first.id, True)


def test_entries_without_a_key_are_never_repeats(logs: Logs) -> None:
    log = logs.open()
    assert not any(receipt.duplicate for receipt in log.append(entries("a", "a")) + log.append(entries("a")))
    assert payloads(log) == ["a", "a", "a"]


def test_a_key_sent_by_many_threads_at_once_is_written_once(logs: Logs) -> None:
    log = logs.open()
    keys = [f"k{number}" for number in range(40)]

    def send(thread: int) -> dict[str, tuple[str, bool]]:
        order = keys[thread:] + keys[:thread]
        sent: dict[str, tuple[str, bool]] = {}
        for start in range(0, len(order), 5):
            batch = order[start : start + 5]
            receipts = log.append([keyed(f"{thread} {key}", key) for key in batch])
            sent |= {key: (receipt.id, receipt.duplicate) for key, receipt in zip(batch, receipts, strict=True)}
        return sent

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    stored = {record.id for record in everything(log)}
    assert len(stored) == len(keys)
    for key in keys:
        ids = {answer[key][0] for answer in answers}
        assert len(ids) == 1, "all were told the same id"
        assert ids <= stored
        assert [answer[key][1] for answer in answers].count(False) == 1, "and one of them that it was the first"


@pytest.mark.parametrize("trimmed", [False, True], ids=["not yet trimmed", "trimmed"])
def test_a_key_is_forgotten_when_its_window_has_passed(logs: Logs, trimmed: bool) -> None:
    log = logs.open(dedup_window_s=60)
    first = log.append([keyed("a", "k")])[0]
    logs.clock.now_ms += 60_000
    if trimmed:
        trim_all(log, 0)
    assert log.append([keyed("b", "k")])[0].duplicate, "the window's last millisecond"
    logs.clock.now_ms += 1
    if trimmed:
        trim_all(log, 0)
    second, repeat = log.append([keyed("c", "k"), keyed("d", "k")])
    assert not second.duplicate
    assert second.position > first.position
    assert (repeat.id, repeat.duplicate) == (second.id, True), "the new one's window has begun"
    assert payloads(log) == ["a", "c"]
    logs.clock.now_ms += 60_000
    assert logs.open(dedup_window_s=60).append([keyed("e", "k")])[0].id == second.id


def test_a_clock_that_goes_back_forgets_no_key(logs: Logs) -> None:
    log = logs.open(dedup_window_s=60)
    first = log.append([keyed("a", "k")])[0]
    logs.clock.now_ms -= DAY_MS
    trim_all(log, 0)
    assert log.append([keyed("b", "k")])[0].id == first.id


# Reading within bounds


def test_a_read_gives_at_most_so_many_entries_and_cuts_within_one_append(logs: Logs) -> None:
    log = logs.open()
    receipts = log.append(entries(*"abcde"))
    assert [record.payload for record in log.read(0, 2, 10**9)] == [b"a", b"b"]
    found = log.read(receipts[1].position, 2, 10**9)
    assert [(record.payload, record.id) for record in found] == [(b"c", receipts[2].id), (b"d", receipts[3].id)]
    assert [record.payload for record in log.read(receipts[3].position, 9, 10**9)] == [b"e"]
    assert log.read(receipts[4].position, 9, 10**9) == []


def test_a_read_gives_at_most_so_many_bytes_but_at_least_one_entry(logs: Logs) -> None:
    log = logs.open()
    log.append(entries("x" * 10, "y" * 10, "z"))
    assert [len(record.payload) for record in log.read(0, 9, 20)] == [10, 10]
    assert [len(record.payload) for record in log.read(0, 9, 19)] == [10]
    assert [len(record.payload) for record in log.read(0, 9, 1)] == [10]


@pytest.fixture(scope="module", **_ALL)
def make_logs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Logs]:
    return lambda: request.param(tmp_path_factory.mktemp("log"), lambda: request.getfixturevalue("valkey"))


_sizes = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6), max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(appends=_sizes, max_entries=st.integers(1, 8), max_bytes=st.integers(1, 100))
def test_reading_on_from_the_last_entry_gives_each_entry_once(
    make_logs: Callable[[], Logs], appends: list[list[int]], max_entries: int, max_bytes: int
) -> None:
    logs = make_logs()
    log = logs.open()
    receipts = [receipt for sizes in appends for receipt in log.append([Entry(b"x" * size) for size in sizes])]
    found: list[Record] = []
    while step := log.read(found[-1].position if found else 0, max_entries, max_bytes):
        size = sum(len(record.payload) for record in step)
        assert len(step) == 1 or (len(step) <= max_entries and size <= max_bytes)
        following = len(found) + len(step)
        if following < len(receipts) and len(step) < max_entries:
            sizes = [size for each in appends for size in each]
            assert size + sizes[following] > max_bytes, "it could have held one more"
        found += step
    assert [record.id for record in found] == [receipt.id for receipt in receipts]
    assert [len(record.payload) for record in found] == [size for sizes in appends for size in sizes]
    logs.close()


def test_a_follower_sees_each_entry_once_while_many_threads_append(logs: Logs) -> None:
    log = logs.open()
    writing = threading.Event()
    writing.set()
    followed: list[Record] = []

    def write(thread: int) -> list[str]:
        return [receipt.id for number in range(40) for receipt in log.append(entries(f"{thread} {number}", "x"))]

    def follow() -> None:
        while True:
            going_on = writing.is_set()
            acknowledged = log.last()
            step = log.read(followed[-1].position if followed else 0, 7, 10**9)
            if step:
                followed.extend(step)
            elif not going_on:
                return
            else:
                assert not followed or followed[-1].position >= acknowledged, "what is durable can be read"

    with ThreadPoolExecutor(5) as pool:
        follower = pool.submit(follow)
        ids = [each for found in pool.map(write, range(4)) for each in found]
        writing.clear()
        follower.result(30)
    positions = [record.position for record in followed]
    assert positions == sorted(set(positions))
    assert sorted(record.id for record in followed) == sorted(ids)


def test_what_is_held_up_to_a_position_can_be_counted_without_reading_it(logs: Logs) -> None:
    log = logs.open()
    assert log.held(_END) == Held(0, _END, _END)
    receipts = [*log.append(entries("a", "b", "c")), *log.append(entries("d")), *log.append(entries("e", "f"))]
    positions = [receipt.position for receipt in receipts]
    for count, position in enumerate(positions, start=1):
        for upto in (position, position + 1, position + STEP - 1):
            assert log.held(upto) == Held(count, positions[0] - 1, position)
    assert log.held(_END) == Held(6, positions[0] - 1, positions[5])
    assert log.held(positions[0] - 1).events == 0
    trim_all(log, positions[3])
    log = logs.open()
    assert log.held(positions[3]) == Held(0, positions[3], positions[3])
    held = log.held(_END)
    assert (held.events, [record.position for record in log.read(held.after, 9, 99)]) == (2, positions[4:])


# Commands


def mixed(log: Log) -> list[tuple[int, int]]:
    """Four appends of events and commands, as (position, kind)."""
    given: list[tuple[int, int]] = []
    for kinds in ((0, Kind.ERASURE, 0), (Kind.TIMER, 200), (0, 0), (Kind.MERGE,)):
        receipts = log.append([Entry(b"%d" % kind, kind=kind) for kind in kinds])
        given += [(receipt.position, kind) for receipt, kind in zip(receipts, kinds, strict=True)]
    return given


def test_a_record_says_what_it_is_also_after_reopening_and_when_it_is_read_alone(logs: Logs) -> None:
    given = mixed(logs.open())
    log = logs.open()
    assert [(record.position, record.kind) for record in everything(log)] == given
    assert all(record.payload == b"%d" % record.kind for record in everything(log))
    for position, kind in given:
        assert [(record.position, record.kind) for record in log.read(position - 1, 1, 99)] == [(position, kind)]


def test_a_repeated_command_is_known_as_a_repeated_event_is(logs: Logs) -> None:
    log = logs.open()
    command = Entry(b"erase", b"k" * 16, Kind.ERASURE)
    first = log.append([Entry(b"event"), command])[1]
    repeat, event = logs.open().append([command, Entry(b"event")])
    assert (repeat.position, repeat.duplicate, event.duplicate) == (first.position, True, False)
    assert [record.kind for record in everything(logs.open())] == [0, Kind.ERASURE, 0]


def test_what_is_held_counts_events_alone_and_knows_the_last_of_them(logs: Logs) -> None:
    log = logs.open()
    given = mixed(log)
    events = [position for position, kind in given if not kind]
    for position, _ in given:
        before = [each for each in events if each <= position]
        assert log.held(position) == Held(len(before), given[0][0] - 1, before[-1])
    assert trim_all(log, given[4][0]) == 5
    log = logs.open()
    assert log.held(given[4][0]) == Held(0, given[4][0], events[1]), "the last event that was trimmed"
    assert log.held(_END) == Held(2, given[5][0] - 1, events[-1])
    assert trim_all(log) == 3
    assert logs.open().held(_END) == Held(0, _END, events[-1])


# Partitions


def test_two_partitions_that_append_at_once_never_give_one_position(logs: Logs, tmp_path: Path) -> None:
    other_logs = another(logs, tmp_path)
    opened = [logs.open(partition=0), other_logs.open(partition=1)]

    def append(log: Log) -> list[tuple[int, str]]:
        return [(each.position, each.id) for size in range(60) for each in log.append(entries(*"x" * (size % 7 + 1)))]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(append, opened)
    other_logs.close()
    both = first + second
    assert len({position for position, _ in both}) == len({event_id for _, event_id in both}) == len(both)
    assert {position % STEP for position, _ in first} == {0}
    assert {position % STEP for position, _ in second} == {1}
    assert [first, second] == [sorted(first), sorted(second)]


def test_more_entries_than_one_millisecond_has_positions_go_on_into_the_next(logs: Logs) -> None:
    log = logs.open()
    given = [receipt.position for receipt in log.append([Entry(b"")] * 20_000)]
    assert given == sorted(set(given))
    received = [received_at_ms(position) for position in given]
    assert (received.count(NOW_MS), received.count(NOW_MS + 1)) == (16_384, 20_000 - 16_384)
    logs.clock.now_ms += 1
    following = log.append(entries("a"))[0].position
    assert (following > given[-1], received_at_ms(following)) == (True, NOW_MS + 1)


# Trimming


def test_a_trim_forgets_what_it_is_told_and_nothing_after(logs: Logs) -> None:
    log = logs.open()
    appended = [log.append(entries(f"a{number}", f"b{number}")) for number in range(5)]
    assert trim_all(log, appended[2][1].position) == 6
    assert payloads(log) == ["a3", "b3", "a4", "b4"]
    assert log.last() == appended[4][1].position
    assert payloads(logs.open()) == ["a3", "b3", "a4", "b4"]


def test_a_trim_within_one_append_keeps_all_that_comes_after(logs: Logs) -> None:
    log = logs.open()
    receipts = log.append(entries("a", "b", "c"))
    trim_all(log, receipts[1].position)
    assert [record.payload for record in log.read(receipts[1].position, 9, 99)] == [b"c"]
    trim_all(log, receipts[2].position)
    assert everything(log) == []


def test_trimming_goes_in_steps_until_all_is_gone(logs: Logs) -> None:
    log = logs.open(dedup_window_s=1)
    for start in range(0, 600, 2):
        log.append([keyed("x" * 50_000, f"{start}"), keyed("y", f"{start + 1}")])
    logs.clock.now_ms += 1001
    assert trim_all(log) == 600
    assert log.size_bytes() == 0
    assert logs.open().size_bytes() == 0


# Failure


def test_a_full_log_refuses_and_stores_nothing_until_it_is_trimmed(logs: Logs) -> None:
    log = logs.open(max_bytes=100)
    last = log.append(entries("x" * 100))[0].position
    for _ in range(2):
        with pytest.raises(Unavailable):
            log.append([keyed("b", "k")])
    assert (payloads(log), log.last()) == (["x" * 100], last)
    log = logs.open(max_bytes=100)
    with pytest.raises(Unavailable):
        log.append([keyed("b", "k")])
    trim_all(log)
    receipt = log.append([keyed("b", "k")])[0]
    assert not receipt.duplicate, "the refused entry's key was not kept"
    assert receipt.position > last
    assert payloads(log) == ["b"]


def test_a_log_is_full_once_it_holds_as_many_bytes_as_it_may(logs: Logs) -> None:
    log = logs.open()
    log.append(entries("x" * 100))
    held = log.size_bytes()
    log = logs.open(max_bytes=held)
    with pytest.raises(Unavailable):
        log.append(entries("y"))
    log = logs.open(max_bytes=held + 1)
    log.append(entries("y"))
    assert payloads(log) == ["x" * 100, "y"]


def test_a_failed_append_stores_nothing_and_the_next_one_works(logs: Logs) -> None:
    log = logs.open()
    last = log.append([keyed("a", "k1")])[0].position
    logs.break_down()
    for _ in range(2):
        with pytest.raises(Unavailable):
            log.append([keyed("x" * 100_000, "k2"), keyed("c", "k3")])
    assert payloads(log) == ["a"]
    assert log.last() == last, "what a query waits for is durable"
    logs.mend()
    assert log.append([keyed("a", "k1")])[0].duplicate
    assert log.last() == last, "and a repeat makes nothing durable"
    receipts = log.append([keyed("b", "k2"), keyed("c", "k3"), keyed("a", "k1")])
    assert [receipt.duplicate for receipt in receipts] == [False, False, True]
    assert receipts[0].position > last
    assert log.last() == receipts[1].position
    assert payloads(log) == payloads(logs.open()) == ["a", "b", "c"]


# Tails and known keys


@pytest.mark.parametrize("partition", [0, 5])
def test_the_tail_of_each_partition_is_that_of_its_last_acknowledged_entry(logs: Logs, partition: int) -> None:
    log = logs.open(partition=partition, floor=first_position(NOW_MS))
    assert asyncio.run(log.tails()) == {partition: first_position(NOW_MS)}, "also of one that was never written to"
    last = log.append([keyed("a", "k"), keyed("b", "l")])[-1].position
    assert asyncio.run(log.tails()) == {partition: last} == {partition_of(last): log.last()}
    log.append([keyed("a", "k")])
    assert asyncio.run(log.tails()) == {partition: last}, "a repeat adds nothing"


def test_a_key_is_known_as_long_as_a_repeat_of_it_is(logs: Logs) -> None:
    log = logs.open(dedup_window_s=60)
    entry = keyed("a", "k")
    assert log.knows(entry.key) is None
    first = log.append([entry])[0].position
    log.append([entry])
    assert log.knows(entry.key) == first
    trim_all(log)
    assert log.knows(entry.key) == first
    logs.clock.now_ms += 61_000
    assert log.knows(entry.key) is None
    assert not log.append([entry])[0].duplicate
