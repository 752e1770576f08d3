"""The worker over fakes that fail and crash where they are told to."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headrace.model.entries import Entry, ErasedEvent, Kind, Record
from headrace.model.event import STEP, Event, encode, position_of, tail_of
from headrace.model.settings import Settings
from headrace.pipeline.worker import Worker
from headrace.ports.control import ControlFailed, LeaseLost
from headrace.ports.store import StoreFailed, StoreRefused
from tests.fakes import MemoryErasedEvents, MemoryLog, MemoryQuarantine, MemoryStore
from tests.waiting import until

NOW_MS = 1_736_899_200_000
END = 2**63 - 1


class Offsets:
    """The committed position, in memory. `broken` says that a commit fails; `unsure`, that it succeeds and fails to say so.

    `rival`: another worker has taken over. `lost`: one has since this worker last took the right to commit.
    """

    def __init__(self) -> None:
        self.committed = 0
        self.broken = self.unsure = self.rival = self.lost = False

    def take_over(self, upto: int) -> None:
        """Another worker takes over, and commits positions up to this one."""
        self.rival = self.lost = True
        self.committed = upto

    def take_again(self) -> bool:
        if self.rival:
            raise LeaseLost("told to")
        was_lost, self.lost = self.lost, False
        return was_lost

    def position(self) -> int:
        return self.committed

    def commit(self, position: int, /) -> None:
        if self.lost:
            raise LeaseLost("told to")
        if not self.broken:
            self.committed = max(self.committed, position)
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


class LateStore(MemoryStore):
    """A store on a network. `fails`: the next insert fails, and its rows arrive later: while somebody settles, or with the next ones."""

    fails = False

    def __init__(self) -> None:
        super().__init__()
        self._late: list[Record] = []

    def insert(self, records: Sequence[Record], /) -> None:
        if self.fails:
            self.fails = False
            self._late += records
            raise StoreFailed("timed out")
        super().insert(records)
        self.settle()

    def settle(self) -> None:
        late, self._late = self._late, []
        if late:
            super().insert(late)


class Crash(BaseException):
    """The process is gone."""


class Machine:
    """What survives a crash: log, store, control. `worker` starts a process on them."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.log = MemoryLog(clock_ms=lambda: self.now_ms)
        self.store = UnsureStore()
        self.offsets = Offsets()
        self.erased = MemoryErasedEvents()
        self.quarantine = MemoryQuarantine()
        self.commands: list[tuple[int, int, bytes]] = []
        self.crash_at_command = 0
        self.progressed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.needed_from = END
        self._numbers = itertools.count()

    def worker(self, crash_after: str = "", probe: Callable[[], None] = lambda: None, **settings: float) -> Worker:
        def step(name: str) -> None:
            if name == crash_after:
                raise Crash

        return Worker(
            self.log,
            self.store,
            self.offsets,
            Settings.from_environ({}, **settings),
            needed_from=lambda: self.needed_from,
            erased=self.erased,
            put_aside=self.quarantine,
            probe=probe,
            settle=getattr(self.store, "settle", lambda: None),
            commands=self.run,
            on_progress=lambda: self.progressed.put(None),
            clock_ms=lambda: self.now_ms,
            on_step=step,
        )

    def run(self, position: int, kind: int, payload: bytes) -> None:
        self.commands.append((position, kind, payload))
        before = {each.position for each in self.log.read(0, 999, 10**9) if not each.kind and each.position < position}
        erased = {each.position for page in self.erased.pages(0, END) for each in page}
        assert before <= {event.position for event in self.store._events} | erased, "what came before it is stored"
        if len(self.commands) == self.crash_at_command:
            raise Crash

    def command(self, payload: bytes, kind: int = Kind.ERASURE) -> tuple[int, int, bytes]:
        """Append a command; as it should be handed over."""
        return self.log.append([Entry(payload, kind=kind)])[0].position, kind, payload

    def erase(self, *ids: str, remove: bool = True) -> None:
        self.erased.add([ErasedEvent(position_of(each), tail_of(each)) for each in ids])
        if remove:
            self.store.erase(ids)

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


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The warnings and errors that are logged."""
    found: list[str] = []

    def keep(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method in ("warning", "error"):
            found.append(event["event"])
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep])
    yield found
    structlog.configure(processors=before)


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
    # It counts a flush a moment after what it stored is visible.
    assert until(lambda: worker.progress.flushes, lambda flushes: flushes >= 2) == 2, "three were enough, two were not"
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


def test_a_worker_that_lost_its_lease_stores_nothing_while_another_holds_it_and_misses_no_event_afterwards() -> None:
    machine = Machine()
    ids = machine.append(3)
    worker = machine.worker(flush_max_events=2)
    assert worker.step()
    machine.offsets.take_over(machine.log.last() + 1000 * STEP)  # past events that only this log has
    ids += machine.append(3)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            worker.step()
    before = machine.stored()
    assert len(before) < 5
    ids += machine.append(2)
    with pytest.raises(LeaseLost):
        worker.step()
    assert machine.stored() == before
    machine.offsets.rival = False
    drain(worker)
    assert machine.stored() == ids
    assert worker.progress.visible == machine.log.last()


def test_a_worker_that_has_its_lease_again_asks_the_store_before_it_stores_more() -> None:
    machine = Machine()
    ids = machine.append(2)
    worker = machine.worker(flush_max_events=2)
    assert worker.step()
    machine.offsets.take_over(0)
    ids += machine.append(3)
    with pytest.raises(LeaseLost):
        worker.step()
    later = machine.log.read(0, 99, 10**6)[4:]
    machine.store.insert(later)  # as another worker on the same store would have, or an insert that arrived late
    machine.offsets.rival = False
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
    machine.needed_from = machine.log.last() - 2 * STEP
    worker = machine.worker(log_keep_s=0.001, log_max_bytes=1)
    machine.now_ms += 600_001
    drain(worker)
    assert machine.log.held(END).events == 2


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


def test_what_was_erased_on_purpose_stays_erased_and_is_no_loss(logged: list[str]) -> None:
    machine = Machine()
    ids = machine.append(5)
    drain(machine.worker())
    machine.erase(ids[2])
    drain(machine.worker())
    assert machine.stored() == [*ids[:2], *ids[3:]]
    assert logged == []
    machine.store.erase(ids[:2])  # one part that a disk lost
    drain(machine.worker(flush_max_events=2))
    assert machine.stored() == [*ids[:2], *ids[3:]], "what is not on the list comes back, and nothing else"
    assert logged == ["store_lost_events"]


def test_what_cannot_be_read_is_put_aside_and_holds_nothing_up(logged: list[str]) -> None:
    machine = Machine()
    ids = machine.append(6)
    for event_id in (ids[0], ids[3], ids[5]):
        machine.log.spoil(position_of(event_id))
    drain(machine.worker(flush_max_events=2))
    assert machine.stored() == [ids[1], ids[2], ids[4]]
    assert [each.id for each in machine.quarantine.listed(-1, 99)] == [ids[0], ids[3], ids[5]]
    assert machine.offsets.committed == machine.log.last()
    assert set(logged) == {"entries_put_aside"}
    logged.clear()
    drain(machine.worker())
    assert logged == [], "they are no loss"
    machine.store.erase([ids[4]])
    drain(machine.worker())
    assert machine.stored() == [ids[1], ids[2], ids[4]], "and what is one is made up for"
    assert logged == ["store_lost_events"]


@pytest.mark.parametrize("step", ["read", "insert", "commit", "trim"])
def test_what_was_put_aside_is_no_loss_and_stays_aside_although_it_can_be_read_again(
    logged: list[str], step: str
) -> None:
    machine = Machine()
    ids = machine.append(4)
    readable = list(machine.log._records)
    machine.log.spoil(position_of(ids[2]))
    with pytest.raises(Crash):
        machine.worker(crash_after=step).step()
    put_aside_before = machine.quarantine.count()
    machine.log._records = readable
    drain(machine.worker())
    drain(machine.worker())
    assert machine.quarantine.count() == put_aside_before == (0 if step in ("read", "insert") else 1)
    assert machine.stored() == [event_id for event_id in ids if not put_aside_before or event_id != ids[2]]
    assert logged == ["entries_put_aside"] * put_aside_before


def test_what_was_put_aside_before_a_commit_that_failed_is_not_stored_when_it_can_be_read_again() -> None:
    machine = Machine()
    ids = machine.append(4)
    readable = list(machine.log._records)
    machine.log.spoil(position_of(ids[3]))
    machine.offsets.broken = True
    with pytest.raises(ControlFailed):
        machine.worker().step()
    machine.log._records = readable
    machine.offsets.broken = False
    drain(machine.worker())
    assert machine.stored() == ids[:3], "only a retry stores it, and takes it off the list"
    assert machine.quarantine.count() == 1


def test_what_the_store_lost_and_the_log_cannot_give_back_is_put_aside(logged: list[str]) -> None:
    machine = Machine()
    ids = machine.append(4)
    drain(machine.worker())
    machine.log.spoil(position_of(ids[1]))
    machine.log.spoil(position_of(ids[2]))
    machine.store.erase(ids[:2])
    drain(machine.worker())
    assert machine.stored() == [ids[0], ids[2], ids[3]]
    assert [each.id for each in machine.quarantine.listed(-1, 99)] == [ids[1]]
    assert logged == ["store_lost_events", "entries_put_aside"]


def test_work_for_the_workers_thread_is_done_there_and_what_it_raises_is_raised_here() -> None:
    machine = Machine()
    worker = machine.worker(flush_interval_ms=3_600_000)
    done: list[str] = []
    worker.run(lambda: done.append(threading.current_thread().name))
    worker.start()
    worker.run(lambda: done.append(threading.current_thread().name))

    def fail() -> None:
        raise StoreFailed("told to")

    with pytest.raises(StoreFailed):
        worker.run(fail)
    machine.append(1)
    worker.run(lambda: done.append("while events gather"))
    worker.stop()
    assert done == [threading.current_thread().name, "worker", "while events gather"]
    assert len(machine.stored()) == 1


def test_what_was_erased_before_it_was_committed_stays_erased() -> None:
    machine = Machine()
    ids = machine.append(5)
    worker = machine.worker()
    machine.offsets.broken = True
    with pytest.raises(ControlFailed):
        worker.step()
    machine.offsets.broken = False
    machine.erase(*ids)
    for each in (worker, machine.worker()):
        drain(each)
        assert machine.stored() == []


def test_an_erasure_that_a_crash_interrupted_is_ended_by_the_next_start(logged: list[str]) -> None:
    machine = Machine()
    ids = machine.append(5)
    drain(machine.worker())
    machine.erase(ids[0], ids[4], remove=False)
    machine.store.erase([ids[1], ids[2]])  # as many are lost as are listed and still there
    drain(machine.worker())
    assert machine.stored() == ids[1:4]
    assert logged == ["erased_events_removed_again", "store_lost_events"]


def test_erased_events_that_an_older_copy_of_the_store_brings_back_are_removed_again() -> None:
    machine = Machine()
    ids = machine.append(5)
    drain(machine.worker())
    copy = list(machine.store._events)
    machine.log.trim(END)
    machine.erase(ids[1], ids[3])
    later = machine.append(3)
    drain(machine.worker())
    machine.store._events = copy
    drain(machine.worker())
    assert machine.stored() == sorted([ids[0], ids[2], ids[4], *later])


@pytest.mark.parametrize("last", ["event", "command", "erased"])
@pytest.mark.parametrize("trimmed", [False, True])
def test_a_store_that_is_behind_is_an_error_and_one_that_ends_with_a_command_or_an_erasure_is_not(
    logged: list[str], last: str, trimmed: bool
) -> None:
    machine = Machine()
    ids = machine.append(3)
    if last == "command":
        machine.command(b"")
    drain(machine.worker())
    if last == "erased":
        machine.erase(ids[2])
    if trimmed:
        machine.log.trim(END)
    drain(machine.worker())
    assert logged == []
    machine.store._events = []
    drain(machine.worker())
    if trimmed:
        assert logged == ([] if last == "erased" else ["store_is_behind"])
    else:
        assert logged == ["store_lost_events"]
        assert machine.stored() == (ids[:2] if last == "erased" else ids)


def test_commands_are_handed_over_in_order_and_never_stored(logged: list[str]) -> None:
    machine = Machine()
    ids = machine.append(2)
    commands = [machine.command(b"a"), machine.command(b"b", Kind.TIMER)]
    ids += machine.append(2)
    commands.append(machine.command(b"c", 200))
    drain(machine.worker())
    assert machine.commands == commands
    assert machine.stored() == ids
    assert machine.offsets.committed == commands[2][0] == machine.log.last()
    drain(machine.worker())
    assert machine.commands == commands, "what was committed is not handed over again"
    assert logged == [], "and none of them is an event that was lost"


def test_commands_alone_are_committed() -> None:
    machine = Machine()
    command = machine.command(b"a")
    worker = machine.worker()
    assert worker.step()
    assert (machine.offsets.committed, worker.progress.visible, worker.progress.stored_events) == (command[0],) * 2 + (
        0,
    )


def test_a_crash_before_the_commit_hands_a_command_over_once_more_with_its_position() -> None:
    machine = Machine()
    machine.append(1)
    commands = [machine.command(b"a"), machine.command(b"b")]
    ids = machine.append(1)
    machine.crash_at_command = 2
    with pytest.raises(Crash):
        machine.worker().step()
    assert machine.offsets.committed == 0
    drain(machine.worker())
    assert machine.commands == [*commands, *commands]
    assert machine.stored()[1:] == ids


def test_a_command_that_nobody_runs_is_logged_and_passed_over(logged: list[str]) -> None:
    machine = Machine()
    position, *_ = machine.command(b"x", 200)
    worker = Worker(
        *(machine.log, machine.store, machine.offsets, Settings()),
        erased=machine.erased,
        put_aside=machine.quarantine,
        needed_from=lambda: END,
        on_progress=lambda: None,
        clock_ms=lambda: NOW_MS,
    )
    drain(worker)
    assert machine.offsets.committed == position
    assert logged == ["command_skipped"]


actions = st.lists(
    st.one_of(
        st.integers(1, 7).map(lambda count: ("append", count)),
        st.sampled_from([1, 2, 200]).map(lambda kind: ("command", kind)),
        st.integers(0, 60).map(lambda nth: ("erase", nth)),
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
    gone: set[str] = set()
    commands: list[tuple[int, int, bytes]] = []
    for action, what in actions:
        if action == "append":
            ids += machine.append(int(what))
        elif action == "command":
            commands.append(machine.command(b"", int(what)))
        elif action == "erase":
            found = machine.stored()[int(what) :][:2]
            machine.erase(*found, remove=len(gone) % 2 == 0)
            gone.update(found)
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
    assert machine.stored() == sorted(set(ids) - gone)
    assert list(dict.fromkeys(machine.commands)) == commands
    assert machine.offsets.committed in (0, machine.log.last())


class SmallStore(MemoryStore):
    """A store on a full disk: `room` bytes of payload fit in, and an insert that does not fit stores nothing."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.tried: list[int] = []

    def insert(self, records: Sequence[Record], /) -> None:
        self.tried.append(len(records))
        size = sum(len(record.payload) for record in records)
        if size > self.room:
            raise StoreFailed("Code: 243. Cannot reserve 1.00 MiB, not enough space: NOT_ENOUGH_SPACE")
        self.room -= size
        super().insert(records)


def test_what_does_not_fit_is_halved_until_it_does_and_grows_again_when_there_is_room() -> None:
    machine = Machine()
    ids = machine.append(64)
    size = len(machine.log.read(0, 1, 1)[0].payload)
    machine.store = store = SmallStore(room=size * 6)  # pyright: ignore[reportAttributeAccessIssue]
    worker = machine.worker()
    for _ in range(12):
        with contextlib.suppress(StoreFailed):
            worker.step()
    assert machine.stored() == ids[: len(machine.stored())]
    assert len(machine.stored()) >= 5, "what fits in is stored"
    assert store.tried[:5] == [64, 32, 16, 8, 4]
    store.room = 10**9
    store.tried.clear()
    drain(worker)
    assert machine.stored() == ids
    assert store.tried[0] <= 4
    assert max(store.tried) > store.tried[0], "and the portions grow again"


def test_it_tells_whether_the_store_fails_it_until_it_stores_again() -> None:
    machine = Machine()
    ids = machine.append(1)
    machine.store.broken = "told to"
    worker = machine.worker()
    assert not worker.store_fails()
    worker.start()
    try:
        until(worker.store_fails)
        machine.store.broken = ""
        until(lambda: not worker.store_fails())
    finally:
        worker.stop()
    assert machine.stored() == ids


def test_on_a_full_disk_the_log_lets_go_of_what_is_stored_at_once() -> None:
    machine = Machine()
    machine.append(10)
    worker = machine.worker()
    drain(worker)
    assert machine.log.held(END).events == 10, "kept for a while as a second copy"
    machine.append(5)
    store = machine.store
    store.broken = "told to"
    worker._on_failure(StoreFailed("told to"), 1)
    assert machine.log.held(END).events == 15, "a store that fails otherwise may yet need the second copy"
    worker._on_failure(StoreFailed("write: No space left on device"), 1)
    assert machine.log.held(END).events == 5
    machine.needed_from = 0
    worker._on_failure(StoreFailed("No space left on device"), 1)
    assert machine.log.held(END).events == 5


def test_nothing_is_ready_before_a_probe_could_be_written() -> None:
    machine = Machine()
    machine.append(1)
    tried: queue.SimpleQueue[None] = queue.SimpleQueue()
    works = threading.Event()

    def probe() -> None:
        tried.put(None)
        if not works.is_set():
            raise StoreFailed("a disk that is read-only")

    worker = machine.worker(probe=probe)
    worker.start()
    try:
        for _ in range(2):
            tried.get(timeout=30)
        worker.wait_until_tried(30)
        assert not worker.progress.ready
        assert machine.stored() == []
        works.set()
        until(lambda: worker.progress.ready)
        assert len(machine.stored()) == 1
    finally:
        worker.stop()


class PickyStore(MemoryStore):
    """A store that can never take an event with a certain name."""

    def insert(self, records: Sequence[Record], /) -> None:
        if any(b'"n13"' in record.payload or b'"n20"' in record.payload for record in records):
            raise StoreRefused("Code: 117. DB::Exception: Cannot parse")
        super().insert(records)


def test_what_the_store_can_never_take_is_put_aside_and_holds_nothing_up(logged: list[str]) -> None:
    machine = Machine()
    ids = machine.append(40)
    machine.store = PickyStore()  # pyright: ignore[reportAttributeAccessIssue]
    drain(machine.worker(flush_max_events=25))
    refused = [ids[13], ids[20]]
    assert machine.stored() == [event_id for event_id in ids if event_id not in refused]
    assert [each.id for each in machine.quarantine.listed(-1, 99)] == refused
    assert "Cannot parse" in machine.quarantine.listed(-1, 99)[0].why
    assert machine.offsets.committed == machine.log.last()
    logged.clear()
    drain(machine.worker())
    assert logged == []


def test_each_recovery_settles_before_it_asks_the_store() -> None:
    machine = Machine()
    machine.store = store = LateStore()  # type: ignore[assignment]
    worker = machine.worker()
    for _ in range(3):
        machine.log.append([Entry(encode(Event("p", "live", "flux", "n", NOW_MS))) for _ in range(5)])
        store.fails = True
        with pytest.raises(StoreFailed):
            worker.step()
        while worker.step():
            pass
    assert store.held(0, END) == 15
