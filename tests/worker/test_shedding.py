"""Many more queries than can be answered, beside writes, on a clock of the test's own: who is refused learns it at once.

The model: a query takes 18 to 60 ms of a reader, events become visible in batches, and writes wait the longer the more readers run.
"""

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from headrace.model.askers import Asker
from headrace.model.errors import Unavailable
from headrace.pipeline.queries import QuerySlots

_COSTS_S = (0.018, 0.02, 0.06)
_SLOW_WRITES_S = (0.004, 0.012, 0.05)  # beside so many running queries, on average
_QUICK_WRITES_S = (0.001, 0.002, 0.008)
_SECONDS = 8


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time goes on only when there is nothing to do, and then at once."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # pyright: ignore
            self.now = max(self.now, self._scheduled[0]._when)  # pyright: ignore
        super()._run_once()  # pyright: ignore


class World:
    """Stands for the store, its threads and its freshness."""

    def __init__(self, loop: VirtualLoop, write_waits_s: tuple[float, float, float]) -> None:
        self.loop = loop
        self.chance = random.Random(5)
        self.running = 0
        self.becoming_visible: asyncio.Future[None] | None = None
        self.ease = 0.0
        self.inserts = 0
        self.slots = QuerySlots(
            object(),  # pyright: ignore[reportArgumentType]  its threads never get to it
            fresh=self.until_fresh,
            running=2,
            waiting=64,
            patience_s=5.0,
            write_wait_s=lambda: write_waits_s[self.running] * self.chance.expovariate(1),
            on_ease=self.take_it_easy,
            clock_ms=lambda: 0,
        )
        self.slots._threads = self  # pyright: ignore[reportAttributeAccessIssue]
        self.slots._rememberer = Forgetful()  # pyright: ignore[reportAttributeAccessIssue]

    def submit(
        self, _within: object, _answer: object, question: Callable[[Any], float], _running: object
    ) -> "Future[str]":
        work: Future[str] = Future()
        work.set_running_or_notify_cancel()
        self.running += 1

        def end() -> None:
            self.running -= 1
            work.set_result("answered")

        self.loop.call_later(question(None) * self.chance.uniform(0.6, 1.8), end)
        return work

    async def until_fresh(self) -> None:
        if self.becoming_visible is None:
            self.becoming_visible = self.loop.create_future()
            self.loop.call_later(0.05 + 0.06 * (1 + min(self.ease, 3)), self.become_visible)
        await asyncio.shield(self.becoming_visible)

    def take_it_easy(self, ease: float) -> None:
        self.ease = ease

    def become_visible(self) -> None:
        assert self.becoming_visible
        self.inserts += 1
        self.becoming_visible.set_result(None)
        self.becoming_visible = None


class Forgetful:
    def submit(self, *_: object) -> "Future[None]":
        work: Future[None] = Future()
        work.set_result(None)
        return work


def question(cost_s: float, which: int) -> Callable[[Any], float]:
    return lambda _reader: cost_s if which >= 0 else 0.0


def asked(
    rate: int, kinds: int, *, write_waits_s: tuple[float, float, float] = _SLOW_WRITES_S, costlier: float = 1.0
) -> tuple[list[float], list[float], int]:
    """How long each answer took, and each refusal; and how many inserts made queries fresh."""
    loop = VirtualLoop()
    world = World(loop, write_waits_s)
    answers: list[float] = []
    refusals: list[float] = []

    async def ask(number: int) -> None:
        began_s = loop.time()
        kind = number % len(_COSTS_S)
        try:
            await world.slots.ask(question(costlier * _COSTS_S[kind], number % kinds), by=Asker("project", str(kind)))
        except Unavailable:
            refusals.append(loop.time() - began_s)
        else:
            answers.append(loop.time() - began_s)

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(rate * _SECONDS):
                tasks.create_task(ask(number))
                await asyncio.sleep(1 / rate)

    try:
        loop.run_until_complete(all_of_them())
    finally:
        loop.close()
    return answers, refusals, world.inserts


@pytest.mark.parametrize("rate", [100, 300])
def test_what_cannot_be_answered_in_time_is_refused_at_once_and_not_after_it_has_waited(rate: int) -> None:
    answers, refusals, _ = asked(rate, kinds=rate * _SECONDS)
    assert len(answers) > 3 * _SECONDS
    assert max(answers) < 6.0
    assert sorted(refusals)[int(len(refusals) * 0.98)] < 0.1


@pytest.mark.parametrize("rate", [100, 300])
def test_whoever_is_let_in_before_writes_have_to_wait_is_answered_once_they_do(rate: int) -> None:
    answers, refusals, _ = asked(rate, kinds=rate * _SECONDS, write_waits_s=_QUICK_WRITES_S, costlier=1.6)
    assert len(answers) > 14 * _SECONDS
    assert max(refusals) < 0.1


def test_a_write_that_now_and_then_waits_a_little_does_not_take_the_readers_from_queries() -> None:
    answers, refusals, _ = asked(100, kinds=100 * _SECONDS, write_waits_s=_QUICK_WRITES_S)
    assert len(answers) > 28 * _SECONDS, "22 a second while any such write made readers rest for twice a query's time"
    assert max(refusals) < 0.1


@pytest.mark.parametrize("rate", [100, 300])
def test_while_readers_are_busy_more_queries_share_an_insert(rate: int) -> None:
    answers, _, inserts = asked(rate, kinds=rate * _SECONDS, write_waits_s=_QUICK_WRITES_S)
    assert inserts < 5 * _SECONDS, "without that it is seven a second"
    assert len(answers) > 24 * _SECONDS


@pytest.mark.parametrize("rate", [100, 300])
def test_of_queries_that_repeat_each_other_none_is_refused(rate: int) -> None:
    answers, refusals, _ = asked(rate, kinds=len(_COSTS_S))
    assert (len(answers), refusals) == (rate * _SECONDS, [])
    assert max(answers) < 3.0
