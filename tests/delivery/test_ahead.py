"""What the deliverer has in memory, whom it leaves alone for how long, and what it does without its lease: over fakes."""

import itertools
import threading
from collections.abc import Collection, Sequence

import msgspec
import pytest

from headrace.delivery.deliverer import Deliverer
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.model.webhook import Attempt, Due, Receiver, Tried
from headrace.ports.control import LeaseLost

MIB = 1024 * 1024


class Given:
    """A queue, a sender and the lease in one, all in memory. `sent`: what the sender has, by delivery."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("headrace.delivery.deliverer._BATCH_S", 0)
        self.now_ms = 1_800_000_000_000
        self.waiting: dict[int, Due] = {}
        self.sent: dict[int, Due] = {}
        self.ended: list[Tried] = []
        self.back: list[tuple[int, int]] = []
        self.recorded: list[int] = []
        self.asked: list[set[int] | None] = []
        self.tidied: list[tuple[set[int], set[int]]] = []
        self.recalled: list[int] = []
        self.is_taken = self.is_lost = self.has_more = False
        self.released = 0
        self.deliverer = Deliverer(
            *(self, self, lambda _on_tried: self),  # type: ignore[arg-type, return-value]
            clock_ms=lambda: self.now_ms,
        )

    def enqueue(self, receiver: int, count: int, size: int = 2, url: str = "") -> None:
        to = Receiver(number=receiver, id=f"w{receiver}", tenant=Tenant("p", "live"), url=url or "u", secrets=())
        for _ in range(count):
            number = len(self.waiting) + len(self.recorded) + 1_000_000 * receiver
            self.waiting[number] = Due(number=number, receiver=to, key=str(number), body=b"x" * size, give_up_at_ms=1)

    def end(self, number: int, problem: str = "", **more: int) -> None:
        due = self.sent.pop(number)
        self.ended.append(Tried(due=due, attempt=Attempt(1, 1, 0, problem), **more))  # type: ignore[arg-type]

    def end_all(self, problem: str = "", **more: int) -> None:
        for number in list(self.sent):
            self.end(number, problem, **more)

    def step(self, ms: int = 500) -> bool:
        self.now_ms += ms
        return self.deliverer.step()

    # The lease

    def take(self, name: str, owner: str, /) -> Lease | None:
        return None if self.is_taken else Lease(name, owner, 1)

    def release(self, lease: Lease, /) -> None:
        self.released += 1

    # The queue

    def ready(self, now_ms: int, among: Collection[int] | None, /) -> list[Receiver]:
        self.asked.append(None if among is None else set(among))
        found = {each.receiver.number: each.receiver for each in self.waiting.values()}
        return [each for number, each in sorted(found.items()) if among is None or number in among]

    def due(
        self, receiver: Receiver, now_ms: int, limit: int, max_bytes: int, besides: Collection[int], /
    ) -> list[Due]:
        found: list[Due] = []
        for number, each in self.waiting.items():
            if each.receiver == receiver and number not in besides and len(found) < limit:
                if sum(len(other.body) for other in found) >= max_bytes:
                    break
                found.append(each)
        return found

    def record(self, tried: Sequence[Tried], lease: Lease | None, now_ms: int, /) -> None:
        if self.is_lost:
            raise LeaseLost("told to")
        assert lease is not None
        for each in tried:
            self.recorded.append(each.due.number)
            if not each.again_at_ms:
                del self.waiting[each.due.number]

    def tidy(self, touched: Collection[int], besides: Collection[int], lease: Lease | None, now_ms: int, /) -> bool:
        self.tidied.append((set(touched), set(besides)))
        return self.has_more

    # The sender

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def submit(self, due: Sequence[Due], /) -> None:
        assert not {each.number for each in due} & self.sent.keys(), "nothing is tried twice at once"
        self.sent |= {each.number: each for each in due}

    def tried(self) -> list[Tried]:
        found, self.ended = self.ended, []
        return found

    def recall(self, receiver: int, /) -> None:
        self.recalled.append(receiver)

    def returned(self) -> list[tuple[int, int]]:
        found, self.back = self.back, []
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


def test_a_receiver_has_so_many_deliveries_in_memory_and_gets_more_when_half_are_done(machine: Given) -> None:
    machine.enqueue(1, 1000)
    assert machine.step()
    assert machine.deliverer.in_memory() == len(machine.sent) == 200
    for number in list(machine.sent)[:99]:
        machine.end(number)
    machine.step()
    assert machine.deliverer.in_memory() == 101
    machine.end(next(iter(machine.sent)))
    machine.step()
    assert machine.deliverer.in_memory() == 200
    while machine.sent:
        machine.end_all()
        machine.step()
    assert sorted(machine.recorded) == sorted(set(machine.recorded))
    assert machine.deliverer.counts.delivered == len(machine.recorded) == 1000
    assert not machine.step()


def test_large_deliveries_of_one_receiver_wait_until_those_before_them_are_done(machine: Given) -> None:
    machine.enqueue(1, 20, size=MIB)
    machine.step()
    machine.step()
    assert machine.deliverer.in_memory() == 4
    machine.end(next(iter(machine.sent)))
    machine.step()
    assert machine.deliverer.in_memory() == 7, "less than two portions, however large"


def test_large_deliveries_of_many_receivers_leave_each_one_at_a_time(machine: Given) -> None:
    for receiver in range(1, 21):
        machine.enqueue(receiver, 9, size=MIB)
    machine.step()
    machine.step()
    by_receiver = [sum(each.receiver.number == number for each in machine.sent.values()) for number in range(1, 21)]
    assert by_receiver == [4] * 16 + [1] * 4


def test_a_receiver_that_keeps_failing_is_tried_alone_and_ever_more_rarely_until_it_answers(machine: Given) -> None:
    machine.enqueue(1, 50)
    machine.step()
    for number in list(machine.sent)[:4]:
        machine.end(number, "500", again_at_ms=9)
    machine.step()
    assert machine.recalled == []
    machine.end(next(iter(machine.sent)), "500", again_at_ms=9)
    machine.step()
    assert machine.recalled == [1]
    machine.back = [(1, number) for number in machine.sent]
    machine.sent.clear()
    pauses: list[int] = []
    for _ in range(9):
        waited_ms = 0
        while not machine.sent:
            machine.step()
            waited_ms += 500
        pauses.append(waited_ms)
        assert machine.deliverer.in_memory() == 1
        machine.end_all("500", again_at_ms=9)
        machine.step(0)
    assert pauses == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    while not machine.sent:
        machine.step()
    machine.end_all()
    machine.step()
    assert machine.deliverer.in_memory() == 49
    assert machine.deliverer.counts.failed == 14


def test_a_receiver_that_asks_to_wait_is_left_alone_and_one_that_has_moved_is_not(machine: Given) -> None:
    machine.enqueue(1, 3)
    machine.step()
    machine.end(next(iter(machine.sent)), "429", again_at_ms=9, asked_ms=5000)
    machine.back = [(1, number) for number in machine.sent]
    machine.sent.clear()
    machine.step(0)
    assert machine.recalled == [1]
    for _ in range(9):
        machine.step()
        assert not machine.sent
    machine.step()
    assert len(machine.sent) == 3
    machine.end_all("429", again_at_ms=9, asked_ms=60_000)
    machine.step(0)
    moved = {n: msgspec.structs.replace(each.receiver, url="elsewhere") for n, each in machine.waiting.items()}
    machine.waiting = {n: msgspec.structs.replace(e, receiver=moved[n]) for n, e in machine.waiting.items()}
    machine.step()
    assert len(machine.sent) == 3


def test_whoever_has_lost_the_lease_forgets_what_it_has_and_records_nothing(machine: Given) -> None:
    machine.enqueue(1, 3)
    machine.step()
    machine.end(next(iter(machine.sent)))
    machine.is_lost = machine.is_taken = True
    assert machine.step() is False
    assert (machine.deliverer.lease, machine.deliverer.in_memory(), machine.recorded) == (None, 0, [])
    machine.sent.clear()
    machine.is_lost = False
    assert machine.step() is False
    assert not machine.sent
    machine.is_taken = False
    machine.step()
    assert (len(machine.sent), machine.recorded) == (3, []), "what was tried meanwhile is tried again"


def test_only_receivers_with_news_are_looked_at_between_two_looks_at_all(machine: Given) -> None:
    machine.step(500)
    assert machine.asked == [None]
    machine.enqueue(2, 1)
    machine.step(499)
    assert machine.asked == [None]
    machine.deliverer.enqueued({2})
    machine.step(0)
    assert machine.asked == [None, {2}]
    assert len(machine.sent) == 1
    machine.end_all()
    machine.step(0)
    assert machine.asked == [None, {2}, {2}]
    machine.step(1)
    assert machine.asked[-1] is None


def test_what_nobody_announces_is_looked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.delivery.deliverer._LOOK_EVERY_MS", 10)
    machine = Given(monkeypatch)
    looks = threading.Semaphore(0)
    monkeypatch.setattr(machine, "ready", lambda _now_ms, _among: looks.release() or [])
    machine.deliverer._clock_ms = itertools.count(machine.now_ms, 10).__next__
    machine.deliverer.start()
    try:
        assert all(looks.acquire(timeout=60) for _ in range(5))
    finally:
        machine.deliverer.stop()


def test_the_queue_is_tidied_now_and_then_and_at_once_again_while_there_is_more(machine: Given) -> None:
    machine.enqueue(1, 2)
    machine.has_more = True
    machine.step()
    assert machine.tidied[-1] == (set(), set(machine.sent))
    assert machine.step(0), "it goes on at once"
    machine.has_more = False
    machine.step(0)
    tidied = len(machine.tidied)
    assert machine.tidied[-1][1] == set(machine.sent), "what is being tried is left alone"
    for number in list(machine.sent):
        machine.end(number)
    machine.step(1999)
    assert len(machine.tidied) == tidied
    machine.step(1)
    assert machine.tidied[tidied:] == [({1}, set())]


def test_what_is_given_up_is_counted_and_not_tried_again(machine: Given) -> None:
    machine.enqueue(1, 1)
    machine.step()
    machine.end_all("410", disables=True)
    machine.step()
    counts = machine.deliverer.counts
    assert (counts.delivered, counts.failed, counts.dead, machine.waiting) == (0, 0, 1, {})


def test_at_its_end_it_records_what_was_tried_and_lets_another_take_over(machine: Given) -> None:
    machine.enqueue(1, 2)
    machine.step()
    machine.end_all()
    machine.deliverer.stop()
    assert (len(machine.recorded), machine.released, machine.deliverer.lease) == (2, 1, None)
