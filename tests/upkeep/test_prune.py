"""Pruning leaves what the log still holds and what reactions wait for, and what it removes is lost to no start and no check."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.entries import Entry, Record
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event, Tenant, encode
from headrace.model.retention import DAY_MS, HOUR_MS, Retention, parse_age
from headrace.pipeline.recovery import is_behind
from headrace.ports.store import StoreFailed
from headrace.upkeep.prune import Pruner
from tests.fakes import MemoryErasedEvents, MemoryLog, MemoryQuarantine, MemoryStore

NOW_MS = 1_736_899_200_000
TENANT, OTHER_MODE = Tenant("p", "live"), Tenant("p", "test")


class Given:
    """A log, a store with all of it, and how far the worker and the reactions are. `retentions`: what is set."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.log = MemoryLog(clock_ms=lambda: self.now_ms)
        self.store = MemoryStore()
        self.erased = MemoryErasedEvents()
        self.retentions: dict[Tenant, Retention] = {}
        self.behind: dict[Tenant, tuple[int, bool]] = {}
        self.reacted = 1 << 62
        self.committed = 1 << 62
        self.pruner = Pruner(
            *(self.store, self.log, self, self, self.erased, self),  # pyright: ignore[reportArgumentType]
            clock_ms=lambda: self.now_ms,
        )

    def position(self) -> int:
        return min(self.committed, self.log.last())

    def progress(self) -> tuple[int, Mapping[Tenant, tuple[int, bool]]]:
        return self.reacted, self.behind

    def all(self) -> list[Retention]:
        return list(self.retentions.values())

    def applied(self, tenant: Tenant, events: int, now_ms: int) -> None:
        was = self.retentions[tenant]
        self.retentions[tenant] = Retention(tenant, was.keep_ms, was.set_at_ms, now_ms, was.pruned + events)

    def take(self, days_ago: float, *, received_days_ago: float | None = None, tenant: Tenant = TENANT) -> int:
        """An event of so many days ago, received then too unless said otherwise; its position."""
        self.now_ms = NOW_MS - int((days_ago if received_days_ago is None else received_days_ago) * DAY_MS)
        event = Event(tenant.project, tenant.mode, "flux", "n", NOW_MS - int(days_ago * DAY_MS))
        receipt = self.log.append([Entry(encode(event))])[0]
        self.store.insert([Record(receipt.position, receipt.tail, encode(event))])
        self.now_ms = NOW_MS
        return receipt.position

    def left(self) -> set[int]:
        return {event.position for event in self.store._events}


def before(days: float) -> int:
    return NOW_MS - int(days * DAY_MS)


def test_what_the_log_still_holds_stays_until_the_next_time() -> None:
    given = Given()
    old, held = given.take(100), given.take(99)
    given.log.trim(old)
    pruned = given.pruner.prune(TENANT, before(90))
    assert (pruned.events, pruned.held_back, given.left()) == (1, 1, {held})
    given.log.trim(held)
    assert given.pruner.prune(TENANT, before(90)).events == 1
    assert given.left() == set()


def test_what_reactions_have_not_come_to_stays() -> None:
    given = Given()
    first, second, third = given.take(100), given.take(99), given.take(98)
    given.log.trim(third)
    given.behind = {TENANT: (first, True)}
    assert given.pruner.prune(TENANT, before(90)).events == 1
    assert given.left() == {second, third}
    given.behind = {TENANT: (first, False)}
    assert given.pruner.prune(TENANT, before(90)).events == 2


def test_what_all_reactions_have_not_come_to_stays() -> None:
    given = Given()
    first, second = given.take(100), given.take(99)
    given.log.trim(second)
    given.reacted = first
    assert given.pruner.prune(TENANT, before(90)).events == 1
    assert given.left() == {second}
    given.behind = {TENANT: (second, False)}
    assert given.pruner.prune(TENANT, before(90)).events == 1


def test_what_is_not_committed_stays_for_the_start_would_store_it_again() -> None:
    given = Given()
    first, second = given.take(100), given.take(99)
    given.log.trim(second)
    given.committed = first
    pruned = given.pruner.prune(TENANT, before(90))
    assert (pruned.events, pruned.held_back, given.left()) == (1, 1, {second})


def test_metric_points_are_counted_with_the_events_whether_they_go_or_are_held_back() -> None:
    given = Given()
    old = [given.take(100), given.take(99, tenant=TENANT.metrics)]
    held = [given.take(98), given.take(97, tenant=TENANT.metrics)]
    given.log.trim(old[-1])
    pruned = given.pruner.prune(TENANT, before(90))
    assert (pruned.events, pruned.held_back, given.left()) == (2, 2, set(held))
    assert (pruned.before_ms, pruned.dry_run) == (before(90), False)


def test_the_logs_last_event_is_not_listed_if_it_stays_or_is_of_somebody_else() -> None:
    for last in ({"days_ago": 1}, {"days_ago": 95, "tenant": Tenant("p", "test")}):
        given = Given()
        given.take(100)
        position = given.take(**last)  # type: ignore[arg-type]
        given.log.trim(position)
        assert given.pruner.prune(TENANT, before(90)).events == 1
        assert given.erased.last(0) == 0
        assert given.left() == {position}


def test_each_setting_is_applied_to_its_own_events_and_those_that_are_off_or_not_due_to_none() -> None:
    given = Given()
    tenants = [TENANT, Tenant("p", "test"), Tenant("q", "live"), Tenant("r", "live")]
    kept = [given.take(40, tenant=each) for each in tenants]
    given.take(0)
    given.log.trim(kept[-1])
    for tenant, keep_ms, pruned_at_ms in zip(
        tenants, (None, 30 * DAY_MS, 30 * DAY_MS, 50 * DAY_MS), (None, NOW_MS - HOUR_MS, None, None), strict=True
    ):
        given.retentions[tenant] = Retention(tenant, keep_ms, NOW_MS - DAY_MS, pruned_at_ms)
    assert given.pruner.step() is False, "or its loop would never rest"
    assert given.left() - {given.log.last()} == {kept[0], kept[1], kept[3]}
    assert [each.pruned_at_ms for each in given.retentions.values()] == [None, NOW_MS - HOUR_MS, NOW_MS, NOW_MS]


def test_a_project_whose_events_cannot_be_removed_keeps_no_other_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = Given(), Tenant("q", "live")
    kept = [given.take(40, tenant=each) for each in (TENANT, other)]
    given.take(0)
    given.log.trim(kept[-1])
    given.retentions = {each: Retention(each, 30 * DAY_MS, NOW_MS - DAY_MS, None) for each in (TENANT, other)}
    prune = given.store.prune

    def fail(tenant: Tenant, before_ms: int, upto: int) -> None:
        if tenant == TENANT:
            raise StoreFailed("it is damaged")
        prune(tenant, before_ms, upto)

    monkeypatch.setattr(given.store, "prune", fail)
    with pytest.raises(StoreFailed):
        given.pruner.step()
    assert given.left() == {kept[0], given.log.last()}
    assert [each.pruned_at_ms for each in given.retentions.values()] == [None, NOW_MS]


def test_a_dry_run_counts_and_removes_nothing() -> None:
    given = Given()
    position = given.take(100)
    given.log.trim(position)
    assert given.pruner.prune(TENANT, before(90), dry_run=True).events == 1
    assert given.left() == {position}


def test_the_logs_last_event_is_listed_before_it_goes_so_that_the_store_does_not_look_like_an_old_copy() -> None:
    given = Given()
    given.take(100)
    last = given.take(95)
    given.log.trim(last)
    given.pruner.prune(TENANT, before(90))
    assert given.left() == set()
    assert [each.position for page in given.erased.pages(0, 1 << 62) for each in page] == [last]
    assert not is_behind(given.log, given.store, given.erased, MemoryQuarantine(), last)


@given(st.lists(st.tuples(st.sampled_from([1, 80, 91, -100000]), st.sampled_from([0.5, 89, 92])), max_size=8))
def test_an_event_is_as_old_as_the_earlier_of_its_own_time_and_its_receipt(times: list[tuple[float, float]]) -> None:
    given = Given()
    placed: dict[int, tuple[float, float]] = {}
    for own, received in sorted(times, key=lambda each: -each[1]):
        placed[given.take(own, received_days_ago=received)] = (own, received)
    metric = given.take(91, received_days_ago=0.2, tenant=TENANT.metrics)
    other = given.take(91, received_days_ago=0.2, tenant=Tenant("p", "test"))
    given.take(0)
    given.log.trim(other)
    given.pruner.prune(TENANT, before(90))
    young = {position for position, (own, received) in placed.items() if max(own, received) <= 90}
    assert given.left() - {given.log.last()} == young | {other}
    assert metric not in given.left()


def test_a_setting_is_applied_at_once_and_then_daily() -> None:
    given = Given()
    given.log.trim(given.take(40))
    given.take(0)
    given.retentions[TENANT] = Retention(TENANT, 30 * DAY_MS, NOW_MS - 1)
    given.pruner.step()
    assert (given.retentions[TENANT].pruned, given.retentions[TENANT].pruned_at_ms) == (1, NOW_MS)
    for hours, is_due in ((23, False), (24, True)):
        assert given.retentions[TENANT].is_due(NOW_MS + hours * HOUR_MS) is is_due
    assert Retention(TENANT, DAY_MS, 0, NOW_MS).is_due(NOW_MS + HOUR_MS)
    assert Retention(TENANT, 30 * DAY_MS, NOW_MS + 5, NOW_MS).is_due(NOW_MS + 6), "it has changed"
    assert not Retention(TENANT, None).is_due(NOW_MS)


@pytest.mark.parametrize(("text", "wanted"), [("90d", 90 * DAY_MS), ("36h", 36 * HOUR_MS), ("86400", DAY_MS)])
def test_an_age_is_a_time_with_a_unit(text: str, wanted: int) -> None:
    assert parse_age(text, HOUR_MS, "'keep'") == wanted


@pytest.mark.parametrize("text", ["", "soon", "3 moons", "1m", "-1d", "nan", "inf", "1e400", "200000d"])
def test_what_is_no_age_is_refused_with_what_to_send(text: str) -> Any:
    with pytest.raises(InvalidRequest, match="'keep' must be"):
        parse_age(text, HOUR_MS, "'keep'")


def test_an_event_beside_the_logs_last_is_not_taken_for_it() -> None:
    given = Given()
    last = given.take(1)
    event = Event("p", "live", "flux", "n", before(100))
    given.store.insert([Record(last - 1, 7, encode(event))])
    given.log.trim(last)
    assert given.pruner.prune(TENANT, before(90)).events == 1
    assert (given.left(), given.erased.last(0)) == ({last}, 0)


def test_the_loop_applies_a_setting_at_the_start_and_when_it_is_told_of_one() -> None:
    given, applied = Given(), threading.Event()
    given.log.trim(given.take(40))
    given.take(0)
    keep = given.applied

    def note(tenant: Tenant, events: int, now_ms: int) -> None:
        keep(tenant, events, now_ms)
        applied.set()

    given.applied = note  # type: ignore[method-assign]
    given.retentions[TENANT] = Retention(TENANT, 30 * DAY_MS, NOW_MS - 1)
    given.pruner.loop.start()
    try:
        assert applied.wait(60)
        applied.clear()
        given.retentions[OTHER_MODE] = Retention(OTHER_MODE, 30 * DAY_MS, NOW_MS - 1)
        given.pruner.loop.wake()
        assert applied.wait(60)
    finally:
        given.pruner.loop.stop()
    assert given.retentions[TENANT].pruned == 1
