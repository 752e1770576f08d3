"""Admits queries, starts each once the store is fresh and it is its turn, and sheds those that would be late. Knows no content.

Writes come first: while they wait, queries get less time, and so more of them are refused. See
docs/decisions/0155-writes-come-first.md and 0168-the-same-question-is-run-once.md.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from math import ceil
from typing import Any, TypeVar

from headrace.model.askers import Asker
from headrace.model.errors import HeadraceError, Unavailable
from headrace.model.stale_reads import stale_read
from headrace.pipeline.giving_way import GivingWay
from headrace.pipeline.query_turns import Costs, Turns, Waiting
from headrace.pipeline.resting import Resting
from headrace.pipeline.same_questions import Outcome, SameQuestions, identity_of
from headrace.ports.store import CancellableReader, NotRemembered, Reader, RunningQuery

Answer = TypeVar("Answer")
_LOOK_EVERY_S = 0.025
_LONGEST_REST_S = 2.0
_LONGEST_RETRY_S = 60
_MOST_REMEMBERING = 16
_MOST_FOLLOWING = 1000
_BREATH_S, _MOST_BREATHS = 0.1, 2.0  # about what queries wait for freshness if nothing is in their way
_MANY = 16  # that wait; fewer are let in even if each takes long
_NOBODY = Asker()


class _Query(Waiting, eq=False, kw_only=True):
    """turn: done when it may begin, with "", or is refused, with the reason. task: what waits, until the store is fresh.

    same: see `identity_of`; "" for one that is not compared. follows: whether it waits for the answer to another one like it.
    """

    turn: "asyncio.Future[str]"
    task: "asyncio.Task[object] | None"
    same: str = ""
    follows: bool = False
    began: bool = False
    shed: bool = False


class QuerySlots:
    """Runs queries in threads. For the event loop's thread.

    `asked_at_ms`: when the last query arrived. `refused`: how many queries were, since the start.
    """

    def __init__(
        self,
        reader: CancellableReader,
        *,
        fresh: Callable[[], Awaitable[None]],
        running: int,
        waiting: int,
        patience_s: float,
        write_wait_s: Callable[[], float] = lambda: 0.0,
        on_ease: Callable[[float], None] = lambda _ease: None,
        clock_ms: Callable[[], int],
    ) -> None:
        """running: how many queries run at once. waiting: how many more may wait for a slot. patience_s: for how long.

        write_wait_s: how long a write has waited at most since the last call, 0 if there was none.
        on_ease: told now and then how much longer than usual queries may wait for freshness, for they would not be run before:
        while writes wait, or the readers are busy with others.
        """
        self.asked_at_ms = 0
        self.refused = 0
        self._reader = reader
        self._fresh = fresh
        self._most_running = running
        self._most = running + waiting
        self._patience_s = patience_s
        self._write_wait_s = write_wait_s
        self._on_ease = on_ease
        self._clock_ms = clock_ms
        self._costs = Costs()
        self._turns = Turns[_Query]()
        self._same = SameQuestions[Any]()
        self._way = GivingWay(running)
        self._inside: dict[_Query, None] = {}  # in the order in which they came
        self._following = 0
        self._busy = 0  # readers that run a query or rest after one
        self._running = 0
        self._resting = Resting(self._release)
        self._looking = False
        self._beside_writes = False
        self._remembering = 0
        self._threads = ThreadPoolExecutor(running, thread_name_prefix="reader")
        self._rememberer = ThreadPoolExecutor(1, thread_name_prefix="rememberer")

    @property
    def running(self) -> int:
        """The number of running queries, at most."""
        return self._running

    @property
    def waiting(self) -> int:
        """The number of queries waiting for a slot."""
        return len(self._inside) - self._running

    @property
    def rest(self) -> float:
        """For how many times the duration of a query its reader rests after it, because writes wait."""
        return self._way.rest

    async def ask(self, question: Callable[[Reader], Answer], /, *, fresh: bool = True, by: Asker = _NOBODY) -> Answer:
        """Run a query against the store once the store holds everything acknowledged before now.

        Those that are asked `by` somebody and ask the same while they wait are run once.
        fresh: false for one that goes on with an earlier one, and so does not wait for that.
        Raises Unavailable if too many queries are waiting, it would wait too long or the store is too far behind, and what the
        question raises. If it is cancelled, it stops the query and returns once that has ended.
        """
        self.asked_at_ms = self._clock_ms()
        query = self._let_in(by, identity_of(question) if by is not _NOBODY and self._inside else "")
        try:
            if fresh:
                await self._until_fresh(query)
            query.task = None
            looked = False
            while True:
                if self._same.is_waiting(query.same):
                    if outcome := await self._same.of_another(query.same):
                        return outcome.get()
                # Only what a route asks may be begun twice.
                elif by is not _NOBODY and not looked and self._would_wait() and self._remembering < _MOST_REMEMBERING:
                    looked = True
                    if outcome := await self._from_memory(question):
                        return outcome.get()
                else:
                    return await self._for_all(query, question)
        finally:
            self._leave(query)

    def close(self) -> None:
        """Wait for the queries that are running."""
        self._threads.shutdown()
        self._rememberer.shutdown()

    def _let_in(self, by: Asker, same: str) -> _Query:
        loop = asyncio.get_running_loop()
        query = _Query(
            by,
            self._costs.of(by),
            loop.time(),
            ready=False,
            turn=loop.create_future(),
            task=None,
            same=same,
        )
        if same and self._same.is_asked(same):
            if self._following >= _MOST_FOLLOWING:
                raise self._too_many("Too many queries are waiting.")
            query.follows = True
            self._following += 1
        else:
            if len(self._inside) - self._following >= self._most and not self._shed_for(by.owner):
                raise self._too_many("Too many queries are waiting.")
            many = self._beside_writes and len(self._inside) > _MANY
            if self._turns.ahead_s(query) > self._patience_s * self._way.reliable_pace(beside_many=many):
                raise self._too_many("The queries before this one take too long.")
            self._turns.add(query)
        self._same.enter(same)
        query.task = asyncio.current_task()
        self._inside[query] = None
        if not self._looking:
            self._looking = True
            self._look_later()
        return query

    def _leave(self, query: _Query) -> None:
        query.task = None  # which holds the error that it ends with, whose traceback leads back to the query
        self._inside.pop(query, None)
        self._turns.remove(query)
        self._same.leave(query.same)
        self._following -= query.follows

    def _shed_for(self, owner: str) -> bool:
        """Refuse the latest query of the project with the most, so that another one's is let in. False if that has the most."""
        of: dict[str, list[_Query]] = {}
        for each in self._inside:
            if not each.follows and (each.task is not None or (each.ready and not each.turn.done())):
                of.setdefault(each.by.owner, []).append(each)
        most = max(of.values(), key=len, default=list[_Query]())
        if len(most) <= len(of.get(owner, ())) + 1:
            return False
        self._refuse(most[-1], "Too many queries are waiting.")
        return True

    def _refuse(self, query: _Query, why: str) -> None:
        self._inside.pop(query, None)
        self._turns.remove(query)
        if query.task is None:
            query.turn.set_result(why)
        else:
            query.shed = True
            query.task.cancel()

    def _too_many(self, why: str) -> Unavailable:
        self.refused += 1
        left_s = sum(each.cost_s for each in self._inside) / self._way.pace
        return Unavailable(why, retry_after_s=min(max(1, ceil(left_s)), _LONGEST_RETRY_S))

    async def _until_fresh(self, query: _Query) -> None:
        try:
            await self._fresh()
        except asyncio.CancelledError:
            if not query.shed or query.task is None or query.task.uncancel():
                raise  # the client hung up
            raise self._too_many("Too many queries are waiting.") from None

    async def _from_memory(self, question: Callable[[Reader], Answer]) -> Outcome[Answer] | None:
        """Answer without a reader; None if the answer is not remembered. Raises what the question raises."""
        self._remembering += 1
        try:
            return await asyncio.wrap_future(self._rememberer.submit(copy_context().run, self._remembered, question))
        finally:
            self._remembering -= 1

    async def _for_all(self, query: _Query, question: Callable[[Reader], Answer]) -> Answer:
        """Run it once it is its turn, for those as well that ask the same meanwhile."""
        if query.follows:
            query.follows = False
            self._following -= 1
            # The one that it followed was refused or given up. If that was late, many that followed it are, and all learn it now.
            if self._turns.is_late(query, asyncio.get_running_loop().time(), self._way.pace, self._patience_s):
                raise self._too_many("The queries before this one take too long.")
            self._turns.add(query)
        query.ready = True
        outcome: Outcome[Answer] | None = None
        shared = self._same.wait(query.same) if query.same else None
        try:
            await self._until_its_turn(query)
            query.began = True
            self._same.begin(query.same)
            answer = await self._run(query, question)
            outcome = Outcome(answer, read=stale_read())
            return answer
        except HeadraceError as error:
            if query.began:
                outcome = Outcome(error=error, read=stale_read())
            raise
        finally:
            if shared is not None:
                if not query.began:
                    self._same.begin(query.same)
                shared.set_result(outcome)
            outcome = shared = None  # or an error would hold this frame, and this frame the error

    async def _until_its_turn(self, query: _Query) -> None:
        self._start_some()
        try:
            why = await query.turn
        except asyncio.CancelledError:
            if not self._turns.remove(query) and not query.turn.cancelled() and not query.turn.result():
                self._release()  # it was its turn at this very moment
            raise
        if why:  # raised here: a future that held the error would be part of its own traceback
            raise self._too_many(why)

    def _start_some(self) -> None:
        while self._busy < self._way.readers and (query := self._turns.take()) is not None:
            self._busy += 1
            query.turn.set_result("")

    def _would_wait(self) -> bool:
        return self._busy >= self._way.readers

    def _release(self) -> None:
        self._busy -= 1
        self._start_some()

    async def _run(self, query: _Query, question: Callable[[Reader], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._running += 1
        running = RunningQuery(gentle=self._way.rest > 0)
        # The context says whether this request accepts a stale answer, and the question may ask the log about people.
        work = self._threads.submit(copy_context().run, self._answer, question, running)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            if not work.cancel():  # it is running
                await asyncio.to_thread(self._reader.cancel, running)
            raise
        finally:
            del work  # it holds the error that is raised here, whose traceback holds this frame
            self._running -= 1
            took_s = loop.time() - began_s
            self._costs.learn(query.by, took_s)
            self._turns.took(query, took_s)
            if self._way.rest:
                self._resting.begin(min(took_s * self._way.rest, _LONGEST_REST_S))
            else:
                self._release()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(_LOOK_EVERY_S, self._look, loop.time() + _LOOK_EVERY_S)

    def _look(self, due_s: float) -> None:
        """While there are queries: see whether writes have to wait, and refuse queries that would wait too long."""
        now_s = asyncio.get_running_loop().time()
        waited_s = self._write_wait_s()
        # What keeps the event loop from its turn keeps writes from being read.
        self._way.adapt(waited_s and waited_s + now_s - due_s, self._turns.queuing)
        for each in self._turns.late(now_s, self._way.pace, self._patience_s):
            self._refuse(each, "The queries before this one take too long.")
        self._beside_writes = waited_s > 0
        self._on_ease(max(self._way.rest, min(self._turns.ready_s / self._way.pace / _BREATH_S, _MOST_BREATHS)))
        if not self._way.rest:
            self._resting.end_all()
        self._start_some()
        self._looking = bool(self._inside) or self._way.rest > 0
        if self._looking:
            self._look_later()
        else:
            self._beside_writes = False

    def _remembered(self, question: Callable[[Reader], Answer]) -> Outcome[Answer] | None:
        try:
            return Outcome(self._answer(question, RunningQuery(only_remembered=True)))
        except NotRemembered:
            return None

    def _answer(self, question: Callable[[Reader], Answer], running: RunningQuery) -> Answer:
        with self._reader.asking(running):
            return question(self._reader)
