"""Events become deliveries by each webhook's own position: over fakes of the store and the queue."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.delivery.feed import EventFeed
from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import StoredEvent, Tenant, render_evt
from headrace.model.filters import Filters
from headrace.model.lease import Lease
from headrace.model.webhook import Message
from headrace.ports.control import LeaseLost
from headrace.ports.deliveries import EventsWanted
from tests.engine import event_of, record_at
from tests.fakes import MemoryStore, matches

TENANT, BESIDE = Tenant("p", "live"), Tenant("q", "live")
LEASE = Lease("deliveries", "me", 1)


class Queue:
    """Keeps each webhook's messages and position."""

    def __init__(self, **filters: Filters) -> None:
        self.wants = {
            webhook_id: EventsWanted(number, webhook_id, TENANT, each, 0)
            for number, (webhook_id, each) in enumerate(filters.items())
        }
        self.fed: dict[str, list[Message]] = {webhook_id: [] for webhook_id in filters}
        self.most = 10**9
        self.is_lost = False

    def wanted(self, most_waiting: int, /) -> list[EventsWanted]:
        return [each for each in self.wants.values() if len(self.fed[each.id]) < min(most_waiting, self.most)]

    def feed(
        self, wanted: EventsWanted, messages: Sequence[Message], upto: int, lease: Lease | None, now_ms: int, /
    ) -> None:
        if self.is_lost:
            raise LeaseLost
        assert lease == LEASE
        assert wanted == self.wants[wanted.id]
        self.fed[wanted.id] += messages
        self.wants[wanted.id] = EventsWanted(wanted.webhook, wanted.id, TENANT, wanted.filters, upto)


class SmallAnswers(MemoryStore):
    """A store whose events are so large that only a few fit into an answer."""

    most = 10**9
    too_slow: Filters | None = None

    def matching(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        if filters == self.too_slow:
            raise Unavailable("The query took too long.")
        if limit > self.most:
            raise InvalidRequest("They are too large.")
        return super().matching(tenant, filters, after, upto, limit)


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, **filters: Filters) -> None:
        monkeypatch.setattr("headrace.delivery.feed._SHORTEST_REST_S", 0)
        monkeypatch.setattr("headrace.delivery.feed._REST", 0)
        self.store, self.queue = SmallAnswers(), Queue(**filters)
        self.visible = 0
        self.lease: Lease | None = LEASE
        self.enqueued: list[set[int]] = []
        self.feed = EventFeed(
            self.queue,
            self.store,
            lambda event: json.dumps({"name": event.name}).encode(),
            visible=lambda: self.visible,
            lease=lambda: self.lease,
            on_enqueued=lambda webhooks: self.enqueued.append(set(webhooks)),
            clock_ms=lambda: 7,
        )

    def store_events(self, *names: str, tenant: Tenant = TENANT) -> None:
        for name in names:
            self.visible += 1 << 20
            self.store.insert([record_at(self.visible, event_of(tenant, name=name))])

    def run(self) -> None:
        while self.feed.step():
            pass

    def names(self, webhook_id: str) -> list[str]:
        return [json.loads(each.data)["name"] for each in self.queue.fed[webhook_id]]


NAMES = st.lists(st.tuples(st.sampled_from(["a", "b", "ab"]), st.sampled_from([TENANT, BESIDE])), max_size=30)


@given(st.lists(NAMES, max_size=5), st.integers(1, 5))
def test_each_webhook_gets_each_matching_event_of_its_tenant_once_and_in_order(
    rounds: list[list[tuple[str, Tenant]]], at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("headrace.delivery.feed._AT_ONCE", at_once)
        filters = {"all": Filters(), "a": Filters(name_prefix="a"), "b": Filters(name="b")}
        bench = Bench(monkeypatch, **filters)
        for events in rounds:
            for name, tenant in events:
                bench.store_events(name, tenant=tenant)
            bench.run()
            own = bench.store.in_order(TENANT, 0, 2**62, 9999)
            for webhook_id, each in filters.items():
                expected = [event for event in own if matches(event, each)]
                assert [message.key for message in bench.queue.fed[webhook_id]] == [render_evt(e.id) for e in expected]
                assert bench.names(webhook_id) == [event.name for event in expected]


def test_what_is_not_visible_yet_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, w=Filters())
    bench.store_events("a", "b")
    bench.visible -= 1 << 20
    bench.run()
    assert bench.names("w") == ["a"]
    assert bench.enqueued == [{0}]
    bench.visible += 1 << 20
    bench.run()
    assert bench.names("w") == ["a", "b"]


def test_events_that_do_not_fit_into_one_answer_come_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, w=Filters())
    bench.store_events(*(f"n{number}" for number in range(60)))
    bench.store.most = 4
    bench.run()
    assert bench.names("w") == [f"n{number}" for number in range(60)]


def test_a_full_queue_leaves_the_rest_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.delivery.feed._AT_ONCE", 1)
    bench = Bench(monkeypatch, w=Filters())
    bench.queue.most = 3
    bench.store_events("a", "b", "c", "d")
    bench.run()
    assert bench.names("w") == ["a", "b", "c"]
    bench.queue.most = 9
    bench.run()
    assert bench.names("w") == ["a", "b", "c", "d"]


def test_only_who_has_the_senders_lease_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, w=Filters())
    bench.store_events("a")
    bench.lease = None
    bench.run()
    bench.lease, bench.queue.is_lost = LEASE, True
    bench.run()
    assert (bench.names("w"), bench.enqueued) == ([], [])


@pytest.mark.parametrize("at_once", [1, 200])
def test_a_webhook_whose_events_cannot_be_read_delays_no_other(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("headrace.delivery.feed._AT_ONCE", at_once)
    slow = Filters(name="rare")
    bench = Bench(monkeypatch, before=Filters(), slow=slow, after=Filters(name_prefix="a"))
    bench.store.too_slow = slow
    bench.store_events("a", "rare", "ab")
    with pytest.raises(Unavailable):
        bench.run()
    assert (bench.names("before"), bench.names("slow"), bench.names("after")) == (["a", "rare", "ab"], [], ["a", "ab"])
    bench.store.too_slow = None
    bench.run()
    assert bench.names("slow") == ["rare"]
