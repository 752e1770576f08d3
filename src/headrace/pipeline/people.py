"""Saves what events say about people in control, in the reactor's turn: once, in log order. `people/` decides what changes."""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from headrace.model.errors import NotFound
from headrace.model.event import MAX_TAIL, Event, Tenant, event_id, first_position
from headrace.model.people_state import Merge, PeopleNeeds, PeopleState
from headrace.model.person import Person, Statement
from headrace.model.reaction_state import Needs
from headrace.people import applying
from headrace.pipeline.reactions import MOST_CONFLICTS, Reactions
from headrace.ports.control import ControlFailed
from headrace.ports.erasures import ErasedEvents
from headrace.ports.people import People, PeopleStates
from headrace.ports.reactions import ReactionState, StateChanged
from headrace.reactions import event_facts, regrouping

_log = structlog.get_logger("headrace.people")


class Saying(NamedTuple):
    """An event that may say something about people, with its position."""

    position: int
    id: str
    event: Event


class PeopleStage:
    """For the reactor's thread."""

    def __init__(
        self,
        states: PeopleStates,
        erased: ErasedEvents,
        statement_of: Callable[[Event], Statement | None],
        *,
        placeholders: str,
    ) -> None:
        """statement_of: returns what an event says. placeholders: comma-separated ids that are nobody's."""
        self._states = states
        self._erased = erased
        self._statement_of = statement_of
        self._placeholders = applying.placeholders_of(placeholders)
        self.save = states.save

    def judge(self, tenant: Tenant, events: Sequence[Saying], /) -> PeopleState:
        """The state after some events of one tenant, in order. Raises ControlFailed."""
        said: list[tuple[Saying, Statement]] = []
        for each in self._not_erased(events):
            statement = self._statement_of(each.event)
            if statement is not None and (clear := applying.cleared(statement, self._placeholders)) is not None:
                said.append((each, clear))
        if not said:
            return PeopleState()
        state = self._states.load(tenant, applying.needs(statement for _, statement in said))
        for each, statement in said:
            if joins := applying.apply(state, statement, each.event.timestamp_ms, each.position):
                person = state.ids[joins[-1].kept].person
                others = (held.id for held in state.of_person(person) if held.id != person)
                state.merges.append(Merge(each.id, (person, *others)))
        if state.refused or state.dropped:
            _log.warning("statements_refused", project=tenant.project, joins=state.refused, traits=state.dropped)
        return state

    def _not_erased(self, events: Sequence[Saying]) -> Sequence[Saying]:
        """The events without those erased while they waited: the log still has them, but they must no longer have an effect."""
        if not events:
            return events
        after, upto = events[0].position - 1, events[-1].position
        if not self._erased.count(after, upto):
            return events
        gone = {each.id for page in self._erased.pages(after, upto) for each in page}
        return [each for each in events if each.id not in gone]


def _parties(state: PeopleState) -> dict[str, list[str]]:
    """By the id that each loaded person goes by: all of the person's ids, that one first."""
    found: dict[str, list[str]] = {}
    for held in sorted(state.ids.values(), key=lambda each: each.id != each.person):
        found.setdefault(held.person, []).append(held.id)
    return found


class PeopleAdmin:
    """Undoes joins. Any thread may call it; it takes turns with the reactor."""

    def __init__(
        self,
        people: People,
        states: PeopleStates,
        reaction_states: ReactionState,
        reactions: Reactions,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._clock_ms = clock_ms
        self._people = people
        self._states = states
        self._reaction_states = reaction_states
        self._reactions = reactions

    def part(self, tenant: Tenant, one: str, other: str, /) -> tuple[Person, Person]:
        """Undo the merge of two ids. Returns both people as they are afterwards, each with what it has earned by itself.

        Raises NotFound, ControlFailed.
        """
        for _ in range(MOST_CONFLICTS):
            with self._reactions.lock_of(tenant):
                # Load the version first, so that anything saved in between is noticed.
                rules = self._reactions.rules_in_force(tenant.project)
                needs = Needs([], [], {}, whole=[one, other], rule_nos=event_facts.progress_of(rules))
                reaction_state = self._reaction_states.load(tenant, needs)
                state = self._states.load(tenant, PeopleNeeds({one, other}, {one, other}, set()), joins=True)
                if one not in state.ids or other not in state.ids or not applying.part(state, one, other):
                    raise NotFound(f"{other[:80]!r} is not an alias of {one[:80]!r}.")
                now_ms = self._clock_ms()
                entry_id = event_id(first_position(now_ms), secrets.randbelow(MAX_TAIL))
                regrouping.part(rules, reaction_state, entry_id, now_ms, _parties(state))
                try:
                    self._reaction_states.save(
                        tenant, reaction_state, 0, lambda tx, state=state: self._states.save(tx, tenant, state)
                    )
                except StateChanged:
                    continue
            found = self._people.person_of(tenant, one), self._people.person_of(tenant, other)
            if found[0] is None or found[1] is None:
                raise ControlFailed("A person that was just written is not there.")
            return found[0], found[1]
        raise ControlFailed("Another writer keeps changing the state of this project's people.")
