"""What a run sends: the events that it emits and the calls that it makes of webhooks. Pure."""

import msgspec

from headrace.model.event import Event, decode, render_evt
from headrace.model.journeys import SOURCE, Called, Emitted, Person, Run
from headrace.model.times import render_time_short
from headrace.reactions.journeys.document import MAX_DEPTH
from headrace.reactions.journeys.program import Journey, Op

MAX_CALL_BYTES = 384 * 1024
_NOTHING = msgspec.Raw(b"{}")


class _Origin(msgspec.Struct):
    depth: int


class _Context(msgspec.Struct):
    journey: _Origin


_context_decoder = msgspec.json.Decoder(_Context)


def depth_of(event: Event, /) -> int:
    """How many consecutive journeys have led to an event: 0 for an event that a client sent."""
    if event.source != SOURCE:
        return 0
    try:
        return _context_decoder.decode(event.context).journey.depth
    except msgspec.DecodeError:  # emitted by another version of this program
        return MAX_DEPTH


def emitted_by(journey: Journey, run: Run, op: Op, /) -> Emitted:
    """The event that a step emits."""
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


def call_of(run: Run, op: Op, person: Person, /) -> Called:
    """The call that a step makes of a webhook. What is too large is left out, and `truncated` says so."""
    call = op.step.call
    about: dict[str, object] = {"journey": run.journey, "run": run.id, "step": run.step}
    known = {"id": person.id, "ids": person.ids, "traits": _raw(person.traits), "groups": person.groups}
    body = {"body": call.body if call else {}}
    data = msgspec.json.encode(about | {"person": known, "event": _shown_event(run)} | body)
    if len(data) > MAX_CALL_BYTES:
        left: dict[str, object] = {"person": {"id": person.id}, "event": {"id": render_evt(run.event_id)}}
        data = msgspec.json.encode(about | left | body | {"truncated": True})
    key = f"{run.id}.{run.step}.{run.attempt}"
    return Called(key, run.id, run.attempt, call.webhook if call else "", data.decode(), run.moment_ms)


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
