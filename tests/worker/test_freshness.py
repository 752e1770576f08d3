"""Requests that wait for events acknowledged before them, over two partitions whose progress the test moves."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.errors import Unavailable
from headrace.model.event import STEP, Tenant, first_position
from headrace.model.stale_reads import accepting_stale_reads
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
        self.is_log_away = False
        self.elsewhere = ""
        self.asked = 0
        self.now_ms = 5_000
        self.freshness = Freshness(
            tails=self._tails,
            progress=self.progress,
            freshness_timeout_s=timeout_s,
            sync_deadline_s=timeout_s,
            clock_ms=lambda: self.now_ms,
            stuck=lambda: self.stuck,
            reactions_stuck=lambda: self.reactions_stuck,
            elsewhere=lambda: self.elsewhere,
        )
        self.freshness.start()

    async def _tails(self) -> Tails:
        self.asked += 1
        if self.is_log_away:
            raise Unavailable("The log is not responding.")
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
        for wait in (given.freshness.settled(LIVE), given.freshness.known(LIVE, lambda _: SECOND)):
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


# While the log cannot be asked


def waits(given: Given) -> list[Awaitable[None]]:
    """One of each kind that asks the log."""
    freshness = given.freshness
    return [freshness.visible(), freshness.settled(LIVE), freshness.known(LIVE, lambda _: SECOND)]


def test_without_the_log_whoever_accepts_no_stale_answer_is_refused() -> None:
    async def run() -> None:
        given = Given()
        given.is_log_away = True
        for wait in waits(given):
            with pytest.raises(Unavailable, match="log"):
                await wait

    asyncio.run(run())


def test_without_the_log_whoever_accepts_a_stale_answer_waits_for_nothing_and_learns_what_it_has() -> None:
    async def run() -> None:
        given = Given(timeout_s=3600, stuck="the worker cannot read the log, either")
        given.is_log_away = True
        given.progress.stored.update({0: first_position(2_000) + STEP, 1: first_position(3_000) + 1})
        given.progress.done.update({(LIVE, 0): first_position(1_500), (LIVE, 1): first_position(4_000) + 1})
        for wait in waits(given):
            with accepting_stale_reads() as read:
                await wait
            assert read.is_stale
            assert read.complete_until_ms == 0, "a log that was never asked may have other partitions"
        given.is_log_away = False
        given.tails = {0: first_position(9_000), 1: first_position(9_000) + 1}
        with pytest.raises(Unavailable, match="store"):
            await given.freshness.visible()
        given.is_log_away = True
        given.asked = 0
        with accepting_stale_reads() as read:
            await given.freshness.visible()
            assert read.complete_until_ms == 2_000
            await given.freshness.settled(LIVE)
            assert read.complete_until_ms == 1_500, "the least of what it has read"
            await given.freshness.visible()
            assert read.complete_until_ms == 1_500
        assert given.asked == 1, "once a request: a log that hangs takes its time"

    asyncio.run(run())


@pytest.mark.parametrize("is_log_away", [False, True])
def test_beside_workers_that_have_another_log_nobody_is_answered(is_log_away: bool) -> None:
    async def run() -> None:
        given = Given()
        given.is_log_away, given.elsewhere = is_log_away, "The workers have another log."
        given.progress.stored.update({0: FIRST, 1: SECOND})
        for wait in waits(given):
            with accepting_stale_reads(), pytest.raises(Unavailable, match="another log"):
                await wait

    asyncio.run(run())


def test_with_the_log_it_makes_no_difference_that_somebody_would_accept_a_stale_answer() -> None:
    async def run() -> None:
        given = Given(timeout_s=0.01)
        for wait in waits(given):
            with accepting_stale_reads() as read, pytest.raises(Unavailable, match="caught up"):
                await wait
            assert not read.is_stale
        given.progress.stored.update(given.tails)
        given.progress.done.update({(LIVE, each): tail for each, tail in given.tails.items()})
        for wait in waits(given):
            with accepting_stale_reads() as read:
                await wait
            assert not read.is_stale

    asyncio.run(run())


_DEEDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "append", "append", "store", "store", "react", "ask", "ask", "log goes", "log is back"]
        ),
        st.integers(0, 1),
        st.integers(0, 3),
    ),
    max_size=60,
)


@settings(max_examples=400)
@given(_DEEDS)
def test_everything_received_before_the_time_that_a_stale_answer_names_is_in_it(
    deeds: list[tuple[str, int, int]],
) -> None:
    """The model is a list of all events with the time at which each was received."""

    async def run() -> None:
        given, received = Given(), list[tuple[int, int, int]]()  # (ms, partition, position)
        log, progress = given.tails, given.progress
        log.update({0: 0, 1: 0})
        for deed, partition, number in deeds:
            given.now_ms += number
            if deed == "append":
                log[partition] = max(log[partition] + STEP, first_position(given.now_ms) + partition)
                received.append((log[partition] >> 20, partition, log[partition]))
            elif deed in ("store", "react"):  # the worker may go on with what it has read, also without the log
                after = progress.visible(partition) if deed == "store" else progress.reacted(LIVE, partition)
                upto = [position for _, each, position in received if each == partition and position > after]
                if deed == "store":
                    progress.stored[partition] = max(after, *upto[:number], 0)
                elif upto[:number] and upto[:number][-1] <= progress.visible(partition):
                    progress.done[LIVE, partition] = upto[:number][-1]
            elif deed != "ask":
                given.is_log_away = deed == "log goes"
            elif given.is_log_away:
                for wait, reached in (
                    (given.freshness.visible(), progress.visible),
                    (given.freshness.settled(LIVE), partial(progress.reacted, LIVE)),
                ):
                    with accepting_stale_reads() as read:
                        await wait
                    assert read.complete_until_ms is not None
                    assert read.complete_until_ms <= given.now_ms
                    lacking = [ms for ms, each, position in received if position > reached(each)]
                    assert read.complete_until_ms <= min(lacking, default=given.now_ms)
            else:
                asked = asyncio.ensure_future(given.freshness.visible())
                await asyncio.sleep(0)
                asked.cancel()

    asyncio.run(run())


def test_an_answer_of_a_quiet_log_is_complete_until_the_log_was_last_asked() -> None:
    async def run() -> None:
        given = Given()
        given.progress.stored.update(given.tails)
        await given.freshness.visible()
        given.now_ms = 100_000
        await given.freshness.visible()
        given.is_log_away = True
        given.now_ms = 900_000
        with accepting_stale_reads() as read:
            await given.freshness.visible()
        assert read.complete_until_ms == 100_000
        given.is_log_away = False
        given.tails[0] += STEP  # known, and not stored any more
        asked = asyncio.create_task(given.freshness.visible())
        await given.advance()
        asked.cancel()
        given.is_log_away = True
        with accepting_stale_reads() as read:
            await given.freshness.visible()
        assert read.complete_until_ms == 100_000

    asyncio.run(run())
