"""An answered or refused query is freed as its request ends, not by the garbage collector, which would stop every write meanwhile."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.http.gate import unless_hung_up
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.pipeline.resting import Resting
from tests.worker.test_query_slots import LARGE, SMALL, World, run, settle


@pytest.fixture(autouse=True)
def no_collector() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


class Kept:
    """Dies with the question that it is part of."""


async def request(world: World, question: Callable[[Any], str], errors: "list[weakref.ref[HeadraceError]]") -> str:
    req: Any = SimpleNamespace(scope={})
    try:
        return await unless_hung_up(req, world.slots.ask(question, by=LARGE))
    except HeadraceError as error:
        errors.append(weakref.ref(error))
        return "refused"


class Asked:
    """Requests of which only weak references are kept."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.errors: list[weakref.ref[HeadraceError]] = []
        self.parts: list[weakref.ref[Kept]] = []
        self.tasks: list[asyncio.Task[str]] = []

    async def ask(self, answer: Callable[[], str] = lambda: "answered") -> None:
        part = Kept()
        self.parts.append(weakref.ref(part))

        def question(_reader: Any, part: Kept = part) -> str:
            return answer() if part else ""

        self.tasks.append(asyncio.create_task(request(self.world, question, self.errors)))
        del part, question
        await self.world.until_all_wait()

    async def until_answered(self) -> list[str]:
        found = [await each for each in self.tasks]
        self.tasks.clear()
        return found

    async def refused_and_left(self) -> tuple[int, list[str]]:
        """How many were refused, and what is still there once nothing is, or after a while: readers let go in their own time."""
        for _ in range(5000):
            left = [repr(found) for each in (*self.errors, *self.parts) if (found := each()) is not None]
            if not left:
                break
            await asyncio.sleep(0.001)
        return len(self.errors), left


@pytest.mark.parametrize("limits", [{"waiting": 0}, {"patience_s": 0.1}], ids=["as it comes", "while it waits"])
def test_a_query_that_is_refused_is_freed(limits: dict[str, Any]) -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        asked = Asked(world)
        await asked.ask()
        assert await asked.until_answered() == ["refused"]
        assert await asked.refused_and_left() == (1, [])
        world.gate.go.set()
        await held

    run(test, **limits)


@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_query_that_makes_room_for_another_project_is_freed(is_fresh: bool) -> None:
    async def test(world: World) -> None:
        held = await world.hold()
        if not is_fresh:
            world.fresh.clear()
        asked = Asked(world)
        for _ in range(3):
            await asked.ask()
        small = await world.wait(SMALL, "small", fresh=is_fresh)
        world.fresh.set()
        world.gate.go.set()
        await held
        assert sorted(await asked.until_answered()) == ["answered", "answered", "refused"]
        assert await small == "small"
        assert await asked.refused_and_left() == (1, [])

    run(test)


def test_a_query_whose_question_fails_is_freed() -> None:
    def fail() -> str:
        raise InvalidRequest("by itself")

    async def test(world: World) -> None:
        asked = Asked(world)
        await asked.ask(fail)
        assert await asked.until_answered() == ["refused"]
        assert await asked.refused_and_left() == (1, [])

    run(test)


def test_a_rest_that_is_over_is_freed() -> None:
    class Released:
        def __call__(self) -> None:
            self.done = True

    async def test() -> None:
        released = Released()
        gone = weakref.ref(released)
        resting = Resting(released)
        resting.begin(0.0)
        while resting:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0)
        assert released.done
        del resting, released
        await settle()
        assert gone() is None

    asyncio.run(test())
