"""The loop that works through the queue: over a real control database, with real receivers and a clock that tests move."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from headrace.control.database import open_database, writing
from headrace.control.delivery_log import ControlDeliveryLog
from headrace.control.delivery_queue import ControlDeliveryQueue
from headrace.control.leases import ControlLeases
from headrace.control.outbox import ControlOutbox
from headrace.control.tables.positions import leases
from headrace.control.webhooks import ControlWebhooks
from headrace.delivery.addresses import parse_networks
from headrace.delivery.deliverer import Deliverer
from headrace.delivery.replies import Replies
from headrace.delivery.sender import Sender
from headrace.delivery.signing import new_secret
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.lease import Lease
from headrace.model.webhook import Delivery, Message, Tried, Webhook, WebhookChange
from headrace.ports.control import ControlFailed
from tests.delivery import receivers
from tests.delivery.receivers import LOOPBACK, OK, Receiver, answer
from tests.waiting import PATIENCE_S

TENANT = Tenant("p", "live")
DAY_MS = 86_400_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class Machine:
    """A deliverer that a test steps by hand, over a control database that several may share."""

    def __init__(self, path: Path, clock: Clock, *, length_s: float | None = None) -> None:
        self.clock = clock
        self.engine = open_database(path)
        self.leases = ControlLeases(self.engine, length_s=length_s)
        self.outbox = ControlOutbox(Replies(), clock_ms=clock, give_up_after_ms=DAY_MS)
        self.webhooks = ControlWebhooks(self.engine, most=50, most_waiting=5000)
        self.log = ControlDeliveryLog(self.engine)
        self.queue = ControlDeliveryQueue(self.engine, Replies(), most_waiting=5000, keep_ms=DAY_MS, keep=500)
        self.steps: list[str] = []
        self._tried = threading.Event()
        self.deliverer = Deliverer(self.queue, self.leases, self._sender, clock_ms=clock, on_step=self.steps.append)
        self.sender.start()

    def _sender(self, on_tried: Callable[[], None]) -> Sender:
        def tell() -> None:
            on_tried()
            self._tried.set()

        self.sender = Sender(
            timeout_s=20,
            lane_width=4,
            allowed=parse_networks(LOOPBACK),
            clock_ms=self.clock,
            on_tried=tell,
            chance=lambda: 0.5,
        )
        return self.sender

    def add(self, url: str, webhook_id: str = "w") -> Webhook:
        webhook = Webhook(
            number=0,
            tenant=TENANT,
            id=webhook_id,
            url=url,
            topics=("badge.awarded",),
            filters=Filters(),
            status="enabled",
            created_at_ms=self.clock(),
        )
        return self.webhooks.create(webhook, new_secret(), lambda: 0)

    def publish(self, *keys: str) -> None:
        messages = [Message(key=key, topic="badge.awarded", at_ms=self.clock(), data=b"{}") for key in keys]
        with writing(self.engine) as connection:
            self.outbox.publish(connection, TENANT, messages)

    def step_until(self, is_done: Callable[[], bool], ms: int = 500) -> None:
        """ms: how far the clock moves with each step; with half a second each step looks at all webhooks."""
        until = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < until, "it is not done"
            self.clock.now_ms += ms
            self.deliverer.step()
            self._tried.wait(0.005)  # the receivers need this processor, too
            self._tried.clear()

    def all(self, webhook: Webhook) -> dict[str, Delivery]:
        return {each.key: each for each in self.log.listed(webhook.number, None, 2**62, 9999)}

    def statuses(self, webhook: Webhook) -> list[str]:
        return [each.status for each in self.all(webhook).values()]

    def close(self) -> None:
        self.deliverer.stop()
        self.engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(memory_path: Path, clock: Clock) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def make(**given: float | None) -> Machine:
        made.append(Machine(memory_path / "control.sqlite", clock, **given))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


@pytest.fixture
def machine(make: Callable[..., Machine]) -> Machine:
    return make()


def test_whatever_waits_is_delivered_once(machine: Machine) -> None:
    with Receiver() as receiver:
        webhook = machine.add(receiver.url)
        keys = [f"k{number}" for number in range(450)]  # more than are kept in memory
        machine.publish(*keys)
        machine.step_until(lambda: len(machine.queue.ready(machine.clock(), None)) == 0)
        assert receiver.keys == dict.fromkeys(keys, 1)
        assert set(machine.statuses(webhook)) == {"delivered"}
        assert machine.deliverer.counts.delivered == 450
        assert machine.deliverer.in_memory() == 0


def test_a_delivery_that_fails_is_tried_again_when_it_is_due_and_is_a_dead_letter_after_a_day(machine: Machine) -> None:
    with Receiver(answer(500)) as receiver:
        webhook = machine.add(receiver.url)
        machine.publish("k")
        began_ms = machine.clock()
        while machine.all(webhook)["k"].status == "waiting":
            waiting = machine.all(webhook)["k"]
            machine.clock.now_ms = max(machine.clock.now_ms, waiting.due_at_ms)
            machine.step_until(lambda tries=waiting.tries: machine.all(webhook)["k"].tries > tries)
        dead = machine.all(webhook)["k"]
        assert (dead.status, dead.problem) == ("dead", "The receiver answered 500.")
        assert dead.tries == len(receiver.posted) == len(dead.attempts) > 9
        assert dead.ended_at_ms is not None
        assert dead.ended_at_ms - began_ms >= DAY_MS
        assert len({(each.key, each.body) for each in receiver.posted}) == 1
        timestamps = {int(each.headers["webhook-timestamp"]) for each in receiver.posted}
        assert len(timestamps) == len(receiver.posted), "each attempt is signed with its own time"


def test_a_receiver_that_fails_again_and_again_is_asked_once_in_a_while_until_it_answers(machine: Machine) -> None:
    with Receiver(answer(500)) as dead, Receiver() as alive:
        machine.add(alive.url, "alive")
        failing = machine.add(dead.url, "dead")
        machine.publish(*(f"k{number}" for number in range(100)))
        machine.step_until(lambda: len(alive.posted) >= 1)
        machine.step_until(lambda: len(alive.posted) == 100 and machine.deliverer.in_memory() == 0, ms=0)
        before = len(dead.posted)
        assert 5 <= before <= 12, "some were under way when it was found out"
        for _ in range(60):  # half a minute
            machine.clock.now_ms += 500
            machine.deliverer.step()
        assert len(dead.posted) - before <= 6
        dead.behave = receivers.always(OK)
        machine.step_until(lambda: set(machine.statuses(failing)) == {"delivered"})
        assert sum(dead.keys.values()) < 130


def test_a_receiver_that_has_moved_is_tried_at_once(machine: Machine) -> None:
    with Receiver(answer(500)) as dead, Receiver() as alive:
        webhook = machine.add(dead.url)
        machine.publish(*(f"k{number}" for number in range(20)))
        machine.step_until(lambda: len(dead.posted) >= 5 and machine.deliverer.in_memory() == 0)
        machine.webhooks.change(TENANT, "w", WebhookChange(url=alive.url), lambda: 0)
        machine.step_until(lambda: set(machine.statuses(webhook)) == {"delivered"})
        assert len(alive.posted) == 20


def test_what_cannot_be_recorded_is_recorded_later_and_not_sent_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = machine.queue.record
    failures = [3]

    def fail(tried: Sequence[Tried], lease: Lease | None, now_ms: int, /) -> None:
        if failures[0]:
            failures[0] -= 1
            raise ControlFailed("the disk is full")
        record(tried, lease, now_ms)

    monkeypatch.setattr(machine.queue, "record", fail)
    with Receiver() as receiver:
        webhook = machine.add(receiver.url)
        machine.publish("a", "b")

        for _ in range(4):
            with suppress(ControlFailed):
                machine.step_until(lambda: set(machine.statuses(webhook)) == {"delivered"})
        assert receiver.keys == {"a": 1, "b": 1}


def test_a_crash_before_a_try_is_recorded_sends_it_again_with_the_same_key(make: Callable[..., Machine]) -> None:
    crashed = make()
    with Receiver() as receiver:
        webhook = crashed.add(receiver.url)
        crashed.publish("k")
        crashed.deliverer.step()
        receiver.wait_for(lambda: len(receiver.posted) == 1)
        restarted = make()  # the same database; what the first one had in memory is gone
        restarted.step_until(lambda: restarted.all(webhook)["k"].status == "delivered")
        assert receiver.keys == {"k": 2}
        assert restarted.all(webhook)["k"].tries == 1, "in state it is once"


def test_of_two_processes_one_sends_and_the_other_takes_over(make: Callable[..., Machine]) -> None:
    first, second = make(length_s=10.0), make(length_s=10.0)
    with Receiver() as receiver:
        webhook = first.add(receiver.url)
        first.deliverer.step()
        for number in range(20):
            first.publish(f"a{number}")
            second.deliverer.step()
            first.deliverer.step()
        first.step_until(lambda: set(first.statuses(webhook)) == {"delivered"})
        assert second.steps == []
        with writing(first.engine) as connection:
            connection.execute(sa.update(leases).values(expires_at_ms=1))
        first.publish("b")
        second.step_until(lambda: second.all(webhook)["b"].status == "delivered")
        first.publish("c")
        second.step_until(lambda: second.all(webhook)["c"].status == "delivered")
        assert max(receiver.keys.values()) == 1


def test_what_is_tried_when_the_server_stops_is_recorded_if_it_ends_soon(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.delivery.sender._STOP_S", 60)  # soon on a busy machine
    with Receiver() as receiver:
        webhook = machine.add(receiver.url)
        machine.publish("k")
        machine.deliverer.step()
        receiver.wait_for(lambda: len(receiver.posted) == 1)
        machine.deliverer.stop()
        assert machine.all(webhook)["k"].status == "delivered"
