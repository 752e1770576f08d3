"""Connects journeys in control with the pure step machine: compiled versions, and runs that operators steer. Decides no step."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Literal

import msgspec

from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import Tenant
from headrace.model.journeys import Person, Run, RunState
from headrace.model.reaction_state import Needs, State
from headrace.pipeline.reactions import MOST_CONFLICTS, Reactions
from headrace.pipeline.rulesets import journey_of
from headrace.ports.control import ControlFailed
from headrace.ports.journeys import JourneyVersions
from headrace.ports.people import People
from headrace.ports.reactions import ReactionState, ReactionStates, StateChanged
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.transitions import cancel
from headrace.reactions.stage import journeys_in

_MOST_READY = 1000


class Versions:
    """A cache of compiled versions of journeys by number. Any thread may call it."""

    def __init__(self, versions: JourneyVersions) -> None:
        self._versions = versions
        self._ready: dict[int, Journey] = {}

    def of(self, runs: Sequence[Run], /) -> dict[int, Journey]:
        """The versions of some runs, as far as they are known. Raises ControlFailed."""
        wanted = {run.rule_no for run in runs}
        if missing := sorted(wanted - self._ready.keys()):
            if len(self._ready) >= _MOST_READY:
                self._ready = {}
            found = self._versions.find(missing)
            self._ready |= {number: journey_of(number, text) for number, text in found.items()}
        return {number: self._ready[number] for number in wanted if number in self._ready}


class WatchedStates:
    """Wraps another ReactionStates and calls `on_changed` with runs that have changed, once they are saved.

    people: looked up if a condition or a call of a journey reads the person, as of the end of the previous turn.
    """

    def __init__(
        self,
        states: ReactionStates,
        on_changed: Callable[[Tenant, RunState], None],
        people: People | None = None,
    ) -> None:
        self._load = states.load
        self._people = people
        self.effects = states.effects
        self.progress = states.progress
        self.advance = states.advance
        self.count_attempt = states.count_attempt
        self.poisonous = states.poisonous
        self._save = states.save
        self._on_changed = on_changed

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """See ReactionStates."""
        state = self._load(tenant, needs)
        if self._people is not None and (needs.travellers or needs.runs):
            state.person_of = cache(partial(_person_of, self._people, tenant))
        return state

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        """See ReactionStates."""
        self._save(tenant, state, position, before_commit)
        if state.journeys.is_changed:
            self._on_changed(tenant, state.journeys)


def _person_of(people: People, tenant: Tenant, person: str) -> Person | None:
    found = people.person_of(tenant, person)
    if found is None:
        return None
    traits = msgspec.json.encode(found.traits).decode() if found.traits else ""
    return Person(found.id, tuple(found.ids), traits, {each.type: each.key for each in found.groups})


class RunChanges:
    """Changes runs outside the reactor: loads them, applies a change, and saves them."""

    def __init__(self, states: ReactionState, reactions: Reactions, versions: Versions) -> None:
        self._states = states
        self._reactions = reactions
        self._versions = versions

    def change(
        self,
        tenant: Tenant,
        run_ids: Sequence[str],
        work: Callable[[State, dict[int, Journey]], None],
        before_commit: Callable[[object], None] | None = None,
    ) -> State:
        """Apply a change to runs and save it; again if somebody else has changed the tenant's state in between.

        work: called with the state that has the runs, and their versions. Raises ControlFailed, and what `work` and
        `before_commit` raise.
        """
        for _ in range(MOST_CONFLICTS):
            with self._reactions.lock_of(tenant):
                state = self._states.load(tenant, Needs([], [], {}, (), run_ids))
                work(state, self._versions.of(list(state.journeys.runs.values())))
                try:
                    self._states.save(tenant, state, 0, before_commit)
                except StateChanged:
                    continue
                return state
        raise ControlFailed("Another writer keeps changing the state of this project's reactions.")

    def steer(self, tenant: Tenant, run_id: str, action: Literal["cancel", "retry"], now_ms: int, /) -> Run:
        """Cancel a run, or let a failed one retry its step. Raises NotFound, InvalidRequest if the run's status forbids it."""

        def work(state: State, knows: dict[int, Journey]) -> None:
            run = state.journeys.runs.get(run_id)
            if run is None:
                raise NotFound(f"There is no run {run_id[:80]!r}.")
            if action == "cancel":
                if run.status not in ("active", "failed", "cancelled"):
                    raise InvalidRequest(f"The run has ended: it is {run.status}.")
                if run.status != "cancelled":
                    state.journeys.put(cancel(run, now_ms))
                return
            if run.status != "failed":
                raise InvalidRequest(f"Only a failed run can be retried: it is {run.status}.")
            journeys_in(knows, state).retry(run, now_ms)

        return self.change(tenant, [run_id], work).journeys.runs[run_id]
