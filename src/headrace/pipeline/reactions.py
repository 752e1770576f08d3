"""Replays stored events through the reactions, and reads the effects of events. `reactions/` decides what an event causes."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from headrace.model.effects import Effect, Outcome
from headrace.model.errors import Unavailable
from headrace.model.event import Event, StoredEvent, Tenant
from headrace.model.journey_document import JourneyRule
from headrace.model.ledger import Payer
from headrace.model.reaction_state import Caused, Needs, State
from headrace.pipeline.rulesets import NO_RULES, RuleTimelines
from headrace.ports.control import ControlFailed, LeaseLost
from headrace.ports.erasures import ErasedEvents
from headrace.ports.reactions import BeforeCommit, ReactionState, StateChanged
from headrace.reactions import event_facts, stage
from headrace.reactions.facts import DEFAULT_FACT, Fact, fact_of
from headrace.reactions.ruleset import RuleSet

_log = structlog.get_logger("headrace.reactions")
MOST_CONFLICTS = 50  # consecutive conflicts with others that change the same state
_ENOUGH_FAILURES = 100  # consecutive failures


class _HookFailed(Exception):
    """The caller's `before_commit` has failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Reactions:
    """Fits the Reactions port. Any thread may call it."""

    def __init__(
        self,
        states: ReactionState,
        rules: RuleTimelines,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        erased: ErasedEvents | None = None,
    ) -> None:
        """clock_ms: the time of a replay, at which journeys that it starts begin.

        erased: events that were read before they were erased have no more effects.
        """
        self._clock_ms = clock_ms
        self._erased = erased
        self._states = states
        self._rules = rules
        self._locks: dict[Tenant, threading.Lock] = {}

    def lock_of(self, tenant: Tenant, /) -> threading.Lock:
        """Hold it while changing the tenant's state, within this process. Between processes, the state's version is checked."""
        return self._locks.setdefault(tenant, threading.Lock())

    def replay(
        self,
        tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        before_commit: BeforeCommit | None = None,
    ) -> Outcome:
        """See the Reactions port."""
        try:
            self._rules.refresh()
            rules = self._rules.latest(tenant.project) or NO_RULES
            return self._replay(tenant, rules, events, force, dry_run, before_commit)
        except ControlFailed as error:
            raise Unavailable("The reactions cannot run right now: the control database failed.") from error

    def judge(self, tenant: Tenant, rules: RuleSet, events: Sequence[StoredEvent], /) -> Outcome:
        """What events would cause by rules that need not be in force, beyond what they have caused. Raises Unavailable."""
        try:
            return self._replay(tenant, rules, events, False, True, None)
        except ControlFailed as error:
            raise Unavailable("The reactions cannot run right now: the control database failed.") from error

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """See the Reactions port."""
        try:
            kept = self._states.effects(event.id)
        except ControlFailed as error:
            raise Unavailable("The control database failed.") from error
        found = [_render(effect, rule_id, version) for effect, rule_id, version in kept]
        if any(effect.kind == "fact" for effect in found):
            return found
        fact = fact_of(event.id, event)
        detail: dict[str, object] = {"factId": fact.id, "factType": fact.type}
        return [Effect("fact", event.id, DEFAULT_FACT, detail, "", event.user_id or event.anonymous_id), *found]

    def rules_in_force(self, project: str, /) -> RuleSet:
        """Raises ControlFailed."""
        self._rules.refresh()
        return self._rules.latest(project) or NO_RULES

    def has_rules(self, project: str, /) -> bool:
        """Whether the project's latest events were reacted to under any rules."""
        return self._rules.latest(project) is not None

    def payers(self, project: str, /) -> tuple[str, list[Payer]]:
        """The application of rules in force, and what each rule pays. Raises Unavailable."""
        try:
            self._rules.refresh()
        except ControlFailed as error:
            raise Unavailable("The control database failed.") from error
        rules = self._rules.latest(project) or NO_RULES
        return str(self._rules.applied(project)), [
            Payer(rule_no, kind, rule.id, rule.points)
            for rule_no, (kind, rule, _) in rules.rules.items()
            if not isinstance(rule, JourneyRule)
        ]

    def fact(self, event_id: str, event: Event, /) -> Fact:
        """The fact of an event that was reacted to; the first one if rules made several."""
        try:
            kept = [effect.detail for effect, _, _ in self._states.effects(event_id) if effect.kind == "fact"]
        except ControlFailed as error:
            raise Unavailable("The control database failed.") from error
        return Fact(str(kept[0]["factId"]), str(kept[0]["factType"])) if kept else fact_of(event_id, event)

    def _replay(
        self,
        tenant: Tenant,
        rules: RuleSet,
        events: Sequence[StoredEvent],
        force: bool,
        dry_run: bool,
        before_commit: BeforeCommit | None,
    ) -> Outcome:
        """Like `replay`. A failing batch is retried in halves, until too many events have failed."""
        try:
            return self._replay_all(tenant, rules, events, force, dry_run, before_commit)
        except _HookFailed as failed:
            raise failed.error from None
        except (ControlFailed, LeaseLost, MemoryError):  # not the events' fault
            raise
        except Exception as error:  # noqa: BLE001  ours; it must not delay other events
            said = f"{type(error).__name__}: {error}"[:300]
            if len(events) == 1:
                _log.error("reaction_failed", event_id=events[0].id, exc_info=error)
                outcome = Outcome([], 0, [(events[0].id, said)])
                if not dry_run:
                    self._note(tenant, outcome, events, before_commit)
                return outcome
        half = len(events) // 2
        first = self._replay(tenant, rules, events[:half], force, dry_run, before_commit)
        rest = events[half:]
        if len(first.failed) == half >= _ENOUGH_FAILURES:  # the cause is not in single events
            then = Outcome([], 0, [(event.id, said) for event in rest])
            if not dry_run:
                self._note(tenant, then, rest, before_commit)
        else:
            then = self._replay(tenant, rules, rest, force, dry_run, before_commit)
        return Outcome(first.effects + then.effects, first.suppressed + then.suppressed, first.failed + then.failed)

    def _replay_all(
        self,
        tenant: Tenant,
        rules: RuleSet,
        events: Sequence[StoredEvent],
        force: bool,
        dry_run: bool,
        before_commit: BeforeCommit | None,
    ) -> Outcome:
        """Like `replay`, all or nothing."""

        def judge() -> tuple[State, Outcome]:
            now_ms = self._clock_ms()
            found = [event_facts.facts_of_event(rules, event.id, event, now_ms) for event in events]
            state = self._states.load(tenant, event_facts.needs(rules, found, replayed=True))
            gone = self._erased_among(events)  # after loading: whoever erases them later changes the state's version
            found = [each for each in found if each.event_id not in gone]
            effects: list[Caused] = []
            suppressed = 0
            for each in found:
                caused, before = stage.react(rules, each, state, force=force, replayed=True)
                effects += caused
                suppressed += before
            return state, Outcome([_render_by(rules, effect) for effect in effects], suppressed)

        return judge()[1] if dry_run else self._keep(tenant, judge, events, before_commit)

    def _erased_among(self, events: Sequence[StoredEvent]) -> set[str]:
        if self._erased is None or not events:
            return set()
        after, upto = min(each.position for each in events) - 1, max(each.position for each in events)
        if not self._erased.count(after, upto):
            return set()
        return {each.id for page in self._erased.pages(after, upto) for each in page}

    def _note(
        self, tenant: Tenant, outcome: Outcome, events: Sequence[StoredEvent], before_commit: BeforeCommit | None
    ) -> None:
        """Call `before_commit` for events that changed nothing."""
        self._keep(tenant, lambda: (self._states.load(tenant, Needs([], [], {})), outcome), events, before_commit)

    def _keep(
        self,
        tenant: Tenant,
        judge: Callable[[], tuple[State, Outcome]],
        events: Sequence[StoredEvent],
        before_commit: BeforeCommit | None,
    ) -> Outcome:
        """Judge and save, repeatedly until nobody else has saved in between."""
        for _ in range(MOST_CONFLICTS):
            with self.lock_of(tenant):
                state, outcome = judge()

                def note(transaction: object, outcome: Outcome = outcome) -> None:
                    if before_commit is not None:
                        try:
                            before_commit(transaction, events, outcome)
                        except Exception as error:
                            raise _HookFailed(error) from error

                try:
                    self._states.save(tenant, state, 0, note)
                except StateChanged:
                    continue
                return outcome
        raise ControlFailed("Another writer keeps changing the state of this project's reactions.")


def _render_by(rules: RuleSet, effect: Caused) -> Effect:
    if not effect.rule_no:
        return _render(effect, DEFAULT_FACT, "")
    return _render(effect, *rules.names(effect.rule_no))


def _render(effect: Caused, rule_id: str, version: str) -> Effect:
    return Effect(effect.kind, effect.event_id, rule_id, effect.detail, version, effect.participant, effect.generation)
