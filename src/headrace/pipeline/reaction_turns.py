"""One turn of one project and mode: judges some of its waiting events, and saves their effects along with the progress.

Judging holds no transaction open; saving checks that nobody else has saved since. `reactions/` decides what an event causes.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from headrace.model.event import Tenant
from headrace.model.people_state import PeopleState
from headrace.model.reaction_state import Needs, Overrun, State
from headrace.pipeline.current_event import CurrentEvent
from headrace.pipeline.overruns import OverrunWatch
from headrace.pipeline.people import PeopleStage, Saying
from headrace.pipeline.reaction_queue import ReactionQueue, WaitingEvent
from headrace.pipeline.reactions import MOST_CONFLICTS, Reactions
from headrace.ports.control import ControlFailed, LeaseLost
from headrace.ports.reactions import ReactionStates, StateChanged
from headrace.reactions import event_facts, regrouping, stage
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.ruleset import RuleSet

_log = structlog.get_logger("headrace.reactor")
_TURN_EVENTS = 5_000
_TURN_EFFECTS = 2_000  # facts, and so rows: a transaction blocks other writers to control
_MOST_ATTEMPTS = 2
_POISONOUS = f"{_MOST_ATTEMPTS} processes have ended while they reacted to this event, so it was passed over"


class ReactionTurns:
    """Runs turns, one at a time. For the reactor's thread."""

    def __init__(
        self,
        states: ReactionStates,
        reactions: Reactions,
        people: PeopleStage,
        current: CurrentEvent,
        overruns: OverrunWatch,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """on_step: called with "react" once events were reacted to, before that is committed; with "reacted" after it."""
        self._states = states
        self._reactions = reactions
        self._people = people
        self._current = current
        self._overruns = overruns
        self._on_step = on_step
        self._poisonous: set[str] = set()

    def recover(self) -> None:
        """Count the event at which the last process ended, if it did, and learn which events to pass over."""
        if died_at := self._current.left_behind():
            self._states.count_attempt(died_at)
            _log.warning("ended_while_reacting", event_id=died_at)
            self._current.clear()
        self._poisonous = self._states.poisonous(_MOST_ATTEMPTS)

    def run(self, queue: ReactionQueue, turn_s: float, read_upto: int, held: int | None = None) -> int:
        """Judge the queue's first events for about `turn_s`, save their effects, and take them off the queue.

        read_upto: how far the log has been read. held: later events wait for an erasure at this position.
        Returns the number of events that failed and were given up.
        """
        rules = queue.events[0].rules
        waiting: list[WaitingEvent] = []
        for each in queue.events:
            if each.rules is not rules or len(waiting) == _TURN_EVENTS or (held is not None and each.position > held):
                break
            waiting.append(each)
        done, failed = self._try(queue, rules, waiting, turn_s, read_upto)
        queue.drop(done)
        queue.reacted = queue.reached(waiting[done - 1], len(queue.events), read_upto)
        return failed

    def _try(
        self, queue: ReactionQueue, rules: RuleSet, waiting: Sequence[WaitingEvent], turn_s: float, read_upto: int
    ) -> tuple[int, int]:
        """Returns how many events were reacted to or given up, and how many of them were given up.

        A failing turn is retried with half its events, until the failing event is found.
        """
        try:
            return self._keep(queue, rules, waiting, turn_s, read_upto), 0
        except (ControlFailed, LeaseLost, StateChanged, MemoryError):  # not the events' fault: all of them again
            raise
        except Exception as error:  # noqa: BLE001  ours; it must not delay other events, and a replay tries this one again
            if len(waiting) == 1:
                _log.error("reaction_failed", event_id=waiting[0].id, exc_info=error)
                return 1, 1
        return self._try(queue, rules, waiting[: len(waiting) // 2], turn_s, read_upto)

    def _keep(
        self, queue: ReactionQueue, rules: RuleSet, waiting: Sequence[WaitingEvent], turn_s: float, read_upto: int
    ) -> int:
        """Judge as many events as a turn allows, and save their effects. Returns how many."""
        for _ in range(MOST_CONFLICTS):
            with self._reactions.lock_of(queue.tenant):
                held = self._overruns.of(queue.tenant)
                done, state, people = self._judge(queue.tenant, rules, waiting, turn_s, held)
                if not state.is_changed and not people.is_changed:
                    return done
                if not self._overruns.still_holds(queue.tenant, state.version):
                    continue
                position = queue.reached(waiting[done - 1], len(queue.events) - done, read_upto)
                try:
                    self._states.save(queue.tenant, state, position, self._saving(queue.tenant, people))
                except StateChanged:
                    self._overruns.forget(queue.tenant)
                    continue
                except BaseException:
                    self._overruns.forget(queue.tenant)
                    raise
                self._overruns.saved(queue.tenant, rules, held, state)
            self._on_step("reacted")
            _log_passed_over(queue.tenant, rules, state, held)
            return done
        raise ControlFailed("Another writer keeps changing the state of this project's reactions.")

    def _saving(self, tenant: Tenant, people: PeopleState) -> Callable[[object], None]:
        def save(transaction: object) -> None:
            self._people.save(transaction, tenant, people)
            self._on_step("react")

        return save

    def _judge(
        self,
        tenant: Tenant,
        rules: RuleSet,
        waiting: Sequence[WaitingEvent],
        turn_s: float,
        overruns: dict[int, Overrun],
    ) -> tuple[int, State, PeopleState]:
        """Returns how many events there was time for, and the states after them. Holds no transaction open.

        overruns: see OverrunWatch; updated to the state after those events.
        """
        until = time.perf_counter() + turn_s
        facts: list[EventFacts] = []
        passed_over: list[str] = []
        watched = set(overruns)
        said: set[str] = set()  # people whom earlier events of this turn say something about
        try:
            made = 0
            for each in waiting:
                if each.id in self._poisonous:
                    passed_over.append(each.id)
                    facts.append(EventFacts(each.id, "", 0, [], [], relevant=False))
                    continue
                self._current.enter(each.id)
                event = each.event()
                found = event_facts.facts_of_event(rules, each.id, event, overruns=overruns, watched=watched)
                if found.seen is not None and found.participant in said:
                    break  # a journey reads the person as of the earlier events, so those are saved first
                if each.may_say:
                    said |= {event.user_id, event.anonymous_id}
                facts.append(found)
                if found.failures:
                    watched.update(failure.rule_no for failure in found.failures if failure.too_costly)
                made += len(found.facts)
                if made >= _TURN_EFFECTS or time.perf_counter() > until:
                    break
            judged = len(facts)
            relevant = [each for each in facts if each.relevant or each.failures or each.about]
            sayings = [
                Saying(each.position, each.id, each.event())
                for each in waiting[: len(facts)]
                if each.may_say and each.id not in self._poisonous
            ]
            if not relevant and not passed_over and not sayings:
                return len(facts), State(), PeopleState()
            # Load the version before the people, so that anything saved in between is noticed.
            version = self._states.load(tenant, Needs([], [], {})).version if sayings else None
            people = self._people.judge(tenant, sayings)
            merges = {each.event_id: each.ids for each in people.merges}
            merged = [each for ids in merges.values() for each in ids]
            facts = _up_to_changed_travellers(facts, merges)
            state = self._states.load(tenant, event_facts.needs(rules, relevant, whole=merged))
            state.version = state.version if version is None else version
            until = max(until, time.perf_counter() + turn_s)
            done = 0
            for each in facts:
                self._current.enter(each.event_id)
                if each.relevant or each.failures:
                    stage.react(rules, each, state)
                    _note_failures(each, state)
                if ids := merges.get(each.event_id):
                    regrouping.merge(rules, state, each, ids)
                done += 1
                if (each.failures or each.about) and self._overruns.follow(rules, each, overruns, state):
                    break  # the events after it are judged without the rule
                if len(state.new_effects) >= _TURN_EFFECTS or time.perf_counter() > until:
                    break
        finally:
            self._current.clear()
        through = {each.event_id for each in facts[:done]}
        state.passed_over += [(0, event_id, _POISONOUS) for event_id in passed_over if event_id in through]
        if done < judged:  # what later events say is applied in a later turn
            people = self._people.judge(tenant, [each for each in sayings if each.id in through])
        return done, state, people


def _up_to_changed_travellers(facts: list[EventFacts], merges: Mapping[str, Sequence[str]]) -> list[EventFacts]:
    """Up to the first event that journeys follow of somebody whom an earlier one has merged: runs are loaded as people are."""
    merged: set[str] = set()
    for index, each in enumerate(facts if merges else ()):
        if each.seen is not None and each.participant in merged:
            return facts[:index]
        merged.update(merges.get(each.event_id, ()))
    return facts


def _note_failures(facts: EventFacts, state: State) -> None:
    for failure in facts.failures:
        state.fail(failure.rule_no, facts.event_id, failure.why, too_costly=failure.too_costly)


def _log_passed_over(tenant: Tenant, rules: RuleSet, state: State, overruns: Mapping[int, Overrun]) -> None:
    """Log the rules whose conditions were not evaluated for some events: one line per rule and turn, without rules put aside."""
    aside = {no for no, overrun in overruns.items() if overrun.is_aside}
    last = {rule_no: (event_id, why) for rule_no, event_id, why in state.passed_over if rule_no not in aside}
    for rule_no, (event_id, why) in last.items():
        _, rule, _ = rules.rules.get(rule_no, ("", None, ""))
        events = sum(no == rule_no for no, _, _ in state.passed_over)
        _log.warning(
            "events_passed_over",
            project=tenant.project,
            rule=rule.id if rule else None,
            events=events,
            event_id=event_id,
            why=why,
        )
