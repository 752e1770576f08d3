"""Requests that wait for events acknowledged before them, over two partitions whose progress the test moves."""

import asyncio
from collections import Counter

import pytest

from headrace.model.errors import Unavailable
from headrace.model.event import STEP, Tenant
from headrace.pipeline.freshness import Freshness
from headrace.ports.log import Tails

LIVE, TEST = Tenant("p", "live"), Tenant("p", "test")
FIRST, SECOND = 10 * STEP, 20 * STEP + 1  # the tails of partitions 0 and 1


class GivenProgress:
    """Fits the Progress port. `stored` and `done`: by partition, and by tenant and partition."""

    def __init__(self) -> None:
        self.stored = Counter[int]()
        self.done = Counter[tuple[Tenant, int]]()
        self.wanted: list[tuple[int, int]] = []

    def visible(self, partition: int, /) -> int:
        return self.stored[partition]

    def reacted(self, tenant: Tenant, partition: int, /) -> int:
        return self.done[tenant, partition]

    def want(self, partition: int, position: int, /) -> None:
        self.wanted.append((partition, position))


class Given:
    def __init__(self, timeout_s: float = 30.0, stuck: str = "", reactions_stuck: str = "") -> None:
        self.stuck, self.reactions_stuck = stuck, reactions_stuck
        self.progress = GivenProgress()
        self.tails = {0: FIRST, 1: SECOND}
        self.freshness = Freshness(
            tails=self._tails,
            progress=self.progress,
            freshness_timeout_s=timeout_s,
            sync_deadline_s=timeout_s,
            stuck=lambda: self.stuck,
            reactions_stuck=lambda: self.reactions_stuck,
        )
        self.freshness.start()

    async def _tails(self) -> Tails:
        return dict(self.tails)

    async def advance(self) -> None:
        """Tell who waits, and let them run."""
        self.freshness.advance()
        for _ in range(10):
            await asyncio.sleep(0)


def test_a_query_waits_until_every_partition_has_stored_what_was_acknowledged_before_it() -> None:
    async def run() -> None:
        given = Given()
        query = asyncio.create_task(given.freshness.visible())
        await given.advance()
        assert sorted(given.progress.wanted) == [(0, FIRST), (1, SECOND)], "each worker is asked to hurry, at once"
        given.tails[0] += STEP  # acknowledged after the query came
        given.progress.stored[1] = SECOND
        await given.advance()
        assert not query.done()
        given.progress.stored[0] = FIRST - STEP
        await given.advance()
        assert not query.done()
        given.progress.stored[0] = FIRST
        await given.advance()
        assert query.done()
        given.progress.wanted.clear()
        given.tails[0] = FIRST
        await given.freshness.visible()
        assert given.progress.wanted == [], "what is visible already wakes nobody"

    asyncio.run(run())


def test_a_query_of_reactions_waits_for_its_own_tenant_in_every_partition() -> None:
    async def run() -> None:
        given = Given()
        query = asyncio.create_task(given.freshness.settled(LIVE))
        for partition, tail in given.tails.items():
            given.progress.stored[partition] = tail
            given.progress.done[TEST, partition] = tail
        given.progress.done[LIVE, 1] = SECOND
        await given.advance()
        assert not query.done()
        given.progress.done[LIVE, 0] = FIRST
        await given.advance()
        assert query.done()

    asyncio.run(run())


def test_an_event_waits_for_its_own_partition_alone() -> None:
    async def run() -> None:
        given = Given()
        answer = asyncio.create_task(given.freshness.reacted(LIVE, SECOND))
        await given.advance()
        assert given.progress.wanted == [(1, SECOND)]
        given.progress.done[LIVE, 0] = FIRST * 100
        await given.advance()
        assert not answer.done()
        given.progress.done[LIVE, 1] = SECOND
        await given.advance()
        assert await answer

    asyncio.run(run())


def test_one_partition_that_does_not_catch_up_in_time_refuses_the_query() -> None:
    async def run() -> None:
        given = Given(timeout_s=0.01)
        given.progress.stored[0] = FIRST
        with pytest.raises(Unavailable):
            await given.freshness.visible()
        assert not await given.freshness.reacted(LIVE, SECOND)
        given.progress.stored[1] = SECOND
        await given.freshness.visible()

    asyncio.run(run())


def test_while_the_store_is_known_to_fail_a_query_that_would_wait_is_refused_at_once() -> None:
    async def run() -> None:
        given = Given(timeout_s=3600, stuck="no room")
        with pytest.raises(Unavailable, match="failing"):
            await given.freshness.visible()
        given.progress.stored.update(given.tails)
        await given.freshness.visible()  # it lacks nothing

    asyncio.run(run())


def test_whoever_waits_for_reactions_is_answered_at_once_while_they_or_the_store_are_known_to_fail() -> None:
    async def run(given: Given) -> None:
        assert not await given.freshness.reacted(LIVE, SECOND)
        for wait in (given.freshness.settled(LIVE), given.freshness.reacted_upto(LIVE, SECOND)):
            with pytest.raises(Unavailable):
                await wait
        given.progress.done.update({(LIVE, partition): tail for partition, tail in given.tails.items()})
        assert await given.freshness.reacted(LIVE, SECOND)
        await given.freshness.settled(LIVE)  # they lack nothing

    async def run_all() -> None:
        await run(Given(timeout_s=3600, stuck="no room"))
        reactions_alone = Given(timeout_s=3600, reactions_stuck="control is locked")
        reactions_alone.progress.stored.update(reactions_alone.tails)
        await reactions_alone.freshness.visible()
        await run(reactions_alone)

    asyncio.run(run_all())


def test_whoever_waits_already_is_answered_soon_after_it_gets_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.pipeline.freshness._LOOK_EVERY_S", 0.001)

    async def run() -> None:
        given = Given(timeout_s=3600)
        answer = asyncio.create_task(given.freshness.reacted(LIVE, SECOND))
        query = asyncio.create_task(given.freshness.visible())
        await given.advance()
        given.stuck = "no room"
        assert not await answer
        with pytest.raises(Unavailable):
            await query

    asyncio.run(run())
