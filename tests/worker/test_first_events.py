"""What a repeat is answered with: the first event, from the log, or else from the store, or else as it was sent."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from headrace.model.batch import Batch, Item
from headrace.model.entries import Entry, Receipt
from headrace.model.event import Event, encode
from headrace.pipeline.first_events import FirstEvents
from headrace.pipeline.freshness import Freshness, Waiters
from tests.engine import NOW_MS, event_of, fresh_tenant, record_at
from tests.fakes import MemoryLog, MemoryStore

TENANT = fresh_tenant()


class Asks:
    """Fits as much of QuerySlots as is needed. `asked`: how many questions the store got."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.asked = 0

    async def ask(self, question: Callable[[Any], Any], /) -> Any:
        self.asked += 1
        return question(self._store)


def event(name: str, at_ms: int = NOW_MS) -> Event:
    return event_of(TENANT, name=name, timestamp_ms=at_ms)


def answered(log: MemoryLog, asks: Asks, events: list[Event], receipts: list[Receipt]) -> list[str]:
    batch = Batch([Item(index * 2, each) for index, each in enumerate(events)])
    found = asyncio.run(FirstEvents(log, asks).in_place_of_repeats(batch, receipts))  # type: ignore[arg-type]
    assert [item.index for item in found.items] == [item.index for item in batch.items]
    return [item.event.name for item in found.items]


def test_a_repeat_is_answered_with_the_first_event_and_what_is_new_as_it_was_sent() -> None:
    log, asks = MemoryLog(clock_ms=lambda: NOW_MS), Asks(MemoryStore())
    [first] = log.append([Entry(encode(event("first")))])
    [new] = log.append([Entry(encode(event("new")))])
    repeat = msgspec.structs.replace(first, duplicate=True)
    assert answered(log, asks, [event("new"), event("again")], [new, repeat]) == ["new", "first"]
    assert answered(log, asks, [event("new")], [new]) == ["new"]
    assert asks.asked == 0, "the log has it, so it is answered even while the store fails"


def test_a_first_event_that_the_log_has_trimmed_comes_from_the_store_and_one_that_is_gone_is_as_sent() -> None:
    log, asks = MemoryLog(clock_ms=lambda: NOW_MS), Asks(store := MemoryStore())
    trimmed, gone, kept = log.append([Entry(encode(event(name))) for name in ("trimmed", "gone", "kept")])
    log.trim(gone.position)
    record = record_at(trimmed.position, event("trimmed"))
    store.insert([msgspec.structs.replace(record, tail=trimmed.tail)])
    repeats = [msgspec.structs.replace(each, duplicate=True) for each in (trimmed, gone, kept)]
    assert answered(log, asks, [event("again")] * 3, repeats) == ["trimmed", "again", "kept"]
    assert asks.asked == 2


def test_progress_before_the_event_loop_runs_wakes_nobody_and_fails_nothing() -> None:
    async def tails() -> dict[int, int]:
        return {}

    Freshness(tails=tails, progress=None, freshness_timeout_s=1, sync_deadline_s=1, clock_ms=int).advance()  # type: ignore[arg-type]


def test_waiters_are_empty_until_somebody_waits_and_again_once_all_have_been_answered_or_gave_up() -> None:
    async def scenario() -> None:
        reached = 0
        waiters = Waiters(lambda: reached)
        assert waiters.is_empty()
        waiting = asyncio.create_task(waiters.wait(5, 30))
        await asyncio.sleep(0)
        assert not waiters.is_empty()
        reached = 5
        waiters.wake()
        assert await waiting
        assert waiters.is_empty()
        assert not await waiters.wait(6, 0)
        assert waiters.is_empty()

    asyncio.run(scenario())
