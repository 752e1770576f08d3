"""The step machine: from a run and something that happens to it, the new run, events to emit, and calls to make. Pure.

(run, event | due timer | reply) → (run', emitted, called). Deterministic. A run goes through steps until one waits or the run has
ended; because steps never go back, that is soon.
"""

from collections.abc import Callable

import msgspec

from headrace.model.event import decode, encode
from headrace.model.journey_document import Until
from headrace.model.journeys import Called, Emitted, Person, Run
from headrace.model.zones import zone_of
from headrace.reactions.conditions import Malformed, TooCostly
from headrace.reactions.journeys import transitions
from headrace.reactions.journeys.document import MAX_DEPTH, PERSONS_ZONE, duration_ms
from headrace.reactions.journeys.known import Known, Meter, zone_of_person
from headrace.reactions.journeys.messages import call_of, depth_of, emitted_by
from headrace.reactions.journeys.program import END, Checked, Journey, next_time_of_day
from headrace.reactions.journeys.transitions import Seen
from headrace.reactions.patterns import matches


class Moved(msgspec.Struct, frozen=True):
    """A run after something has happened to it, with the events and calls that follow."""

    run: Run
    emitted: tuple[Emitted, ...] = ()
    called: tuple[Called, ...] = ()


class Machine:
    """Moves runs of any journeys. person_of: finds a person; called if a condition or a call needs it.

    A machine is for one event or one timer: all conditions that it evaluates together cost no more than one event may.
    `failures`: (version's number, reason, whether it was too costly) of each condition without a truth value.
    """

    def __init__(self, person_of: Callable[[str], Person | None]) -> None:
        self.failures: list[tuple[int, str, bool]] = []
        self._person_of = person_of
        self._meter = Meter()

    def would_start(self, journey: Journey, seen: Seen, person: str) -> bool:
        """Whether the trigger's condition holds for an event whose name fits."""
        known = Known(seen.event, lambda: self._person(person), {}, transitions.event_of)
        return self._holds(journey, journey.trigger, known)[0]

    def start(self, journey: Journey, seen: Seen, run_id: str, person: str) -> Moved:
        """Start a run and move it as far as it gets without waiting."""
        kept = encode(seen.event).decode()
        run = Run(
            id=run_id,
            rule_no=journey.no,
            journey=journey.rule.id,
            person=person,
            event_id=seen.id,
            user_id=seen.event.user_id,
            anonymous_id=seen.event.anonymous_id,
            position=seen.position,
            started_ms=seen.at_ms,
            moment_ms=seen.at_ms,
            depth=depth_of(seen.event),
            event=kept if len(kept.encode()) <= transitions.MAX_KEPT_BYTES else "",
        )
        return self._go(journey, run, journey.first)

    def happen(self, journey: Journey, run: Run, seen: Seen) -> Moved | None:
        """Apply an event to a run; None if it changes nothing. Events up to the run's position change nothing."""
        if run.status != "active" or seen.position <= run.position:
            return None
        if journey.ends_by(seen.event.name):
            gone = transitions.leave(transitions.at(run, seen.at_ms), "exited", f"by {seen.event.name!r}", seen)
            return Moved(transitions.end(msgspec.structs.replace(gone, position=seen.position), "exited"))
        op = journey.ops.get(run.step)
        if run.waiting != "event" or op is None or op.step.wait_for is None:
            return None
        if not matches(op.step.wait_for.event, seen.event.name):
            return None
        known = Known(seen.event, lambda: self._person(run.person), transitions.latest(run), transitions.event_of)
        found, _ = self._holds(journey, op.condition, known)
        if not found:
            return None
        moved = transitions.leave(transitions.at(run, seen.at_ms), "happened", "", seen)
        return self._go(journey, msgspec.structs.replace(moved, position=seen.position), op.then)

    def fire(self, journey: Journey, run: Run) -> Moved:
        """Fire the run's due timer: the run continues as of the time for which it was set, however late that is."""
        op = journey.ops.get(run.step)
        if op is None:
            return Moved(transitions.fail(run, _no_step(run), run.due_ms or 0))
        moved = transitions.leave(
            transitions.at(run, run.due_ms or 0), "timed_out" if run.waiting == "event" else "waited"
        )
        return self._go(journey, moved, op.then)

    def reply(
        self, journey: Journey, run: Run, attempt: int, at_ms: int, *, reply: bytes | None, problem: str = ""
    ) -> Moved | None:
        """Apply a call's outcome: its reply's JSON, b"" for none, None if it failed. None if the run does not wait for it.

        The reply to a call that failed, and was sent again, lets the run go on that had failed because of it.
        """
        if run.status == "failed" and run.attempt == attempt and reply is not None:
            return self._revive(journey, run, at_ms, reply)
        if run.status != "active" or run.waiting != "reply" or run.attempt != attempt:
            return None
        op = journey.ops.get(run.step)
        if op is None:
            return Moved(transitions.fail(run, _no_step(run), at_ms))
        if reply is None:
            return Moved(transitions.fail(transitions.at(run, at_ms), problem or "the call failed", at_ms))
        text = reply.decode()
        if transitions.kept_bytes(run) + len(reply) > transitions.MAX_KEPT_BYTES:
            text, problem = "", f"its reply of {len(reply)} bytes is too large to be kept"
        return self._go(journey, transitions.leave(transitions.at(run, at_ms), "replied", problem, reply=text), op.then)

    def _revive(self, journey: Journey, run: Run, at_ms: int, reply: bytes) -> Moved | None:
        op = journey.ops.get(run.step)
        if op is None or op.step.call is None:
            return None
        active = msgspec.structs.replace(transitions.at(run, at_ms), status="active")
        again = transitions.wait(active, op, "reply", None, "it was sent again")
        return self.reply(journey, again, run.attempt, at_ms, reply=reply)

    def retry(self, journey: Journey, run: Run, at_ms: int) -> Moved:
        """Let a failed run retry the step at which it failed."""
        if run.step not in journey.ops:
            return Moved(transitions.fail(run, _no_step(run), at_ms))
        again = msgspec.structs.replace(transitions.at(run, at_ms), status="active")
        return self._go(journey, again, run.step)

    def _go(self, journey: Journey, run: Run, step: str) -> Moved:
        """Run steps from this one on, until one waits or none is left."""
        emitted: list[Emitted] = []
        called: list[Called] = []
        while step != END:
            op = journey.ops[step]
            run = msgspec.structs.replace(run, step=step)
            now_ms = run.moment_ms
            if op.step.wait is not None:
                due_ms, why = self._due(op.step.wait, run)
                return Moved(transitions.wait(run, op, "time", due_ms, why), tuple(emitted), tuple(called))
            if op.step.wait_for is not None:
                due_ms = now_ms + duration_ms(op.step.wait_for.timeout or "")
                return Moved(transitions.wait(run, op, "event", due_ms), tuple(emitted), tuple(called))
            if op.step.call is not None:
                run = msgspec.structs.replace(run, attempt=run.attempt + 1)
                called.append(call_of(run, op, self._person(run.person)))
                return Moved(transitions.wait(run, op, "reply", None), tuple(emitted), tuple(called))
            if op.step.branch is not None:
                found, why = self._holds(journey, op.condition, self._known(run))
                run = transitions.pass_through(run, op, "then" if found else "else", why)
                step = op.then if found else op.other
                continue
            if run.depth >= MAX_DEPTH:
                run = transitions.pass_through(
                    run, op, "too_deep", f"{MAX_DEPTH} journeys have started each other, one after the other"
                )
            else:
                emitted.append(emitted_by(journey, run, op))
                run = transitions.pass_through(run, op, "emitted")
            step = op.then
        return Moved(transitions.end(run, "done"), tuple(emitted), tuple(called))

    def _due(self, wait: str | Until, run: Run) -> tuple[int, str]:
        if isinstance(wait, str):
            return run.moment_ms + duration_ms(wait), ""
        if wait.time_zone != PERSONS_ZONE:
            return next_time_of_day(run.moment_ms, wait.until, zone_of(wait.time_zone)), ""
        zone = zone_of_person(self._person(run.person))
        return next_time_of_day(run.moment_ms, wait.until, zone), f"in {zone.name}"

    def _holds(self, journey: Journey, checked: Checked, known: Known) -> tuple[bool, str]:
        """Whether a condition holds, and the reason if it has no truth value."""
        if checked.condition is None and not checked.refused:
            return True, ""
        try:
            if checked.condition is None:
                raise Malformed(checked.refused)
            return known.holds(checked.condition, self._meter), ""
        except Malformed as malformed:
            self.failures.append((journey.no, str(malformed), isinstance(malformed, TooCostly)))
            return False, str(malformed)

    def _known(self, run: Run) -> Known:
        event = decode(run.event.encode()) if run.event else None
        return Known(event, lambda: self._person(run.person), transitions.latest(run), transitions.event_of)

    def _person(self, person: str) -> Person:
        return self._person_of(person) or Person(person, (person,))


def _no_step(run: Run) -> str:
    return f"its version of the journey has no step {run.step!r}"
