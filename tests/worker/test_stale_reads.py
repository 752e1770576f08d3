"""Queries that accept a stale answer: what is asked in a reader's thread, and who shares an answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headrace.model.errors import NotFound, Unavailable
from headrace.model.stale_reads import accepting_stale_reads, stale_read
from tests.worker.test_query_slots import LARGE, World, run


def question(_reader: Any) -> str:
    """Asks about people, say, while the log is away."""
    if (read := stale_read()) is None:
        raise Unavailable("The log is not responding.")
    read.mark(1_000)
    return "stale"


def missing(_reader: Any) -> str:
    question(_reader)
    raise NotFound("There is no such user.")


async def asked(world: World, asks: Callable[[Any], str], *, accepting: bool = True) -> tuple[str, int | None]:
    """The answer, or the kind of error, and until when it is complete."""
    try:
        if not accepting:
            return await world.slots.ask(asks, by=LARGE), None
        with accepting_stale_reads() as read:
            try:
                answer = await world.slots.ask(asks, by=LARGE)
            except NotFound:
                answer = "missing"
            return answer, read.complete_until_ms
    except Unavailable:
        return "refused", None


def test_what_a_question_reads_in_its_thread_makes_its_own_request_stale_and_no_other() -> None:
    async def scenario(world: World) -> None:
        assert await asked(world, question) == ("stale", 1_000)
        assert await asked(world, question, accepting=False) == ("refused", None)
        assert await asked(world, lambda _: "fresh") == ("fresh", None)
        assert stale_read() is None

    run(scenario)


def test_what_is_answered_from_memory_while_others_run_may_be_stale_too() -> None:
    async def scenario(world: World) -> None:
        world.reader.remembers = True
        held = await world.hold()
        assert await asked(world, question) == ("stale", 1_000)
        world.gate.go.set()
        await held

    run(scenario)


@pytest.mark.parametrize(("asks", "answer"), [(question, "stale"), (missing, "missing")])
def test_whoever_shares_a_stale_answer_says_so_too_or_refuses_it(asks: Callable[[Any], str], answer: str) -> None:
    async def scenario(world: World) -> None:
        held = await world.hold()
        first = asyncio.create_task(asked(world, asks))
        await world.until_all_wait()
        second = asyncio.create_task(asked(world, asks))
        third = asyncio.create_task(asked(world, asks, accepting=False))
        await world.until_all_wait()
        world.gate.go.set()
        await held
        assert await first == (answer, 1_000)
        assert await second == (answer, 1_000)
        assert await third == ("refused", None)

    run(scenario)
