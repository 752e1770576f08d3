"""What those who talk to a server may do with it, in parts: each handler is given the two or three that it uses.

The only place where what HTTP needs is tied to the runtime's parts. Errors come out as those of `model.errors`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from headrace.assembly.admission import Admission
from headrace.assembly.clock import clock_ms
from headrace.assembly.figures import Figure, figures, reaction_lags
from headrace.assembly.journeys import JourneyAdmin
from headrace.assembly.people import ContactDirectory, PeopleDirectory
from headrace.assembly.runtime import Runtime
from headrace.assembly.status import status_of
from headrace.assembly.throughput import Throughput
from headrace.assembly.webhooks import WebhookAdmin
from headrace.model.batch import Batch, Item
from headrace.model.effects import Effect, Trace
from headrace.model.entries import Receipt
from headrace.model.errors import InvalidRequest, NotFound, Unavailable
from headrace.model.event import MODES, Event, StoredEvent, Tenant
from headrace.model.filters import Filters, Page, Selection
from headrace.model.ledger import Grant, Granted, Revocation
from headrace.model.person import may_say
from headrace.model.replay_job import Action, ReplayJob
from headrace.model.rulebook import PassedOver, PutAside, Version
from headrace.model.settings import Settings
from headrace.model.status import Lag, Status
from headrace.pipeline.first_events import FirstEvents
from headrace.pipeline.freshness import Freshness
from headrace.pipeline.intake import Intake
from headrace.pipeline.quarantine import WHAT_TO_DO
from headrace.pipeline.queries import QuerySlots
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import Applied, InForce, apply_rules, in_force
from headrace.pipeline.statement_watch import StatementWatch
from headrace.ports.control import ControlFailed, Scores
from headrace.ports.ledger import Ledger
from headrace.ports.store import Reader, StoreFailed
from headrace.reactions.facts import Fact, fact_of
from headrace.reactions.stage import RuleSet
from headrace.replay.once import Replayed, rehearse, replay
from headrace.upkeep.quarantine import Asked, answer

Answer = TypeVar("Answer")
_MOST_DOCUMENTS = 50  # of a project's history of rules


class Ask(msgspec.Struct, frozen=True):
    """Put a question to the store once it holds everything acknowledged before now. See `QuerySlots.ask`."""

    slots: QuerySlots

    def __call__(self, question: Callable[[Reader], Answer], /) -> Awaitable[Answer]:
        return self.slots.ask(question)


class EventIntake:
    """Takes events. `accept` makes them durable: see `Intake.accept`.

    in_place_of_repeats: the batch as it is stored: see `FirstEvents`.
    """

    def __init__(
        self,
        intake: Intake,
        freshness: Freshness,
        reactions: Reactions,
        first_events: FirstEvents,
        watch: StatementWatch,
        last: Callable[[], int],
    ) -> None:
        """last: the position of the last acknowledged event."""
        self.accept: Callable[[Sequence[Item]], Awaitable[list[Receipt]]] = intake.accept
        self.in_place_of_repeats: Callable[[Batch, list[Receipt]], Awaitable[Batch]] = first_events.in_place_of_repeats
        self._freshness = freshness
        self._reactions = reactions
        self._watch = watch
        self._last = last

    async def accept_about_people(self, items: Sequence[Item], /) -> list[Receipt]:
        """As `accept`, for events of which some may say something about people: the reactor is told where they stand."""
        if not any(may_say(item.event.type, bool(item.event.traits)) for item in items):
            return await self.accept(items)
        event = items[0].event
        self._watch.begin()
        # A task of its own, which also learns the positions if the client hangs up meanwhile.
        appended = asyncio.ensure_future(self.accept(items))
        appended.add_done_callback(lambda done: self._watch.end(Tenant(event.project, event.mode), self._place(done)))
        return await asyncio.shield(appended)

    def _place(self, appended: "asyncio.Future[list[Receipt]]") -> int:
        """The position that the last of some events has; the log's last where that is not known."""
        if appended.cancelled() or appended.exception() is not None:
            return self._last()
        return max(receipt.position for receipt in appended.result())

    async def fact_once_reacted(self, receipt: Receipt, event: Event, /) -> Fact | None:
        """The first fact of an event, once it has been reacted to; None if the deadline passes first."""
        if not await self._freshness.reacted(Tenant(event.project, event.mode), receipt.position):
            return None
        if self._reactions.has_rules(event.project):  # they may have said otherwise, and that is in control
            return await asyncio.to_thread(self._reactions.fact, receipt.id, event)
        return fact_of(receipt.id, event)


class EventHistory:
    """What has become of an event."""

    def __init__(self, runtime: Runtime) -> None:
        self._freshness = runtime.freshness
        self._reactions = runtime.reactions
        self._trace = runtime.trace

    async def trace(self, tenant: Tenant, event: StoredEvent, /) -> Trace:
        """Waits for the event's reactions, but not past the deadline. Raises Unavailable."""
        await self._freshness.reacted(tenant, event.position)
        return await asyncio.to_thread(self._trace, event)

    async def effects(self, tenant: Tenant, event: StoredEvent, /) -> list[Effect]:
        """What the event has set off, once all that was acknowledged before now has been reacted to. Raises Unavailable."""
        await self._freshness.settled(tenant)
        return await asyncio.to_thread(self._reactions.effects, event)


class SettledScoreboard:
    """The scoreboard, once all that was acknowledged before the question has been reacted to."""

    def __init__(self, runtime: Runtime) -> None:
        self._freshness = runtime.freshness
        self._rules = runtime.rule_cache
        self._scoreboard = runtime.scoreboard
        self._ledger = runtime.ledger
        self._grants = runtime.grants
        self._queries = runtime.queries

    async def ask(self, tenant: Tenant, question: Callable[[Scores, RuleSet], Answer], /) -> tuple[Answer, RuleSet]:
        """The answer, and the tenant's rules as they were for it. Raises Unavailable, and what the question raises."""
        await self._freshness.settled(tenant)

        def answer() -> tuple[Answer, RuleSet]:
            rules = self._rules.rules(tenant.project)
            return question(self._scoreboard, rules), rules

        return await _ask_control(answer)

    async def ask_ledger(self, tenant: Tenant, question: Callable[[Ledger], Answer], /) -> Answer:
        """The answer, once all that was acknowledged before it has been reacted to. Raises Unavailable, and what it raises."""
        await self._freshness.settled(tenant)
        return await _ask_control(lambda: question(self._ledger))

    async def grant(self, tenant: Tenant, grant: Grant, key: str, /) -> Granted:
        """See the Grants port. What was acknowledged before has been reacted to. Raises Conflict, Unavailable."""
        await self._freshness.settled(tenant)
        return await _ask_control(lambda: self._grants.grant(tenant, grant, key, clock_ms()))

    async def revoke(self, tenant: Tenant, badge: str, participant: str, reason: str, /) -> Revocation:
        """See the Grants port. Raises NotFound, Unavailable."""
        await self._freshness.settled(tenant)
        return await _ask_control(lambda: self._grants.revoke(tenant, badge, participant, reason, clock_ms()))

    async def revocations(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Revocation]:
        """See the Grants port. Raises Unavailable."""
        return await _ask_control(lambda: self._grants.revocations(tenant, badge, limit, offset))

    async def count_events(self, tenant: Tenant, participant: str, /) -> int:
        """How many events a participant has sent. Raises Unavailable."""
        page = Page(limit=1)
        return await self._queries.ask(lambda reader: reader.events(tenant, Filters(person=participant), page).total)


class RuleAdmin:
    """Which rules are in force, and putting others in their place. Raises Unavailable, InvalidRules."""

    def __init__(self, runtime: Runtime) -> None:
        self._rulebook = runtime.rulebook
        self._overruns = runtime.overruns
        self._cache = runtime.rule_cache
        self._last = runtime.log.last
        self._runtime = runtime

    async def show(self, project: str, /) -> tuple[InForce | None, list[Version], RuleSet]:
        """The rules in force, the latest documents that were, and the rules as they run."""
        found = await _ask_control(lambda: in_force(self._rulebook, project))
        history = await _ask_control(lambda: self._rulebook.history(project, _MOST_DOCUMENTS))
        return found, history, await _ask_control(lambda: self._cache.rules(project))

    async def running(self, project: str, /) -> RuleSet:
        """The rules as they run; none at all for a project that never had any."""
        return await _ask_control(lambda: self._cache.rules(project))

    async def progress(self, project: str, /) -> list[tuple[Lag, int]]:
        """For each mode, how far its reactions are behind, and how many of its events no rule has looked at."""
        counts = await _ask_control(lambda: self._rulebook.passed_over_by_all(project))
        behind = {lag.tenant: lag for lag in reaction_lags(self._runtime)}
        tenants = [Tenant(project, mode) for mode in MODES]
        return [(behind.get(each) or Lag(each, 0, 0.0), counts.get(each.mode, 0)) for each in tenants]

    async def put_aside(self, project: str, /) -> list[PutAside]:
        """The rules that are no longer evaluated for new events of a mode."""
        return await _ask_control(lambda: self._overruns.put_aside(project))

    async def passed_over(
        self, tenant: Tenant, rule: tuple[str, str, str | None] | None, after: str, limit: int, /
    ) -> list[PassedOver]:
        """The tenant's events that a rule did not look at, by id, past an id; without a rule those that no rule looked at.

        rule: kind, id and version; without a version the one in force. Raises NotFound for a rule that there is not.
        """
        number = 0 if rule is None else await _ask_control(lambda: self._number(tenant.project, *rule))
        return await _ask_control(lambda: self._rulebook.passed_over(tenant, number, after, limit))

    def _number(self, project: str, kind: str, rule_id: str, version: str | None) -> int:
        if version is None:
            for number, (its_kind, rule, _) in self._cache.rules(project).rules.items():
                if (its_kind, rule.id) == (kind, rule_id):
                    return number
        else:
            _, rows = self._rulebook.current(project) or (None, [])
            for row in rows:
                if (row.kind, row.rule_id, row.version) == (kind, rule_id, version):
                    return row.no
        raise NotFound(
            f"There is no such rule: {kind[:20]} {rule_id[:80]!r}{f', version {version[:80]!r}' if version else ''}."
        )

    async def apply(self, project: str, document: bytes, /, *, dry_run: bool, move_runs: bool = False) -> Applied:
        """See `apply_rules`."""
        return await _ask_control(
            lambda: apply_rules(
                *(self._rulebook, project, document, clock_ms()),
                last=self._last,
                dry_run=dry_run,
                move_runs=move_runs,
                awaited=self._runtime.journeys.awaited,
            )
        )


class ReplayAdmin:
    """Replays at once and as jobs, and the jobs. Raises NotFound, InvalidRequest, Unavailable."""

    def __init__(self, runtime: Runtime) -> None:
        self._queries = runtime.queries
        self._freshness = runtime.freshness
        self._reactions = runtime.reactions
        self._jobs = runtime.replays
        self._wake = runtime.replay_runner.wake
        self._rebuild = runtime.rebuild
        self.plan: Callable[[Tenant, Selection, bool, bool], Awaitable[ReplayJob]] = runtime.plan_replay

    async def at_once(self, tenant: Tenant, selection: Selection, /, *, force: bool, dry_run: bool) -> Replayed:
        """What the reactor has still to react to, it reacts to first: in the order of the log, and once. See `replay`."""
        await self._freshness.settled(tenant)
        return await self._queries.ask(
            lambda reader: replay(reader, self._reactions, tenant, selection, force=force, dry_run=dry_run)
        )

    async def rehearse(self, tenant: Tenant, /) -> Replayed:
        """What a rebuild would do. See `rehearse`."""
        await self._freshness.settled(tenant)
        return await self._queries.ask(lambda reader: rehearse(reader, self._reactions, self._rebuild, tenant))

    async def listed(self, tenant: Tenant, page: Page, /) -> tuple[int, list[ReplayJob]]:
        """How many jobs there are, and those of a page."""
        return await _ask_control(lambda: self._jobs.listed(tenant, page.limit, page.offset))

    async def get(self, tenant: Tenant, job_id: str, /) -> ReplayJob:
        return await _ask_control(lambda: self._jobs.get(tenant, job_id))

    async def steer(self, tenant: Tenant, job_id: str, action: Action, /) -> ReplayJob:
        """Pause, resume or cancel."""
        job = await _ask_control(lambda: self._jobs.steer(tenant, job_id, action, clock_ms()))
        self._wake()
        return job


# By how the errors of a part begin.
_PARTS = (("The control database", "control database"), ("The log", "log"), ("A part of the log", "log"))


class ServerStatus:
    """How the server is doing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def hindrance(self) -> str:
        """What keeps events from being stored now, "" for nothing."""
        failing = self._runtime.worker.failing
        if failing:
            part = next((name for sign, name in _PARTS if failing.startswith(sign)), "store")
            return f"the {part} is failing; see the log"
        return "" if self._runtime.worker.progress.ready else "starting: nothing could be written to the store yet"

    def problems(self) -> list[str]:
        """What is wrong beside that, a sentence each, with what to do."""
        aside = self._runtime.quarantine.count
        listed = [f"{aside} acknowledged entries are put aside: {WHAT_TO_DO}"] if aside else []
        # Not which: anybody may ask, and the words for the operator name folders.
        damaged = ["a file of the data folder is damaged: `headrace check` says which, and how to mend it"]
        return [*(damaged if self._runtime.damage else []), *listed]

    @property
    def throughput(self) -> Throughput:
        return self._runtime.throughput

    async def report(self, tenant: Tenant, /, *, is_operator: bool) -> Status:
        """For whoever runs the server with the figures of all projects together. Raises Unavailable."""
        whole = is_operator or self._runtime.settings.status_figures == "everyone"
        return await _ask_control(lambda: status_of(self._runtime, tenant, whole=whole))

    def figures(self) -> Iterator[Figure]:
        """Not for the event loop's thread."""
        return figures(self._runtime)

    async def check(self) -> object:
        """Compare the log, the store and control: see `upkeep.check`. Raises Unavailable."""
        try:
            return await asyncio.to_thread(self._runtime.check)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The check failed: {error}") from error


class QuarantineAdmin:
    """Entries that were put aside: see `upkeep.quarantine`. One call at a time; others wait for it."""

    def __init__(self, runtime: Runtime) -> None:
        self._desk = runtime.quarantine
        self._lock = asyncio.Lock()

    async def ask(self, body: bytes, /) -> object:
        """The answer to what `headrace quarantine` asks. Raises InvalidRequest, NotFound, Unavailable."""
        try:
            asked = msgspec.json.decode(body, type=Asked)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{error}.") from None
        try:
            async with self._lock:
                return await asyncio.to_thread(answer, self._desk, asked)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(str(error)) from error


class Capabilities(msgspec.Struct, frozen=True):
    """All of them, of one server."""

    settings: Settings
    admission: Admission
    intake: EventIntake
    ask: Ask
    history: EventHistory
    scoreboard: SettledScoreboard
    rules: RuleAdmin
    replays: ReplayAdmin
    webhooks: WebhookAdmin
    people: PeopleDirectory
    contacts: ContactDirectory
    journeys: JourneyAdmin
    status: ServerStatus
    quarantine: QuarantineAdmin


def capabilities_of(runtime: Runtime, /) -> Capabilities:
    return Capabilities(
        runtime.settings,
        runtime.admission,
        EventIntake(
            runtime.intake,
            runtime.freshness,
            runtime.reactions,
            FirstEvents(runtime.log, runtime.queries),
            runtime.watch,
            runtime.log.last,
        ),
        Ask(runtime.queries),
        EventHistory(runtime),
        SettledScoreboard(runtime),
        RuleAdmin(runtime),
        ReplayAdmin(runtime),
        runtime.webhooks,
        PeopleDirectory(runtime.people, runtime.people_admin, runtime.people_freshness, runtime.queries),
        ContactDirectory(runtime.contacts, runtime.people_freshness, runtime.queries),
        JourneyAdmin(
            *(runtime.rule_cache, runtime.journeys, runtime.journeys, runtime.run_changes),
            settled=runtime.freshness.settled,
            clock_ms=clock_ms,
        ),
        ServerStatus(runtime),
        QuarantineAdmin(runtime),
    )


async def _ask_control(question: Callable[[], Answer], /) -> Answer:
    """Ask the control database, off the event loop. Raises Unavailable, and what the question raises."""
    try:
        return await asyncio.to_thread(question)
    except ControlFailed as error:
        raise Unavailable("The control database is not responding.") from error
