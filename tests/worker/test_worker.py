"""The worker over fakes that fail and crash where they are told to."""

import itertools
import queue
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headrace.model.entries import Entry, Record
from headrace.model.event import Event, encode
from headrace.model.settings import Settings
from headrace.pipeline.worker import Worker
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed
from tests.fakes import MemoryLog, MemoryStore

NOW_MS = 1_736_899_200_000
END = 2**63 - 1


class Offsets:
    """The committed position, in memory. `broken` says that a commit fails; `unsure`, that it succeeds and fails to say so."""

    def __init__(self) -> None:
        self.committed = 0
        self.broken = self.unsure = False

    def position(self) -> int:
        return self.committed

    def commit(self, position: int, /) -> None:
        if not self.broken:
            self.committed = position
        if self.broken or self.unsure:
            raise ControlFailed("told to")


class UnsureStore(MemoryStore):
    """`fails`: the next insert stores everything and then fails to say so."""

    fails = False

    def insert(self, records: Sequence[Record], /) -> None:
        super().insert(records)
        if self.fails:
            self.fails = False
            raise StoreFailed("told to")


class Crash(BaseException):
    """The process is gone."""


class Machine:
    """What survives a crash: log, store, offsets. `worker` starts a process on them."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.log = MemoryLog(clock_ms=lambda: self.now_ms)
        self.store = UnsureStore()
        self.offsets = Offsets()
        self.progressed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.needed_from = END
        self._numbers = itertools.count()

    def worker(self, crash_after: str = "", **settings: float) -> Worker:
        def step(name: str) -> None:
            if name == crash_after:
                raise Crash

        return Worker(
            self.log,
            self.store,
            self.offsets,
            Settings.from_environ({}, **settings),
            needed_from=lambda: self.needed_from,
            on_progress=lambda: self.progressed.put(None),
            clock_ms=lambda: self.now_ms,
            on_step=step,
        )

    def append(self, count: int) -> list[str]:
        entries = [
            Entry(
                encode(Event(project="p", mode="live", source="flux", name=f"n{next(self._numbers)}", timestamp_ms=1))
            )
            for _ in range(count)
        ]
        return [receipt.id for receipt in self.log.append(entries)]

    def stored(self) -> list[str]:
        return sorted(event.id for event in self.store._events)


def drain(worker: Worker) -> None:
    while worker.step():
        pass


def test_events_are_stored_and_committed_in_order() -> None:
    machine = Machine()
    ids = machine.append(10)
    worker = machine.worker(flush_max_events=3)
    drain(worker)
    assert machine.stored() == ids
    assert machine.offsets.committed == machine.log.last() == worker.progress.visible


def test_events_gather_between_two_inserts_until_there_are_enough_or_somebody_waits() -> None:
    machine = Machine()
    worker = machine.worker(flush_interval_ms=3_600_000, flush_enough_events=3)

    def wait_for_all() -> None:
        while worker.progress.visible < machine.log.last():
            machine.progressed.get(timeout=30)

    machine.append(1)
    worker.start()
    wait_for_all()
    for count in (2, 1):
        machine.append(count)
        worker.notify(count)
    wait_for_all()
    assert worker.progress.flushes == 2, "three were enough, and two were not"
    machine.append(1)
    worker.want(machine.log.last())
    wait_for_all()
    worker.stop()


def test_what_one_insert_does_not_take_is_not_left_to_gather() -> None:
    machine = Machine()
    machine.append(5)
    worker = machine.worker(flush_interval_ms=3_600_000, flush_max_events=2)
    worker.start()
    try:
        while worker.progress.visible < machine.log.last():
            machine.progressed.get(timeout=30)
    finally:
        worker.stop()
    assert worker.progress.flushes == 3


def test_an_insert_that_fails_after_storing_is_not_repeated() -> None:
    machine = Machine()
    ids = machine.append(5)
    machine.store.fails = True
    worker = machine.worker()
    with pytest.raises(StoreFailed):
        worker.step()
    assert machine.offsets.committed == 0
    drain(worker)
    assert machine.stored() == ids


def test_a_commit_that_fails_is_made_up_for() -> None:
    machine = Machine()
    ids = machine.append(5)
    machine.offsets.broken = True
    worker = machine.worker()
    with pytest.raises(ControlFailed):
        worker.step()
    machine.offsets.broken = False
    drain(worker)
    assert machine.stored() == ids
    assert machine.offsets.committed == machine.log.last()


def test_a_batch_is_cut_at_a_months_edge_of_the_time_of_receipt() -> None:
    machine = Machine()
    machine.now_ms = 1_738_367_999_999  # 2025-01-31T23:59:59.999Z
    before = machine.append(3)
    machine.now_ms += 1
    after = machine.append(3)
    worker = machine.worker()
    assert worker.step()
    assert machine.stored() == before
    drain(worker)
    assert machine.stored() == before + after


def test_what_was_committed_stays_in_the_log_as_a_second_copy_for_a_while() -> None:
    machine = Machine()
    machine.append(5)
    worker = machine.worker(log_keep_s=600)
    drain(worker)
    assert machine.log.held(END).events == 5
    machine.now_ms += 600_001
    worker._trimmed_at = 0.0
    machine.append(1)
    drain(worker)
    assert machine.log.held(END).events == 1


def test_what_the_reactions_still_need_stays_in_the_log() -> None:
    machine = Machine()
    machine.append(5)
    machine.needed_from = machine.log.last() - 2
    worker = machine.worker(log_keep_s=0.001, log_max_bytes=1)
    machine.now_ms += 600_001
    drain(worker)
    assert machine.log.held(END)[0] == 2


def test_second_copies_make_room_before_the_log_is_full() -> None:
    machine = Machine()
    machine.append(50)
    room = machine.log.size_bytes()
    worker = machine.worker(log_keep_s=600, log_max_bytes=room * 2 - 1)
    drain(worker)
    assert machine.log.held(END).events == 0
    assert len(machine.stored()) == 50


def test_a_control_database_put_back_from_an_older_copy_costs_no_more_than_a_batch_at_a_time() -> None:
    machine = Machine()
    ids = machine.append(50)
    drain(machine.worker())
    machine.offsets.committed = 0
    asked: list[int] = []
    present = machine.store.present

    def counted(after: int, upto: int) -> set[str]:
        asked.append(len(found := present(after, upto)))
        return found

    machine.store.present = counted  # pyright: ignore[reportAttributeAccessIssue]
    drain(machine.worker(flush_max_events=7))
    assert machine.stored() == ids
    assert sum(asked) == 50
    assert max(asked) == 7


@pytest.mark.parametrize("lost", [(0,), (4,), (1, 2, 5), tuple(range(6))])
def test_a_store_that_lost_young_events_gets_them_back(lost: tuple[int, ...]) -> None:
    machine = Machine()
    ids = machine.append(6)
    drain(machine.worker())
    machine.store._events = [event for event in machine.store._events if event.id not in {ids[n] for n in lost}]
    drain(machine.worker(flush_max_events=2))
    assert machine.stored() == ids


actions = st.lists(
    st.one_of(
        st.integers(1, 7).map(lambda count: ("append", count)),
        st.sampled_from(["read", "insert", "commit", "trim"]).map(lambda step: ("crash", step)),
        st.sampled_from([("step", ""), ("unsure insert", ""), ("unsure commit", ""), ("restart", ""), ("a month", "")]),
    ),
    max_size=30,
)


@hypothesis_settings(deadline=None, max_examples=200)
@given(actions=actions, flush=st.integers(1, 5))
def test_whatever_crashes_and_fails_each_event_is_stored_once(actions: list[tuple[str, int | str]], flush: int) -> None:
    machine = Machine()
    worker = machine.worker(flush_max_events=flush)
    ids: list[str] = []
    for action, what in actions:
        if action == "append":
            assert isinstance(what, int)
            ids += machine.append(what)
        elif action == "crash":
            try:
                machine.worker(crash_after=str(what), flush_max_events=flush).step()
            except Crash:
                pass
            worker = machine.worker(flush_max_events=flush)
        elif action == "restart":
            worker = machine.worker(flush_max_events=flush)
        elif action == "a month":
            machine.now_ms += 31 * 86_400_000
        else:
            machine.store.fails = action == "unsure insert"
            machine.offsets.unsure = action == "unsure commit"
            try:
                worker.step()
            except (StoreFailed, ControlFailed):
                pass
            machine.store.fails = machine.offsets.unsure = False
    drain(machine.worker(flush_max_events=flush))
    assert machine.stored() == sorted(ids)
    assert machine.offsets.committed in (0, machine.log.last())
