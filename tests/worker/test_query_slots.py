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
from headrace.pipeline.same_questions import identity_of
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
        await self.until_all_wait()
        return task

    async def until_all_wait(self) -> None:
        """For a reader, for another query or for freshness, and none for what is remembered."""
        await settle()
        while self.slots._remembering:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.001)
        await settle()


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
        world.slots._costs.learn(LARGE, 4000.0)
        held = await world.hold()
        first = await world.wait(LARGE, "first")
        for _ in range(2):
            with pytest.raises(Unavailable, match="take too long"):
                await world.slots.ask(lambda _: "late", by=LARGE)
        world.gate.go.set()
        assert [await held, await first] == ["held", "first"]

    run(test, patience_s=600)


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


def counted(asked: list[str], name: str) -> Callable[[Any], str]:
    """A question that notes that it was asked."""

    def question(_reader: Any) -> str:
        asked.append(name)
        return name

    return question


async def asked_by(world: World, question: Callable[[Any], str]) -> "asyncio.Task[str]":
    task = asyncio.create_task(world.slots.ask(question, by=LARGE))
    await world.until_all_wait()
    return task


def test_queries_that_ask_the_same_while_they_wait_are_asked_once() -> None:
    async def test(world: World) -> None:
        asked: list[str] = []
        held = await world.hold()
        many = [asyncio.create_task(world.slots.ask(counted(asked, "same"), by=LARGE)) for _ in range(50)]
        other = asyncio.create_task(world.slots.ask(counted(asked, "other"), by=LARGE))
        await world.until_all_wait()
        assert world.slots.waiting == 51, "more than may wait, since they take no reader"
        world.gate.go.set()
        assert await held == "held"
        assert [await each for each in many] == ["same"] * 50
        assert await other == "other"
        assert sorted(asked) == ["other", "same"]
        assert (world.slots.running, world.slots.waiting, world.slots.refused) == (0, 0, 0)

    run(test)


def test_a_query_never_gets_an_answer_that_was_begun_before_its_events_were_stored() -> None:
    async def test(world: World) -> None:
        asked: list[str] = []
        held = await world.hold()
        early = await asked_by(world, counted(asked, "same"))
        world.fresh.clear()
        late = await asked_by(world, counted(asked, "same"))
        world.gate.go.set()
        assert [await held, await early] == ["held", "same"]
        assert not late.done()
        world.fresh.set()
        assert await late == "same"
        assert asked == ["same", "same"]

    run(test)


def test_when_the_one_that_is_asked_for_all_is_given_up_another_one_is_asked() -> None:
    async def test(world: World) -> None:
        asked: list[str] = []
        held = await world.hold()
        first, second, third = [await asked_by(world, counted(asked, "same")) for _ in range(3)]
        first.cancel()
        await settle()
        second.cancel()
        world.gate.go.set()
        assert [await held, await third] == ["held", "same"]
        assert asked == ["same"]
        assert first.cancelled()
        assert second.cancelled()
        assert (world.slots.running, world.slots.waiting, world.slots.refused) == (0, 0, 0)

    run(test)


def test_when_the_one_that_is_asked_for_all_is_late_so_are_those_that_came_with_it() -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        many = [await asked_by(world, counted([], "same")) for _ in range(20)]
        for each in many:
            with pytest.raises(Unavailable, match="take too long"):
                await each
        assert (world.slots.waiting, world.slots.refused) == (0, 20)
        world.gate.go.set()
        assert await held == "held"

    run(test, patience_s=0.1)


def test_an_error_is_the_answer_to_all_that_asked_the_same() -> None:
    async def test(world: World) -> None:
        asked: list[str] = []

        def fail(_reader: Any) -> str:
            asked.append("fail")
            raise Unavailable("by itself")

        held = await world.hold()
        many = [await asked_by(world, fail) for _ in range(3)]
        world.gate.go.set()
        assert await held == "held"
        for each in many:
            with pytest.raises(Unavailable, match="by itself"):
                await each
        assert asked == ["fail"]

    run(test)


def test_queries_that_wait_for_their_events_count_for_those_that_come_after_them() -> None:
    async def test(world: World) -> None:
        world.slots._costs.learn(LARGE, 40.0)
        world.fresh.clear()
        waiting = [await asked_by(world, counted([], str(number))) for number in range(3)]
        with pytest.raises(Unavailable, match="take too long"):
            await world.slots.ask(lambda _: "late", by=LARGE)
        world.fresh.set()
        assert [await each for each in waiting] == ["0", "1", "2"]

    run(test, patience_s=100.0, waiting=9)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        ("a", "a", True),
        ([1, 2], (1, 2), False),
        (lambda: 1, lambda: 1, False),
    ],
)
def test_questions_are_the_same_only_if_their_values_are_of_one_type_too(one: Any, other: Any, same: bool) -> None:
    def question(value: Any) -> Callable[[Any], Any]:
        return lambda _reader: value

    assert (identity_of(question(one)) == identity_of(question(other))) is same
    assert identity_of(lambda _reader: one) != identity_of(question(one))


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
