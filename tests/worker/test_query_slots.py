"""Queries are let in, take turns, are refused when that helps, and give back their places however they end."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from headrace.model.askers import Asker
from headrace.model.errors import Unavailable
from headrace.pipeline.queries import QuerySlots
from headrace.ports.store import NotRemembered, RunningQuery

LARGE, SMALL = Asker("large", "r"), Asker("small", "r")


class GivenReader:
    """Its questions are functions that it calls."""

    def __init__(self) -> None:
        self.cancelled: list[RunningQuery] = []
        self.remembers = False

    def asking(self, running: RunningQuery, /) -> AbstractContextManager[None]:
        if running.only_remembered and not self.remembers:
            raise NotRemembered
        return nullcontext()

    def cancel(self, running: RunningQuery, /) -> None:
        self.cancelled.append(running)


class Gate:
    """A question that waits until it is let go, and how often it was begun."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, _reader: Any) -> str:
        self.begun.release()
        assert self.go.wait(60)
        return "held"


class World:
    def __init__(self, *, running: int = 1, waiting: int = 3, patience_s: float = 60.0) -> None:
        self.reader = GivenReader()
        self.fresh = asyncio.Event()
        self.fresh.set()
        self.write_wait_s = 0.0
        self.slots = QuerySlots(
            self.reader,  # pyright: ignore[reportArgumentType]
            fresh=self._until_fresh,
            running=running,
            waiting=waiting,
            patience_s=patience_s,
            write_wait_s=lambda: self.write_wait_s,
            clock_ms=lambda: 7,
        )
        self.gate = Gate()

    async def _until_fresh(self) -> None:
        await self.fresh.wait()

    async def hold(self, by: Asker = LARGE) -> "asyncio.Task[str]":
        """A query that runs until the gate is opened."""
        task = asyncio.create_task(self.slots.ask(self.gate, by=by))
        await asyncio.to_thread(self.gate.begun.acquire)
        return task

    async def wait(self, by: Asker, answer: str, fresh: bool = True) -> "asyncio.Task[str]":
        """A query that waits behind it."""
        task = asyncio.create_task(self.slots.ask(lambda _: answer, by=by, fresh=fresh))
        await settle()
        while self.slots._remembering:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.001)
        await settle()
        return task


async def settle() -> None:
    """Until whatever was asked waits for a reader, or is refused."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def inside() -> None:
        world = World(**options)
        try:
            await test(world)
        finally:
            world.gate.go.set()
            await asyncio.to_thread(world.slots.close)

    asyncio.run(inside())


def test_a_query_is_answered_and_its_place_given_back() -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        waiting = await world.wait(LARGE, "next")
        assert (world.slots.running, world.slots.waiting, world.slots.asked_at_ms) == (1, 1, 7)
        world.gate.go.set()
        assert (await held, await waiting) == ("held", "next")
        assert (world.slots.running, world.slots.waiting, world.slots.refused) == (0, 0, 0)

        def fail(_reader: Any) -> str:
            raise Unavailable("by itself")

        with pytest.raises(Unavailable, match="by itself"):
            await world.slots.ask(fail)
        assert await world.slots.ask(lambda _: "after it") == "after it"

    run(test)


def test_what_is_remembered_waits_for_no_reader() -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        world.reader.remembers = True
        assert await world.slots.ask(lambda _: "remembered", by=LARGE) == "remembered"
        assert not held.done()
        world.gate.go.set()
        assert await held == "held"

    run(test)


def test_more_than_may_wait_are_refused_at_once_and_told_when_to_come_back() -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        waiting = [await world.wait(LARGE, str(number)) for number in range(3)]
        with pytest.raises(Unavailable, match="Too many queries") as refused:
            await world.slots.ask(lambda _: "one more", by=LARGE)
        assert refused.value.retry_after_s >= 1
        assert world.slots.refused == 1
        world.gate.go.set()
        assert [await each for each in (held, *waiting)] == ["held", "0", "1", "2"]

    run(test)


@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_project_that_has_filled_all_places_makes_room_for_another(is_fresh: bool) -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        if not is_fresh:
            world.fresh.clear()
        waiting = [await world.wait(LARGE, str(number)) for number in range(3)]
        small = await world.wait(SMALL, "small", fresh=is_fresh)
        with pytest.raises(Unavailable, match="Too many queries"):
            await waiting[2]
        with pytest.raises(Unavailable):  # it has as many as the other, but for one
            await world.slots.ask(lambda _: "second", by=SMALL)
        world.gate.go.set()
        world.fresh.set()
        assert [await each for each in (held, *waiting[:2], small)] == ["held", "0", "1", "small"]
        assert world.slots.refused == 2

    run(test)


def test_a_query_that_would_wait_longer_than_anybody_should_is_refused_before_it_has() -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        first = await world.wait(LARGE, "first")
        for _ in range(2):  # costs 20 ms, so far as is known
            with pytest.raises(Unavailable, match="take too long"):
                await world.slots.ask(lambda _: "late", by=LARGE)
        world.gate.go.set()
        assert [await held, await first] == ["held", "first"]

    run(test, patience_s=0.01)


def test_a_query_that_turns_out_to_wait_too_long_is_refused_while_it_waits() -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        waiting = await world.wait(LARGE, "late")
        with pytest.raises(Unavailable, match="take too long"):
            await waiting
        assert (world.slots.waiting, world.slots.refused) == (0, 1)
        world.gate.go.set()
        assert await held == "held"

    run(test, patience_s=0.1)


@pytest.mark.parametrize("when", ["not fresh", "waiting", "running"])
def test_a_query_whose_client_hangs_up_gives_its_place_back(when: str) -> None:
    async def test(world: World) -> None:
        if when == "not fresh":
            world.fresh.clear()
            given_up = await world.wait(LARGE, "never")
        else:
            held = await world.hold()
            given_up = held if when == "running" else await world.wait(LARGE, "never")
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert len(world.reader.cancelled) == (when == "running")
        world.fresh.set()
        world.gate.go.set()
        assert await world.slots.ask(lambda _: "next") == "next"
        assert (world.slots.running, world.slots.waiting, world.slots.refused) == (0, 0, 0)

    run(test)


def test_readers_rest_while_writes_wait_and_go_on_once_they_do_not() -> None:
    async def test(world: World) -> None:
        world.write_wait_s = 0.5
        held = await world.hold()
        waiting = await world.wait(LARGE, "after the rest")
        while world.slots.rest < 8:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
        world.gate.go.set()
        await held
        assert world.slots._resting
        world.write_wait_s = 0.0
        assert await waiting == "after the rest"

    run(test)
