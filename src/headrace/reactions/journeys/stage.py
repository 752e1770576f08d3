"""Applies an event to journeys: moves its person's runs, and starts new ones. Pure.

A person's events and timers are processed in chronological order: before an event, timers that are due by then fire. So a run's
course does not depend on when it is processed, and a server that was down arrives at the same state.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from headrace.model.event import Event, received_at_ms
from headrace.model.journeys import Entries, Person, Run, RunState, run_id
from headrace.reactions.journeys.machine import Machine, Moved
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.transitions import Seen, broken

PersonOf = Callable[[str], Person | None]


class JourneySet:
    """A project's journeys: those in force, in order, and other versions that people may be in."""

    def __init__(self, current: Sequence[Journey] = ()) -> None:
        self.current = current
        self.by_no: Mapping[int, Journey] = {each.no: each for each in current}

    def learn(self, others: Iterable[Journey], /) -> bool:
        """Add other versions. Returns whether any was new."""
        new = {each.no: each for each in others if each.no not in self.by_no}
        self.by_no = {**self.by_no, **new}  # a new dict, because another thread may be reading the old one
        return bool(new)

    def concern(self, name: str, /) -> bool:
        """Whether events of a name may start, move or end a run."""
        return any(journey.is_about(name) for journey in self.by_no.values())


class Change:
    """An event's effect on a run. did: "entered", "moved" or "exited". step: where the run is now, "" if it has ended."""

    def __init__(self, run: Run, did: str) -> None:
        self.run = run
        self.did = did
        self.step = run.step if run.status == "active" else ""


class Journeys:
    """Applies events and timers to the runs in a state. knows: the runs' versions by number.

    on_failure: called for each condition without a truth value, with the version's number, the event (or the one that started
    the run), the reason, and whether it was too costly.
    """

    def __init__(
        self,
        knows: Mapping[int, Journey],
        state: RunState,
        person_of: PersonOf,
        on_failure: Callable[[int, str, str, bool], None] | None = None,
    ) -> None:
        self._on_failure = on_failure
        self._knows = knows
        self._state = state
        self._person_of = person_of

    def react(
        self,
        current: Sequence[Journey],
        seen: Seen,
        person: str,
        /,
        *,
        generations: Callable[[Journey], int | None],
        replayed: bool = False,
    ) -> list[Change]:
        """Apply an event: it moves or ends the person's runs, then starts new ones of the journeys in force.

        generations: the number under which a journey that the event has started before would start again; None if it must not.
        replayed: whether the event is replayed. No timer fires for it, and it starts a new version for people who were in
        another.
        """
        if not replayed:
            self.fire([run for run in self._state.of(person) if run.rule_no in self._knows], seen.at_ms)
        machine = Machine(self._person_of)
        changes: list[Change] = []
        for run in self._state.of(person):
            journey = self._knows.get(run.rule_no)
            if journey is None:
                continue
            moved = _guarded(run, seen.at_ms, lambda journey=journey, run=run: machine.happen(journey, run, seen))
            if moved is not None:
                self._keep(moved)
                changes.append(Change(moved.run, "exited" if moved.run.status == "exited" else "moved"))
        for journey in current:
            generation = generations(journey) if journey.starts_by(seen.event.name) else None
            if generation is None or self._is_kept_out(journey, person, seen, replayed):
                continue
            if machine.would_start(journey, seen, person):
                moved = machine.start(journey, seen, run_id(seen.id, journey.no, generation), person)
                self._keep(moved)
                changes.append(Change(moved.run, "entered"))
        self._tell(machine, seen.id)
        return changes

    def fire(self, runs: Iterable[Run], upto_ms: int, /, most: int | None = None) -> int:
        """Fire the timers of some runs that are due by a moment, and those that they set, in order. Returns their number.

        most: leave the rest for later after this many.
        """
        due = [(run.due_ms, run.id) for run in runs if run.due_ms is not None and run.due_ms <= upto_ms]
        heapq.heapify(due)
        fired = 0
        while due and fired != most:
            due_ms, fired_id = heapq.heappop(due)
            run = self._fire(self._state.runs[fired_id], due_ms)
            fired += 1
            if run.due_ms is not None and run.due_ms <= upto_ms:
                heapq.heappush(due, (run.due_ms, fired_id))
        return fired

    def _fire(self, run: Run, due_ms: int) -> Run:
        journey = self._knows.get(run.rule_no)
        machine = Machine(self._person_of)
        if journey is None:
            moved = Moved(broken(run, "its version of the journey is unknown", due_ms))
        else:
            moved = _guarded(run, due_ms, lambda: machine.fire(journey, run)) or Moved(run)
        self._keep(moved)
        self._tell(machine, run.event_id)
        return moved.run

    def reply(self, run: Run, attempt: int, at_ms: int, *, reply: bytes | None, problem: str = "") -> bool:
        """Apply the outcome of a run's call: see Machine.reply. False if the run does not wait for it."""
        journey = self._knows.get(run.rule_no)
        if journey is None:
            return False
        machine = Machine(self._person_of)
        moved = _guarded(run, at_ms, lambda: machine.reply(journey, run, attempt, at_ms, reply=reply, problem=problem))
        self._tell(machine, run.event_id)
        if moved is not None:
            self._keep(moved)
        return moved is not None

    def retry(self, run: Run, at_ms: int) -> None:
        """Let a failed run retry its step."""
        journey = self._knows.get(run.rule_no)
        if journey is not None:
            machine = Machine(self._person_of)
            self._keep(machine.retry(journey, run, at_ms))
            self._tell(machine, run.event_id)

    def _is_kept_out(self, journey: Journey, person: str, seen: Seen, replayed: bool) -> bool:
        def counts(entries: Entries) -> bool:
            # A replay under a changed journey repeats it. Other events do not repeat it for people who have been through it.
            return entries.rule_no == journey.no if replayed else entries.journey == journey.rule.id

        return bool(journey.may_enter(self._state.entered(person, counts), seen.at_ms))

    def _tell(self, machine: Machine, event_id: str) -> None:
        if self._on_failure is not None:
            for rule_no, why, too_costly in machine.failures:
                self._on_failure(rule_no, event_id, why, too_costly)

    def _keep(self, moved: Moved) -> None:
        self._state.put(moved.run)
        self._state.emitted += moved.emitted
        self._state.called += moved.called


def _guarded(run: Run, at_ms: int, move: Callable[[], Moved | None]) -> Moved | None:
    """Like `move`, but an internal error fails only this run."""
    try:
        return move()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        return Moved(broken(run, f"{type(error).__name__}: {error}"[:300], at_ms))


def seen_of(event_id: str, event: Event, position: int, at_ms: int | None = None, /) -> Seen:
    """An event as runs see it. at_ms: the time of its replay; None for the time of its receipt."""
    return Seen(event_id, event, position, received_at_ms(position) if at_ms is None else at_ms)
