"""The transitions of a run: through a step, into a wait, out of it, to an end. Pure; a run is never changed in place."""

import msgspec

from headrace.model.event import Event, decode, encode
from headrace.model.journeys import Run, Status, Visit, Waiting
from headrace.reactions.journeys.program import Op

MAX_KEPT_BYTES = 64 * 1024  # of events and replies, in one run


class Seen(msgspec.Struct, frozen=True):
    """An event as a run sees it. Its moment is that of its receipt or, for a replayed one, of the replay."""

    id: str
    event: Event
    position: int
    at_ms: int


def at(run: Run, moment_ms: int, /) -> Run:
    """The run at a moment, or later: a run never goes back in time."""
    return msgspec.structs.replace(run, moment_ms=max(run.moment_ms, moment_ms))


def pass_through(run: Run, op: Op, outcome: str, why: str = "", /) -> Run:
    """Pass through a step that takes no time."""
    now_ms = run.moment_ms
    visit = Visit(op.step.id, op.step.kind, now_ms, now_ms, outcome, why)
    return msgspec.structs.replace(run, visits=(*run.visits, visit))


def wait(run: Run, op: Op, waiting: Waiting, due_ms: int | None, why: str = "", /) -> Run:
    visit = Visit(op.step.id, op.step.kind, run.moment_ms, why=why)
    return msgspec.structs.replace(run, waiting=waiting, due_ms=due_ms, visits=(*run.visits, visit))


def leave(run: Run, outcome: str, why: str = "", seen: Seen | None = None, /, *, reply: str = "") -> Run:
    """The run with its last visit ended, if it has not ended yet."""
    if not run.visits or run.visits[-1].until_ms is not None:
        return msgspec.structs.replace(run, waiting="", due_ms=None)
    event = encode(seen.event).decode() if seen and outcome == "happened" else ""
    if event and kept_bytes(run) + len(event.encode()) > MAX_KEPT_BYTES:
        event = ""
    visit = msgspec.structs.replace(
        run.visits[-1],
        until_ms=run.moment_ms,
        outcome=outcome,
        why=why or run.visits[-1].why,
        event_id=seen.id if seen else "",
        event=event,
        reply=reply,
    )
    return msgspec.structs.replace(run, waiting="", due_ms=None, visits=(*run.visits[:-1], visit))


def end(run: Run, status: Status, /) -> Run:
    return msgspec.structs.replace(run, status=status, waiting="", due_ms=None)


def fail(run: Run, why: str, at_ms: int, /) -> Run:
    return end(leave(at(run, at_ms), "failed", why), "failed")


def latest(run: Run, /) -> dict[str, Visit]:
    return {visit.step: visit for visit in run.visits}


def kept_bytes(run: Run, /) -> int:
    """The size of the events and replies that a run keeps, in UTF-8."""
    kept = (run.event, *(text for visit in run.visits for text in (visit.event, visit.reply)))
    return sum(len(text.encode()) for text in kept)


def event_of(visit: Visit, /) -> Event:
    return decode(visit.event.encode())


def cancel(run: Run, at_ms: int, /) -> Run:
    """The run, ended by an operator."""
    return end(leave(at(run, at_ms), "cancelled"), "cancelled")


def broken(run: Run, why: str, at_ms: int, /) -> Run:
    """The run, failed because of an unforeseen error. It can be retried."""
    return fail(at(run, at_ms), why, at_ms)
