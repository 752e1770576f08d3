"""What an event does to journeys: it moves the runs of its person on, and starts new ones. Pure.

A person's events and timers are taken in the order of time: before an event, the timers that are due by then fire. So where a run
gets does not depend on when anybody looks, and a server that was down catches up with what would have been.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from headrace.model.event import Event, received_at_ms
from headrace.model.journeys import Entries, Person, Run, RunState, run_id
from headrace.reactions.journeys.machine import Machine, Moved, Seen, broken
from headrace.reactions.journeys.program import Journey

PersonOf = Callable[[str], Person | None]


class JourneySet:
    """A project's journeys: those in force, in their order, and other versions that persons may be in."""

    def __init__(self, current: Sequence[Journey] = ()) -> None:
        self.current = current
        self.by_no: Mapping[int, Journey] = {each.no: each for each in current}

    def learn(self, others: Iterable[Journey], /) -> bool:
        """Know other versions, too; whether any was new."""
        new = {each.no: each for each in others if each.no not in self.by_no}
        self.by_no = {**self.by_no, **new}  # a new one, for another thread may be reading it
        return bool(new)

    def concern(self, name: str, /) -> bool:
        """Whether events of a name may start, move or end a run."""
        return any(journey.is_about(name) for journey in self.by_no.values())


class Change:
    """What an event has done to one run. did: "entered", "moved" or "exited"; step: where it is now, "" once it has ended."""

    def __init__(self, run: Run, did: str) -> None:
        self.run = run
        self.did = did
        self.step = run.step if run.status == "active" else ""


class Journeys:
    """Lets events and timers act on the runs in a state. knows: the versions that the runs are of, by number.

    on_failure: told of each condition that had no truth value: the version's number, the event that it was about or that
    started the run, why, and whether it was too costly.
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
        """What an event does: it moves or ends the person's runs, then starts new ones of the journeys in force.

        generations: under which number a journey that the event has started before would start again; None for not at all.
        replayed: the event comes once more. No timer fires for it, and it starts a new version for who has been through another.
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
        """Fire the timers of some runs that are due by a moment, in order, and those that they set; how many.

        most: leave the rest for later after so many.
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
        """Hand a run the end of its call: see Machine.reply; False where nobody waits for it."""
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
        """Have a failed run try its step again."""
        journey = self._knows.get(run.rule_no)
        if journey is not None:
            machine = Machine(self._person_of)
            self._keep(machine.retry(journey, run, at_ms))
            self._tell(machine, run.event_id)

    def _is_kept_out(self, journey: Journey, person: str, seen: Seen, replayed: bool) -> bool:
        def counts(entries: Entries) -> bool:
            # A replay under a changed journey asks for it again; other events do not repeat it for who has been through it.
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
    """As `move`; an error of ours fails the one run and holds up no other."""
    try:
        return move()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        return Moved(broken(run, f"{type(error).__name__}: {error}"[:300], at_ms))


def seen_of(event_id: str, event: Event, position: int, at_ms: int | None = None, /) -> Seen:
    """An event as runs see it; at_ms: when it is replayed, None for when it was received."""
    return Seen(event_id, event, position, received_at_ms(position) if at_ms is None else at_ms)
