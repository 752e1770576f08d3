"""Intake over a log that is held up or refuses."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from headrace.model.batch import Item
from headrace.model.entries import Entry, Receipt
from headrace.model.errors import Unavailable
from headrace.model.event import Event
from headrace.pipeline.intake import Intake
from tests.fakes import MemoryLog


class HeldLog(MemoryLog):
    """A log whose appends wait for `go`."""

    def __init__(self) -> None:
        super().__init__(clock_ms=lambda: 1_736_899_200_000)
        self.go = threading.Event()
        self.sizes: list[int] = []

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        self.go.wait(30)
        self.sizes.append(len(entries))
        return super().append(entries)


def items(count: int, key: str = "") -> list[Item]:
    event = Event(project="p", mode="live", source="flux", name="n" * 100, timestamp_ms=1, message_id=key)
    return [Item(index, event) for index in range(count)]


def run(log: MemoryLog, max_queue_bytes: int, scenario) -> None:  # pyright: ignore[reportMissingParameterType]
    intake = Intake(log, max_queue_bytes=max_queue_bytes, on_append=lambda _events: None)
    intake.start()
    try:
        asyncio.run(scenario(intake))
    finally:
        intake.stop()


def test_requests_that_wait_for_the_log_are_appended_together() -> None:
    log = HeldLog()

    async def scenario(intake: Intake) -> None:
        waiting = [asyncio.create_task(intake.accept(items(2))) for _ in range(10)]
        await asyncio.sleep(0)
        log.go.set()
        receipts = [await each for each in waiting]
        assert len({receipt.id for found in receipts for receipt in found}) == 20
        assert [len(found) for found in receipts] == [2] * 10

    run(log, 1 << 20, scenario)
    assert sum(log.sizes) == 20
    assert len(log.sizes) < 10, "one append serves many requests"


def test_requests_that_arrive_at_once_are_one_append() -> None:
    log = HeldLog()
    log.go.set()

    async def scenario(intake: Intake) -> None:
        await asyncio.gather(*(intake.accept(items(2)) for _ in range(10)))

    run(log, 1 << 20, scenario)
    assert log.sizes == [20]


def test_more_than_the_queue_may_hold_is_refused_and_stores_nothing() -> None:
    log = HeldLog()

    async def scenario(intake: Intake) -> None:
        first = asyncio.create_task(intake.accept(items(10)))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(intake.accept(items(1000)), 5)
        log.go.set()
        assert len(await first) == 10

    run(log, 50_000, scenario)
    assert max(log.sizes) < 1000


def test_a_log_that_refuses_refuses_every_request_that_waited_and_then_goes_on() -> None:
    log = HeldLog()
    log.broken = "told to"

    async def scenario(intake: Intake) -> None:
        waiting = [asyncio.create_task(intake.accept(items(1))) for _ in range(5)]
        await asyncio.sleep(0)
        log.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in found] == [Unavailable] * 5
        log.broken = ""
        assert len(await intake.accept(items(3))) == 3

    run(log, 1 << 20, scenario)
    assert len(log.read(0, 100, 10**6)) == 3


def test_an_error_that_nobody_foresaw_refuses_the_request_and_not_the_next_ones() -> None:
    log = HeldLog()
    log.go.set()

    async def scenario(intake: Intake) -> None:
        append, log.append = log.append, None  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await intake.accept(items(1))
        log.append = append  # type: ignore[method-assign]
        assert len(await intake.accept(items(1))) == 1

    run(log, 1 << 20, scenario)


def test_what_waits_when_intake_stops_is_appended_and_what_comes_later_refused() -> None:
    log = HeldLog()

    async def scenario(intake: Intake) -> None:
        waiting = asyncio.create_task(intake.accept(items(4)))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(intake.stop))
        await asyncio.sleep(0)
        log.go.set()
        await stopping
        assert len(await waiting) == 4
        with pytest.raises(Unavailable):
            await intake.accept(items(1))

    run(log, 1 << 20, scenario)
    assert len(log.read(0, 100, 10**6)) == 4


def test_a_request_whose_client_went_away_is_stored_and_the_others_are_answered() -> None:
    log = HeldLog()

    async def scenario(intake: Intake) -> None:
        gone = asyncio.create_task(intake.accept(items(1)))
        stays = asyncio.create_task(intake.accept(items(1)))
        await asyncio.sleep(0)
        gone.cancel()
        log.go.set()
        assert len(await stays) == 1

    run(log, 1 << 20, scenario)
    assert len(log.read(0, 100, 10**6)) == 2
