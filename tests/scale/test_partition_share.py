"""Workers that share partitions, each suspended at any point for any time: the real shares and leases, and a clock to turn.

Nothing runs in a thread here: a worker that is suspended is one whose steps are not called.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy.pool import StaticPool

from headrace.assembly.partition_share import PartitionShare
from headrace.control.database import writing
from headrace.control.leases import ControlLeases, LastingLease, require
from headrace.control.tables.positions import leases
from headrace.model.lease import Lease
from headrace.ports.control import LeaseLost
from headrace.ports.store import StoreFailed

_NAMES = st.sampled_from("abc")
_SECONDS = st.sampled_from([1, 4, 11])


class Time:
    """By which leases expire and threads are waited for. Its database has the leases."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.engine = sa.create_engine("sqlite://", poolclass=StaticPool)
        leases.create(self.engine)

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds
        with self.engine.begin() as connection:
            connection.execute(sa.update(leases).values(expires_at_ms=leases.c.expires_at_ms - round(seconds * 1000)))

    def holders(self) -> dict[str, str]:
        return ControlLeases(self.engine).living("storing/")


class Suspendable(ControlLeases):
    """meanwhile: what happens while the process is suspended before its so-manieth question to control."""

    before = 0
    meanwhile: Callable[[], None] | None = None

    def _may_be_suspended(self) -> None:
        self.before -= 1
        if self.before < 0 and (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            meanwhile()

    def take(self, name: str, owner: str, /) -> Lease | None:
        self._may_be_suspended()
        return super().take(name, owner)

    def living(self, prefix: str, /) -> dict[str, str]:
        self._may_be_suspended()
        return super().living(prefix)

    def release(self, lease: Lease, /) -> None:
        self._may_be_suspended()
        super().release(lease)


class Partition:
    """One that is opened. hangs: whether its thread is amid a call that does not return."""

    def __init__(self, number: int, lease: LastingLease, process: "Process") -> None:
        self.number, self.lease, self._time = number, lease, process.time
        self.store_fails = lambda: not process.stores
        self.is_started = self.is_asked = self.is_closed = self.hangs = False

    def start(self) -> None:
        self.is_started = True

    def ask_to_stop(self) -> None:
        self.is_asked = True

    def has_ended(self, timeout_s: float, /) -> bool:
        if self.hangs:
            self._time.pass_(timeout_s)
        return self.is_asked and not self.hangs

    def close(self) -> None:
        assert self.is_asked
        assert not self.is_closed
        self.is_closed = True

    def may_commit(self) -> bool:
        try:
            with writing(self._time.engine) as connection:
                require(connection, self.lease)
        except LeaseLost:
            return False
        return True


class Process:
    """A worker. fails: the partitions that it cannot open. answers, stores: what it gets of the store."""

    def __init__(self, time: Time, count: int) -> None:
        self.time = time
        self.answers = self.stores = True
        self.leases = Suspendable(time.engine)
        self.opened: list[Partition] = []
        self.fails: set[int] = set()
        self.is_closed = False
        self.share = PartitionShare(self.leases, count, self, monotonic_s=lambda: time.now_s)

    def open(self, number: int, lease: LastingLease, /) -> Partition:
        if number in self.fails or not self.answers:
            raise StoreFailed("It does not answer.")
        self.opened.append(Partition(number, lease, self))
        return self.opened[-1]

    def store_answers(self) -> bool:
        return self.answers

    def look(self) -> None:
        with suppress(StoreFailed):
            self.share.look()

    def cut(self) -> None:
        self.answers = self.stores = False

    def mend(self) -> None:
        self.answers = self.stores = True

    def close(self) -> None:
        self.is_closed = True

    def storing(self) -> list[int]:
        """Those that are stored here, as far as the fences let it."""
        return sorted(each.number for each in self.opened if not each.is_asked and each.may_commit())


@pytest.fixture
def time() -> Iterator[Time]:
    time = Time()
    yield time
    time.engine.dispose()


def go_on(time: Time, *processes: Process) -> None:
    """Half a minute in which nothing happens. Each looks and renews less often than it really does."""
    for _ in range(15):
        time.pass_(2)
        for each in processes:
            each.share.renew()
            each.look()


def is_even(time: Time, count: int, *processes: Process) -> None:
    """Every partition is stored by who holds it, and each process has its share."""
    stored = {f"storing/{number}": each.leases.process for each in processes for number in each.storing()}
    assert len(stored) == count
    assert stored == time.holders()
    shares = [len(each.share.held()) for each in processes]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("looks_first", [True, False])
@pytest.mark.parametrize("hangs", [True, False])
def test_a_worker_that_was_suspended_past_its_leases_has_its_share_again_whatever_its_threads_do(
    time: Time, looks_first: bool, hangs: bool
) -> None:
    one, other = Process(time, 4), Process(time, 4)
    go_on(time, one, other)
    is_even(time, 4, one, other)
    time.pass_(11)
    go_on(time, one)  # the other one is suspended
    assert (one.storing(), other.storing()) == ([0, 1, 2, 3], [])
    for each in other.opened:
        each.hangs = hangs
    began = time.now_s
    for step in (other.share.look, other.share.renew) if looks_first else (other.share.renew, other.share.look):
        step()
    for _ in range(5):
        for each in (one, other):
            each.share.look()
    is_even(time, 4, one, other)
    assert time.now_s - began < 5, "nobody has waited for the threads"


def test_a_partition_whose_thread_hangs_is_free_for_others_after_some_seconds(time: Time) -> None:
    one = Process(time, 2)
    one.share.look()
    hanging = one.opened[1]
    hanging.hangs = True
    other = Process(time, 2)
    other.share.look()
    for _ in range(4):
        one.share.look()
        other.share.look()
        assert other.storing() == [], "not at once: what it inserts now would be in vain"
        time.pass_(1)
    one.share.look()
    time.pass_(1)
    one.share.look()
    other.share.look()
    is_even(time, 2, one, other)
    assert not hanging.is_closed
    assert not hanging.may_commit()
    hanging.hangs = False
    one.share.look()
    assert hanging.is_closed
    is_even(time, 2, one, other)


def test_a_thread_that_settles_after_its_partition_was_freed_takes_it_from_nobody(time: Time) -> None:
    one, other = Process(time, 2), Process(time, 2)
    one.share.look()
    other.share.look()
    hanging = one.opened[1]
    hanging.hangs = True
    one.share.look()
    time.pass_(5)
    one.share.look()
    with pytest.raises(LeaseLost):
        hanging.lease.raise_fence()
    hanging.hangs = False
    go_on(time, one, other)
    is_even(time, 2, one, other)


def test_a_partition_that_cannot_be_opened_keeps_no_other_from_being_stored(time: Time) -> None:
    one = Process(time, 4)
    one.fails = {0, 2}
    for _ in range(2):
        with pytest.raises(StoreFailed):
            one.share.look()
        assert one.storing() == [1, 3]
    one.fails = set()
    one.share.look()
    is_even(time, 4, one)


def test_a_worker_that_ends_frees_everything_at_once_even_if_a_thread_hangs(time: Time) -> None:
    one = Process(time, 4)
    one.share.look()
    one.opened[2].hangs = True
    one.share.stop()
    assert one.is_closed
    assert time.holders() == {}
    assert ControlLeases(time.engine).living("member/") == {}
    assert [each.is_closed for each in one.opened] == [True, True, False, True]


def test_a_worker_whose_store_fails_it_leaves_its_share_to_one_that_is_well_and_has_it_again_later(time: Time) -> None:
    one, other = Process(time, 4), Process(time, 4)
    go_on(time, one, other)
    other.cut()
    other.look()
    for _ in range(9):
        time.pass_(1)
        for each in (one, other):
            each.share.renew()
            each.look()
        assert len(other.share.held()) == 2, "not at once: it may be over in a moment"
    time.pass_(1)
    other.look()
    one.look()
    is_even(time, 4, one)
    other.mend()
    other.look()
    one.look()
    is_even(time, 4, one)
    for _ in range(2):
        go_on(time, one, other)
    is_even(time, 4, one, other)


@pytest.mark.parametrize("answers", [True, False])
def test_nobody_moves_while_the_store_fails_everybody(time: Time, answers: bool) -> None:
    workers = [Process(time, 4) for _ in range(3)]
    go_on(time, *workers)
    holders, opened = time.holders(), [len(each.opened) for each in workers]
    for each in workers:
        each.cut()
        each.answers = answers
    for _ in range(4):
        go_on(time, *workers)
    assert (time.holders(), [len(each.opened) for each in workers]) == (holders, opened)
    for each in workers:
        each.mend()
    go_on(time, *workers)
    assert (time.holders(), [len(each.opened) for each in workers]) == (holders, opened)


def test_a_worker_that_starts_without_its_store_takes_no_share_until_it_answers(time: Time) -> None:
    one, other = Process(time, 4), Process(time, 4)
    go_on(time, one)
    other.cut()
    for _ in range(3):
        go_on(time, one, other)
        is_even(time, 4, one)
    assert len(one.opened) == 4, "it gave nothing back"
    other.mend()
    for _ in range(3):
        go_on(time, one, other)
    is_even(time, 4, one, other)


def test_a_worker_that_rests_asks_its_store_at_once_where_nobody_else_stores(time: Time) -> None:
    one, other = Process(time, 2), Process(time, 2)
    go_on(time, one, other)
    other.cut()
    go_on(time, one, other)
    is_even(time, 2, one)
    one.share.stop()
    other.look()
    assert time.holders() == {}
    other.mend()
    other.look()
    is_even(time, 2, other)


class Workers(RuleBasedStateMachine):
    """Workers that come, go, die and are suspended, that the store fails, whose partitions' threads hang and commit."""

    @initialize(count=st.integers(1, 6))
    def begin(self, count: int) -> None:
        self.time = Time()
        self.count = count
        self.running: dict[str, Process] = {}
        self.opened: list[Partition] = []
        self.fences: Counter[int] = Counter()

    @rule(name=_NAMES)
    def start_or_look(self, name: str) -> None:
        self.running.setdefault(name, Process(self.time, self.count)).look()

    @rule(name=_NAMES, answers=st.booleans(), stores=st.booleans())
    def have_of_the_store(self, name: str, answers: bool, stores: bool) -> None:
        if name in self.running:
            self.running[name].answers, self.running[name].stores = answers, stores and answers

    @rule(name=_NAMES)
    def renew(self, name: str) -> None:
        if name in self.running:
            self.running[name].share.renew()

    @rule(name=_NAMES)
    def die(self, name: str) -> None:
        self._leave(name)

    @rule(name=_NAMES)
    def end(self, name: str) -> None:
        if (ended := self._leave(name)) is not None:
            ended.share.stop()

    def _leave(self, name: str) -> Process | None:
        left = self.running.pop(name, None)
        if left is not None:
            self.opened += left.opened
        return left

    @rule(seconds=_SECONDS)
    def wait(self, seconds: int) -> None:
        self.time.pass_(seconds)

    @rule(name=_NAMES, before=st.integers(0, 6), seconds=_SECONDS, others=st.lists(_NAMES, max_size=4))
    def look_and_be_suspended(self, name: str, before: int, seconds: int, others: list[str]) -> None:
        if name not in self.running:
            return

        def meanwhile() -> None:
            self.time.pass_(seconds)
            for each in others:
                if each in self.running and each != name:
                    self.running[each].share.renew()
                    self.running[each].look()

        suspended = self.running[name]
        suspended.leases.before, suspended.leases.meanwhile = before, meanwhile
        suspended.look()
        suspended.leases.meanwhile = None

    @rule(name=_NAMES, at=st.integers(0, 5), hangs=st.booleans())
    def hang(self, name: str, at: int, hangs: bool) -> None:
        for each in self._opened_by(name)[at : at + 1]:
            each.hangs = hangs

    @rule(name=_NAMES, at=st.integers(0, 5))
    def settle(self, name: str, at: int) -> None:
        for each in self._opened_by(name)[at : at + 1]:
            try:
                each.lease.raise_fence()
            except LeaseLost:
                assert each.is_asked or not each.may_commit()

    @rule(name=_NAMES, at=st.integers(0, 5))
    def commit(self, name: str, at: int) -> None:
        """Its thread may do so until it ends, also once it was asked to."""
        for each in self._opened_by(name)[at : at + 1]:
            if each.may_commit():
                fence = each.lease.current.fence
                assert fence >= self.fences[each.number], "nobody commits after a later one has"
                self.fences[each.number] = fence

    def _opened_by(self, name: str) -> list[Partition]:
        """Newest first."""
        return self.running[name].opened[::-1] if name in self.running else []

    def teardown(self) -> None:
        if not hasattr(self, "time"):
            return
        running = list(self.running.values())
        for each in running:
            each.answers = each.stores  # or it would come and go for ever, seldom
        fit = [each for each in running if each.stores]
        if running:
            self._settle(running, fit)
        for each in running:
            for partition in each.opened:
                partition.hangs = False
            each.share.stop()
            assert all(partition.is_closed for partition in each.opened if partition.is_started)
        if running:
            assert not {each.leases.process for each in running} & set(self.time.holders().values())
        self.time.engine.dispose()

    def _settle(self, running: list[Process], fit: list[Process]) -> None:
        """Those that the store answers share all, and then nothing moves any more; nor does it where it answers nobody."""
        for _ in range(4):
            go_on(self.time, *running)
            shares = [each.share.held() for each in fit]
            if (
                fit
                and sum(map(len, shares)) == self.count
                and len(max(shares, key=len)) - len(min(shares, key=len)) <= 1
            ):
                break
        opened = [len(each.opened) for each in running]
        go_on(self.time, *running)
        if fit:
            is_even(self.time, self.count, *fit)
            assert [len(each.opened) for each in running] == opened


TestWorkersOfWhichAnyIsSuspended = Workers.TestCase
TestWorkersOfWhichAnyIsSuspended.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
