"""What the coordinator makes of what the workers of partitions tell, over channels in memory."""

from collections.abc import Iterator

import pytest

from headrace.model.entries import Entry
from headrace.model.errors import Unavailable
from headrace.pipeline.shared_progress import Wants
from headrace.pipeline.shared_storing import SharedStoring, Stored, StoredFeed, encode_stored
from headrace.pipeline.worker_progress import WorkerProgress
from headrace.ports.control import LeaseLost
from tests.fakes import MemoryLog
from tests.scale.cluster import wait_until
from tests.scale.test_shared_progress import Channels
from tests.worker.test_worker import Offsets


class Coordinator:
    """A `SharedStoring` over a log of ten entries. `committed`: what the worker of each of two partitions has committed."""

    def __init__(self) -> None:
        self.channels, self.log, self.offsets = Channels(), MemoryLog(clock_ms=lambda: 1), Offsets()
        self.positions = [each.position for each in self.log.append([Entry(b"a")] * 10)]
        self.committed = [0, 0]
        self.now_s = 100.0
        self.began: list[int] = []
        self.seen: list[int] = []
        self.progress = WorkerProgress()
        self.storing = SharedStoring(
            *(self.channels, self.log, self.offsets),
            committed=lambda: list(self.committed),
            begin=self.began.append,
            probe=lambda: None,
            trim_upto=lambda stored: min(stored, self.positions[4]),
            progress=self.progress,
            monotonic_s=lambda: self.now_s,
            on_progress=lambda: self.seen.append(self.progress.visible),
        )

    def hear(self, partition: int, index: int, teller: str = "t", **told: int) -> None:
        self.storing.hear(encode_stored(Stored(partition, self.positions[index], teller, **told)))  # pyright: ignore[reportArgumentType]
        self.storing.step()

    def look(self) -> None:
        self.now_s += 1
        self.storing.step()


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


def test_what_every_partition_has_stored_is_visible_and_it_never_goes_back(coordinator: Coordinator) -> None:
    at = coordinator.positions
    coordinator.hear(0, 6)
    assert coordinator.seen == []
    coordinator.hear(1, 3)
    coordinator.hear(1, 2, "of another that has just taken it")
    coordinator.hear(1, 8)
    assert coordinator.seen == [at[3], at[6]]
    coordinator.storing.hear(b"from another version")
    coordinator.storing.hear(encode_stored(Stored(7, at[9], "a partition that there is not")))
    coordinator.storing.step()
    assert coordinator.progress.visible == at[6]


def test_it_begins_with_what_is_committed_once(coordinator: Coordinator) -> None:
    at = coordinator.positions
    coordinator.committed = [at[5], at[2]]
    assert not coordinator.progress.ready
    coordinator.storing.step()
    coordinator.storing.step()
    assert coordinator.began == coordinator.seen == [at[2]]
    assert coordinator.progress.ready


def test_only_what_all_have_committed_is_committed_and_leaves_the_log(coordinator: Coordinator) -> None:
    at = coordinator.positions
    coordinator.hear(0, 9)
    coordinator.hear(1, 9)
    coordinator.committed = [at[9], at[2]]
    coordinator.look()
    assert coordinator.offsets.committed == at[2], "although all of it is visible"
    assert coordinator.log.held(at[9]).events == 7
    coordinator.committed = [at[9], at[8]]
    coordinator.look()
    assert coordinator.offsets.committed == at[8]
    assert coordinator.log.held(at[9]).events == 5, "what reactions still need stays"


def test_one_that_was_taken_over_from_commits_and_trims_nothing(coordinator: Coordinator) -> None:
    coordinator.storing.step()
    coordinator.offsets.take_over(0)
    coordinator.committed = [coordinator.positions[9]] * 2
    with pytest.raises(LeaseLost):
        coordinator.look()
    assert coordinator.offsets.committed == 0
    assert coordinator.log.held(coordinator.positions[9]).events == 10


def test_events_and_inserts_of_all_workers_are_counted(coordinator: Coordinator) -> None:
    for partition in (0, 1):
        coordinator.hear(partition, 1, stored_events=100, flushes=10)  # before this one listened
        coordinator.hear(partition, 2, stored_events=103, flushes=11)
    coordinator.hear(0, 3, "another", stored_events=5, flushes=1)
    coordinator.hear(0, 4, "another", stored_events=7, flushes=2)
    assert (coordinator.progress.stored_events, coordinator.progress.flushes) == (8, 3)


def test_what_a_worker_is_stuck_at_is_the_coordinators_trouble(coordinator: Coordinator) -> None:
    coordinator.storing.hear(encode_stored(Stored(1, 0, "t", stuck="the store is away")))
    assert coordinator.storing.stuck == coordinator.storing.failing == "the store is away"
    coordinator.storing.hear(encode_stored(Stored(1, 0, "t")))
    assert coordinator.storing.stuck == coordinator.storing.failing == ""


@pytest.fixture
def running(coordinator: Coordinator) -> Iterator[Coordinator]:
    coordinator.storing.start()
    yield coordinator
    coordinator.storing.stop()


def test_what_is_stored_and_what_is_waited_for_cross_also_after_the_channel_was_away(running: Coordinator) -> None:
    at, wanted = running.positions, list[int]()
    now = [Stored(0, at[3], "a"), Stored(1, at[4], "b")]
    feed = StoredFeed(running.channels, tellings=lambda: list(now), want=wanted.append)
    feed.start()
    try:
        wait_until(lambda: running.progress.visible == at[3])
        wait_until(lambda: bool(running.channels.heard.get(Wants.purpose)))
        running.storing.want(at[9])
        wait_until(lambda: wanted == [at[9]])
        running.channels.broken = True
        with pytest.raises(Unavailable):
            running.channels.publish("", b"")
        now[:] = [Stored(0, at[9], "a"), Stored(1, at[9], "b")]
        feed.wake()
        running.channels.broken = False
        wait_until(lambda: running.progress.visible == at[9])
        assert running.storing.run(lambda: None) is None
    finally:
        feed.stop()
