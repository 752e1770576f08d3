"""The reactor: runs the pure reactions over events and keeps what they cause. Never decides what an event causes."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
import structlog

from headrace.model.effects import Effect, Outcome
from headrace.model.entries import Record
from headrace.model.errors import InvalidRules, Unavailable
from headrace.model.event import Event, StoredEvent, Tenant, decode
from headrace.model.reaction_state import Caused, Needs, State
from headrace.ports.control import ControlFailed, Note, Offsets
from headrace.reactions import stage
from headrace.reactions.facts import DEFAULT_FACT, Fact, fact_of
from headrace.reactions.rules import Document
from headrace.reactions.stage import RuleSet, Seen

_NO_RULES = RuleSet(Document(), "", {})
_log = structlog.get_logger("headrace.pipeline.reactor")
_ENOUGH_FAILURES = 100  # one after the other
_RECORDS_AT_ONCE = 5_000  # in one transaction, which holds up others that write to control


class Turn(Protocol):
    """One transaction in control. `transaction` is what a Note is given."""

    @property
    def transaction(self) -> object: ...
    def heads(self) -> dict[str, int]: ...
    def attempt(self) -> AbstractContextManager[None]: ...
    def load(self, tenant: Tenant, needs: Needs, /) -> State: ...
    def save(self, tenant: Tenant, state: State, /) -> None: ...
    def commit(self, position: int, /) -> None: ...


class Memory(Protocol):
    """What the reactor needs of control. Everything raises ControlFailed."""

    def heads(self) -> dict[str, int]: ...
    def turn(self, *, keep: bool = True) -> AbstractContextManager[Turn]: ...
    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]: ...


class _Head(msgspec.Struct, frozen=True, gc=False):
    """All that has to be read of an event to know whether a rule may be about it."""

    project: str
    mode: str
    name: str


_head_decoder = msgspec.json.Decoder(_Head)


class Reactor:
    """Reacts to new records for the worker, and to stored events for replays; fits the Reactions port. Any thread may call it.

    load_rules: a project's rules in force, ready to run. on_step: called with "react" once new events were reacted to, before
    that is committed.
    """

    def __init__(
        self,
        memory: Memory,
        offsets: Offsets,
        load_rules: Callable[[str], RuleSet],
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._memory = memory
        self._offsets = offsets
        self._load_rules = load_rules
        self._on_step = on_step
        self._lock = threading.Lock()  # two that moved one person's progress at once would undo each other
        self._heads: dict[str, int] = {}
        self._rules: dict[str, RuleSet] = {}
        self.failed_events = 0  # new ones that could not be reacted to, since the start

    def react(self, records: Sequence[Record], position: int, /) -> None:
        """React to new records and move on to the position.

        In one transaction, or in several that each move on as far as they reacted. Raises ControlFailed.
        """
        with self._lock:
            self._refresh(self._memory.heads())
            if not self._rules:
                self._offsets.commit(position)
                return
            for start in range(0, len(records), _RECORDS_AT_ONCE):
                some = records[start : start + _RECORDS_AT_ONCE]
                whole = start + len(some) == len(records)
                self._react(some, position if whole else some[-1].position)

    def replay(
        self,
        tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        note: Note | None = None,
    ) -> Outcome:
        """As the Reactions port says."""
        try:
            with self._lock, self._memory.turn(keep=not dry_run) as turn:
                self._refresh(turn.heads())
                rules = self._rules.get(tenant.project) or _NO_RULES
                outcome = self._run(turn, tenant, rules, [(event.id, event) for event in events], force=force)
                if note is not None and not dry_run:
                    note(turn.transaction, outcome)
                return outcome
        except ControlFailed as error:
            raise Unavailable("The reactions cannot run now: the control database failed.") from error

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """As the Reactions port says."""
        try:
            kept = self._memory.effects(event.id)
        except ControlFailed as error:
            raise Unavailable("The control database failed.") from error
        found = [_render(effect, rule_id, version) for effect, rule_id, version in kept]
        if any(effect.kind == "fact" for effect in found):
            return found
        fact = fact_of(event.id, event)
        detail: dict[str, object] = {"factId": fact.id, "factType": fact.type}
        return [Effect("fact", event.id, DEFAULT_FACT, detail, "", event.user_id or event.anonymous_id), *found]

    def has_rules(self, project: str, /) -> bool:
        """Whether the latest events of the project were reacted to under any rules."""
        return project in self._rules

    def fact(self, event_id: str, event: Event, /) -> Fact:
        """The fact that an event has become, once it was reacted to; the first one where rules made several."""
        try:
            kept = [effect.detail for effect, _, _ in self._memory.effects(event_id) if effect.kind == "fact"]
        except ControlFailed as error:
            raise Unavailable("The control database failed.") from error
        return Fact(str(kept[0]["factId"]), str(kept[0]["factType"])) if kept else fact_of(event_id, event)

    def _react(self, records: Sequence[Record], position: int) -> None:
        """One transaction's records; seen under the rules that are in force when it begins."""
        while True:
            wanted = self._wanted(records)
            with self._memory.turn() as turn:
                heads = turn.heads()
                if heads == self._heads:
                    outcomes = [
                        self._run(turn, tenant, self._rules[tenant.project], events)
                        for tenant, events in wanted.items()
                    ]
                    turn.commit(position)
                    self._on_step("react")
                    break
            self._refresh(heads)
        self.failed_events += sum(len(outcome.failed) for outcome in outcomes)

    def _wanted(self, records: Sequence[Record]) -> dict[Tenant, list[tuple[str, Event]]]:
        """The records that rules may be about, by tenant, with their ids."""
        found: dict[Tenant, list[tuple[str, Event]]] = {}
        for record in records:
            head = _head_decoder.decode(record.payload)
            rules = self._rules.get(head.project)
            if rules is None or rules.named(head.name) is None:
                continue
            event = decode(record.payload)
            found.setdefault(Tenant(event.project, event.mode), []).append((record.id, event))
        return found

    def _run(
        self,
        turn: Turn,
        tenant: Tenant,
        rules: RuleSet,
        events: Sequence[tuple[str, Event]],
        *,
        force: bool | None = None,
    ) -> Outcome:
        """React to events in their order. `force` is None for new events, whose failed conditions are counted.

        What fails is tried again in halves, until the event is found that it fails for; or so many that the rest is not tried.
        """
        try:
            with turn.attempt():
                return self._try(turn, tenant, rules, events, force)
        except (ControlFailed, MemoryError):  # not the events' fault: all of them again
            raise
        except Exception as error:  # noqa: BLE001  ours; it must hold up no other event, and a replay tries this one again
            problem = error
        said = f"{type(problem).__name__}: {problem}"[:300]
        if len(events) == 1:
            _log.error("reaction_failed", event_id=events[0][0], exc_info=problem)
            return Outcome([], 0, [(events[0][0], said)])
        half = len(events) // 2
        first = self._run(turn, tenant, rules, events[:half], force=force)
        if len(first.failed) == half >= _ENOUGH_FAILURES:  # it is not single events; control is locked meanwhile
            then = Outcome([], 0, [(event_id, said) for event_id, _ in events[half:]])
        else:
            then = self._run(turn, tenant, rules, events[half:], force=force)
        return Outcome(first.effects + then.effects, first.suppressed + then.suppressed, first.failed + then.failed)

    def _try(
        self, turn: Turn, tenant: Tenant, rules: RuleSet, events: Sequence[tuple[str, Event]], force: bool | None
    ) -> Outcome:
        found = [stage.see(rules, event_id, event) for event_id, event in events]
        if force is None:
            found = [seen for seen in found if seen.relevant or seen.failures]
        state = turn.load(tenant, stage.needs(rules, found))
        effects: list[Caused] = []
        suppressed = 0
        for seen in found:
            caused, before = stage.react(rules, seen, state, force=bool(force))
            effects += caused
            suppressed += before
            if force is None:
                _note_failures(seen, state)
        turn.save(tenant, state)
        return Outcome([_render_by(rules, effect) for effect in effects], suppressed)

    def _refresh(self, heads: dict[str, int]) -> None:
        """Have the rules ready that are in force."""
        if heads == self._heads:
            return
        changed = [project for project, head in heads.items() if self._heads.get(project) != head]
        for project in changed:
            rules = self._load(project)
            if rules.rules:
                self._rules[project] = rules
            else:
                self._rules.pop(project, None)
        self._heads = heads

    def _load(self, project: str) -> RuleSet:
        try:
            return self._load_rules(project)
        except (InvalidRules, KeyError):  # made by another version of this program; events must go on
            _log.exception("rules_unusable", project=project)
            return _NO_RULES


def _note_failures(seen: Seen, state: State) -> None:
    for failure in seen.failures:
        count, _, _ = state.failures.get(failure.rule_no, (0, "", ""))
        state.failures[failure.rule_no] = (count + 1, seen.event_id, failure.why)


def _render_by(rules: RuleSet, effect: Caused) -> Effect:
    if not effect.rule_no:
        return _render(effect, DEFAULT_FACT, "")
    _, rule, version = rules.rules[effect.rule_no]
    return _render(effect, rule.id, version)


def _render(effect: Caused, rule_id: str, version: str) -> Effect:
    return Effect(effect.kind, effect.event_id, rule_id, effect.detail, version, effect.participant, effect.generation)
