"""Intake over a log that is held up or refuses."""

import asyncio
import threading
from collections.abc import Sequence

import msgspec
import pytest

from headrace.model.batch import Item
from headrace.model.entries import Entry, Receipt
from headrace.model.errors import Unavailable
from headrace.model.event import Event, encode
from headrace.pipeline.intake import Intake
from tests.fakes import MemoryLog


class HeldLog(MemoryLog):
    """A log whose appends wait for `go`. `entered`: one has begun to."""

    def __init__(self) -> None:
        super().__init__(clock_ms=lambda: 1_736_899_200_000)
        self.go = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        self.entered.set()
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


def test_what_nobody_would_store_is_refused_and_not_appended() -> None:
    log = HeldLog()
    intake = Intake(log, max_queue_bytes=1 << 20, on_append=lambda _events: None, elsewhere=lambda: "Another log.")
    for accept in (intake.accept, intake.accept_history):
        with pytest.raises(Unavailable, match="Another log"):
            asyncio.run(accept(items(1)))
    assert log.sizes == []


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
            await asyncio.wait_for(intake.accept(items(1000)), 60)
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


async def held(intake: Intake, log: HeldLog) -> "asyncio.Task[list[Receipt]]":
    """A request that is being appended until `go`: all that comes meanwhile waits."""
    log.go.clear()
    log.entered.clear()
    first = asyncio.create_task(intake.accept(items(1)))
    await asyncio.to_thread(log.entered.wait, 30)
    return first


async def append_together(intake: Intake, log: HeldLog, *requests: list[Item]) -> list[int]:
    """Requests that wait at once; how many entries each append takes then."""
    first = await held(intake, log)
    waiting = [asyncio.create_task(intake.accept(each)) for each in requests]
    size = sum(len(encode(item.event)) for each in requests for item in each)
    while intake.queued_bytes() < size:  # noqa: ASYNC110  a large one is encoded in a thread that tells nobody
        await asyncio.sleep(0)
    log.go.set()
    await first
    assert [len(await each) for each in waiting] == list(map(len, requests))
    return log.sizes[1:]


def test_an_append_takes_at_most_10_000_events_and_a_larger_request_goes_alone() -> None:
    log = HeldLog()

    async def scenario(intake: Intake) -> None:
        sizes = await append_together(intake, log, *map(items, (2500, 2499, 2500, 2500, 1, 1, 12_000)))
        assert sizes == [10_000, 1, 12_000], "and never part of a request"

    run(log, 1 << 24, scenario)


def test_an_append_takes_at_most_16_mib_of_several_requests() -> None:
    log = HeldLog()
    event = items(1)[0].event
    size = len(encode(event))
    rest = 16 * 1024 * 1024 - size

    def of_bytes(total: int) -> list[Item]:
        return [Item(0, msgspec.structs.replace(event, name=event.name + "x" * (total - size)))]

    async def scenario(intake: Intake) -> None:
        sizes = await append_together(intake, log, of_bytes(rest), items(1), of_bytes(rest + 1), items(1))
        assert sizes == [2, 1, 1], "16 MiB to the byte, and not a byte more"

    run(log, 1 << 26, scenario)


def test_the_queue_takes_its_last_byte_and_has_all_its_room_again_after_an_append() -> None:
    log = HeldLog()
    room = 3 * len(encode(items(1)[0].event))

    async def scenario(intake: Intake) -> None:
        for _ in range(3):
            first = await held(intake, log)
            waiting = asyncio.create_task(intake.accept(items(3)))
            await asyncio.sleep(0)
            assert intake.queued_bytes() == room
            with pytest.raises(Unavailable, match="waiting for the log"):
                await asyncio.wait_for(intake.accept(items(1)), 60)
            log.go.set()
            assert [len(await each) for each in (first, waiting)] == [1, 3]
            assert intake.queued_bytes() == 0

    run(log, room, scenario)


def test_each_append_is_reported_with_its_number_of_entries_and_a_failed_one_is_not() -> None:
    log, told = HeldLog(), list[int]()
    log.go.set()

    async def scenario() -> None:
        assert await intake.accept([]) == []
        assert len(await intake.accept(items(3))) == 3
        log.broken = "told to"
        with pytest.raises(Unavailable, match="told to"):
            await intake.accept(items(2))

    intake = Intake(log, max_queue_bytes=1 << 20, on_append=told.append)
    intake.start()
    try:
        asyncio.run(scenario())
    finally:
        intake.stop()
    assert told == [3]
    assert log.sizes == [3, 2], "nothing at all is not appended"


def test_events_with_the_same_key_are_stored_once_and_those_without_one_each_time() -> None:
    log = HeldLog()
    log.go.set()

    async def scenario(intake: Intake) -> None:
        first, again = await intake.accept(items(1, "k")), await intake.accept(items(1, "k"))
        assert (first[0].id, first[0].duplicate, again[0].duplicate) == (again[0].id, False, True)
        assert [each.duplicate for each in await intake.accept(items(2))] == [False, False]

    run(log, 1 << 20, scenario)
    assert len(log.read(0, 100, 10**6)) == 3
