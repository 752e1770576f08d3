"""The step machine: from a run and something that happens to it, the new run, events to emit, and calls to make. Pure.

(run, event | due timer | reply) → (run', emitted, called). Deterministic. A run goes through steps until one waits or the run has
ended; because steps never go back, that is soon.
"""

from collections.abc import Callable

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Event, decode, encode, render_evt
from headrace.model.journey_document import Until
from headrace.model.journeys import SOURCE, Called, Emitted, Person, Run, Status, Visit, Waiting
from headrace.model.times import render_time_short
from headrace.model.zones import UTC_ZONE, Zone, zone_of
from headrace.reactions.conditions import Malformed, TooCostly
from headrace.reactions.journeys.document import MAX_DEPTH, PERSONS_ZONE, duration_ms
from headrace.reactions.journeys.known import Known, Meter
from headrace.reactions.journeys.program import END, Checked, Journey, Op, next_time_of_day
from headrace.reactions.patterns import matches

MAX_KEPT_BYTES = 64 * 1024  # of events and replies, in one run
MAX_CALL_BYTES = 384 * 1024
_NOTHING = msgspec.Raw(b"{}")


class Moved(msgspec.Struct, frozen=True):
    """A run after something has happened to it, with the events and calls that follow."""

    run: Run
    emitted: tuple[Emitted, ...] = ()
    called: tuple[Called, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """An event as a run sees it. Its moment is that of its receipt or, for a replayed one, of the replay."""

    id: str
    event: Event
    position: int
    at_ms: int


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
        known = Known(seen.event, lambda: self._person(person), {}, _event_of)
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
            event=kept if len(kept.encode()) <= MAX_KEPT_BYTES else "",
        )
        return self._go(journey, run, journey.first)

    def happen(self, journey: Journey, run: Run, seen: Seen) -> Moved | None:
        """Apply an event to a run; None if it changes nothing. Events up to the run's position change nothing."""
        if run.status != "active" or seen.position <= run.position:
            return None
        if journey.ends_by(seen.event.name):
            ended = _leave(_at(run, seen.at_ms), "exited", f"by {seen.event.name!r}", seen)
            return Moved(_end(msgspec.structs.replace(ended, position=seen.position), "exited"))
        op = journey.ops.get(run.step)
        if run.waiting != "event" or op is None or op.step.wait_for is None:
            return None
        if not matches(op.step.wait_for.event, seen.event.name):
            return None
        known = Known(seen.event, lambda: self._person(run.person), _latest(run), _event_of)
        found, _ = self._holds(journey, op.condition, known)
        if not found:
            return None
        moved = _leave(_at(run, seen.at_ms), "happened", "", seen)
        return self._go(journey, msgspec.structs.replace(moved, position=seen.position), op.then)

    def fire(self, journey: Journey, run: Run) -> Moved:
        """Fire the run's due timer: the run continues as of the time for which it was set, however late that is."""
        op = journey.ops.get(run.step)
        if op is None:
            return Moved(_fail(run, _no_step(run), run.due_ms or 0))
        moved = _leave(_at(run, run.due_ms or 0), "timed_out" if run.waiting == "event" else "waited")
        return self._go(journey, moved, op.then)

    def reply(
        self, journey: Journey, run: Run, attempt: int, at_ms: int, *, reply: bytes | None, problem: str = ""
    ) -> Moved | None:
        """Apply a call's outcome: its reply's JSON, b"" for none, None if it failed. None if the run does not wait for it."""
        if run.status != "active" or run.waiting != "reply" or run.attempt != attempt:
            return None
        op = journey.ops.get(run.step)
        if op is None:
            return Moved(_fail(run, _no_step(run), at_ms))
        if reply is None:
            return Moved(_fail(_at(run, at_ms), problem or "the call failed", at_ms))
        text = reply.decode()
        if _kept_bytes(run) + len(reply) > MAX_KEPT_BYTES:
            text, problem = "", f"its reply of {len(reply)} bytes is too large to be kept"
        return self._go(journey, _leave(_at(run, at_ms), "replied", problem, reply=text), op.then)

    def retry(self, journey: Journey, run: Run, at_ms: int) -> Moved:
        """Let a failed run retry the step at which it failed."""
        if run.step not in journey.ops:
            return Moved(_fail(run, _no_step(run), at_ms))
        again = msgspec.structs.replace(_at(run, at_ms), status="active")
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
                return Moved(_wait(run, op, "time", due_ms, why), tuple(emitted), tuple(called))
            if op.step.wait_for is not None:
                due_ms = now_ms + duration_ms(op.step.wait_for.timeout or "")
                return Moved(_wait(run, op, "event", due_ms), tuple(emitted), tuple(called))
            if op.step.call is not None:
                run = msgspec.structs.replace(run, attempt=run.attempt + 1)
                called.append(self._call(run, op))
                return Moved(_wait(run, op, "reply", None), tuple(emitted), tuple(called))
            if op.step.branch is not None:
                found, why = self._holds(journey, op.condition, self._known(run))
                run, step = _visit(run, op, "then" if found else "else", why), op.then if found else op.other
                continue
            if run.depth >= MAX_DEPTH:
                run = _visit(run, op, "too_deep", f"{MAX_DEPTH} journeys have started each other, one after the other")
            else:
                emitted.append(_emit(journey, run, op))
                run = _visit(run, op, "emitted")
            step = op.then
        return Moved(_end(run, "done"), tuple(emitted), tuple(called))

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
        return Known(event, lambda: self._person(run.person), _latest(run), _event_of)

    def _person(self, person: str) -> Person:
        return self._person_of(person) or Person(person, (person,))

    def _call(self, run: Run, op: Op) -> Called:
        call = op.step.call
        person = self._person(run.person)
        about: dict[str, object] = {"journey": run.journey, "run": run.id, "step": run.step}
        known = {"id": person.id, "ids": person.ids, "traits": _raw(person.traits), "groups": person.groups}
        body = {"body": call.body if call else {}}
        data = msgspec.json.encode(about | {"person": known, "event": _shown_event(run)} | body)
        if len(data) > MAX_CALL_BYTES:
            left: dict[str, object] = {"person": {"id": person.id}, "event": {"id": render_evt(run.event_id)}}
            data = msgspec.json.encode(about | left | body | {"truncated": True})
        key = f"{run.id}.{run.step}.{run.attempt}"
        return Called(key, run.id, run.attempt, call.webhook if call else "", data.decode(), run.moment_ms)


def cancel(run: Run, at_ms: int, /) -> Run:
    """The run, ended by an operator."""
    return _end(_leave(_at(run, at_ms), "cancelled"), "cancelled")


def broken(run: Run, why: str, at_ms: int, /) -> Run:
    """The run, failed because of an unforeseen error. It can be retried."""
    return _fail(_at(run, at_ms), why, at_ms)


def depth_of(event: Event, /) -> int:
    """How many consecutive journeys have led to an event: 0 for an event that a client sent."""
    if event.source != SOURCE:
        return 0
    try:
        return _context_decoder.decode(event.context).journey.depth
    except msgspec.DecodeError:  # emitted by another version of this program
        return MAX_DEPTH


def zone_of_person(person: Person, /) -> Zone:
    """The zone named by a person's trait `time_zone` or `timezone`, else UTC."""
    try:
        traits = _zones_decoder.decode(person.traits or "{}")
    except msgspec.DecodeError:
        return UTC_ZONE
    for name in (traits.time_zone, traits.timezone):
        if isinstance(name, str):
            try:
                return zone_of(name)
            except InvalidRequest:
                continue
    return UTC_ZONE


class _Origin(msgspec.Struct):
    depth: int


class _Context(msgspec.Struct):
    journey: _Origin


class _Zones(msgspec.Struct):
    time_zone: object = None
    timezone: object = None


_context_decoder = msgspec.json.Decoder(_Context)
_zones_decoder = msgspec.json.Decoder(_Zones)


def _emit(journey: Journey, run: Run, op: Op) -> Emitted:
    emit = op.step.emit
    origin = {"id": journey.rule.id, "run": run.id, "step": op.step.id, "depth": run.depth + 1}
    return Emitted(
        key=f"{run.id}.{op.step.id}",
        name=emit.event if emit else "",
        user_id=run.user_id,
        anonymous_id=run.anonymous_id,
        properties=msgspec.json.encode(emit.properties).decode() if emit and emit.properties else "",
        context=msgspec.json.encode({"journey": origin}).decode(),
        at_ms=run.moment_ms,
    )


def _no_step(run: Run) -> str:
    return f"its version of the journey has no step {run.step!r}"


def _at(run: Run, moment_ms: int) -> Run:
    """The run at a moment, or later: a run never goes back in time."""
    return msgspec.structs.replace(run, moment_ms=max(run.moment_ms, moment_ms))


def _visit(run: Run, op: Op, outcome: str, why: str = "") -> Run:
    """Pass through a step that takes no time."""
    now_ms = run.moment_ms
    visit = Visit(op.step.id, op.step.kind, now_ms, now_ms, outcome, why)
    return msgspec.structs.replace(run, visits=(*run.visits, visit))


def _wait(run: Run, op: Op, waiting: Waiting, due_ms: int | None, why: str = "") -> Run:
    visit = Visit(op.step.id, op.step.kind, run.moment_ms, why=why)
    return msgspec.structs.replace(run, waiting=waiting, due_ms=due_ms, visits=(*run.visits, visit))


def _leave(run: Run, outcome: str, why: str = "", seen: Seen | None = None, *, reply: str = "") -> Run:
    """The run with its last visit ended, if it has not ended yet."""
    if not run.visits or run.visits[-1].until_ms is not None:
        return msgspec.structs.replace(run, waiting="", due_ms=None)
    event = encode(seen.event).decode() if seen and outcome == "happened" else ""
    if event and _kept_bytes(run) + len(event.encode()) > MAX_KEPT_BYTES:
        event = ""
    ended = msgspec.structs.replace(
        run.visits[-1],
        until_ms=run.moment_ms,
        outcome=outcome,
        why=why or run.visits[-1].why,
        event_id=seen.id if seen else "",
        event=event,
        reply=reply,
    )
    return msgspec.structs.replace(run, waiting="", due_ms=None, visits=(*run.visits[:-1], ended))


def _end(run: Run, status: Status) -> Run:
    return msgspec.structs.replace(run, status=status, waiting="", due_ms=None)


def _fail(run: Run, why: str, at_ms: int) -> Run:
    return _end(_leave(_at(run, at_ms), "failed", why), "failed")


def _latest(run: Run) -> dict[str, Visit]:
    return {visit.step: visit for visit in run.visits}


def _kept_bytes(run: Run) -> int:
    return len(run.event) + sum(len(visit.event) + len(visit.reply) for visit in run.visits)


def _event_of(visit: Visit) -> Event:
    return decode(visit.event.encode())


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode()) if text else _NOTHING


def _shown_event(run: Run) -> dict[str, object]:
    """The event that started a run, as webhooks see it."""
    shown: dict[str, object] = {"id": render_evt(run.event_id)}
    if run.event:
        event = decode(run.event.encode())
        shown |= {
            "name": event.name,
            "timestamp": render_time_short(event.timestamp_ms),
            "user_id": event.user_id or None,
            "anonymous_id": event.anonymous_id or None,
            "value": event.value,
            "properties": _raw(event.properties),
        }
    return shown
