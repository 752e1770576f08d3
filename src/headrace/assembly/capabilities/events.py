"""Accepts events, and tells what became of one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from headrace.assembly.runtime import Runtime
from headrace.assembly.tracing import trace_of
from headrace.model.batch import Batch, Item
from headrace.model.effects import Effect, Trace
from headrace.model.entries import Receipt
from headrace.model.errors import Unavailable
from headrace.model.event import Event, StoredEvent, Tenant
from headrace.model.person import may_say
from headrace.pipeline.first_events import FirstEvents
from headrace.pipeline.freshness import Freshness
from headrace.pipeline.intake import Intake
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.statement_watch import StatementWatch
from headrace.reactions.facts import Fact, fact_of


class EventIntake:
    """Accepts events. `accept` makes them durable: see `Intake.accept`.

    in_place_of_repeats: the batch as it is stored: see `FirstEvents`.
    """

    def __init__(
        self,
        intake: Intake,
        freshness: Freshness,
        reactions: Reactions,
        first_events: FirstEvents,
        watch: StatementWatch,
        bound: Callable[[], int],
        has_rules: Callable[[str], bool] | None = None,
    ) -> None:
        """bound: returns a position that no acknowledged event is past.

        has_rules: whether a project may have rules; None where the reactions know, because they run in this process.
        """
        self.accept: Callable[[Sequence[Item]], Awaitable[list[Receipt]]] = intake.accept
        self._accept_history: Callable[[Sequence[Item]], Awaitable[list[Receipt]]] = intake.accept_history
        self.in_place_of_repeats: Callable[[Batch, list[Receipt]], Awaitable[Batch]] = first_events.in_place_of_repeats
        self._freshness = freshness
        self._reactions = reactions
        self._watch = watch
        self._bound = bound
        self._has_rules = has_rules

    async def accept_about_people(self, items: Sequence[Item], /, *, history: bool = False) -> list[Receipt]:
        """Like `accept`, for events that may say something about people: the reactor learns their positions.

        history: no rule judges them: see `Intake.accept_history`.
        """
        accept = self._accept_history if history else self.accept
        if not any(may_say(item.event.type, bool(item.event.traits)) for item in items):
            return await accept(items)
        event = items[0].event
        self._watch.begin()
        # A task of its own, which learns the positions even if the client hangs up meanwhile.
        appended = asyncio.ensure_future(accept(items))
        appended.add_done_callback(lambda done: self._watch.end(Tenant(event.project, event.mode), self._place(done)))
        return await asyncio.shield(appended)

    def _place(self, appended: "asyncio.Future[list[Receipt]]") -> int:
        """The position of the last of some events, or one that no event is past if theirs are not known."""
        if appended.cancelled() or appended.exception() is not None:
            return self._bound()
        return max(receipt.position for receipt in appended.result())

    async def fact_once_reacted(self, receipt: Receipt, event: Event, /) -> Fact | None:
        """The first fact of an event, once it has been reacted to; None if that is not so by the deadline, or not known."""
        if not await self._freshness.reacted(Tenant(event.project, event.mode), receipt.position):
            return None
        if not (self._has_rules or self._reactions.has_rules)(event.project):
            return fact_of(receipt.id, event)
        try:  # rules may have changed the fact, and control has the result
            return await asyncio.to_thread(self._reactions.fact, receipt.id, event)
        except Unavailable:  # the event is durable: to refuse it would have it sent again
            return None


class EventHistory:
    """Tells what became of an event."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._freshness = runtime.pipeline.freshness
        self._reactions = runtime.reacting.reactions

    async def trace(self, tenant: Tenant, event: StoredEvent, /) -> Trace:
        """Waits for the event's reactions until the deadline at most. Raises Unavailable."""
        await self._freshness.reacted(tenant, event.position)
        return await asyncio.to_thread(trace_of, self._runtime, event)

    async def effects(self, tenant: Tenant, event: StoredEvent, /) -> list[Effect]:
        """The event's effects, once everything acknowledged before now has been reacted to. Raises Unavailable."""
        await self._freshness.settled(tenant)
        return await asyncio.to_thread(self._reactions.effects, event)
