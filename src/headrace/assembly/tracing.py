"""Gathers what became of one event from the store, the log and control. Only reads."""

from headrace.assembly.runtime import Runtime
from headrace.model.effects import Trace
from headrace.model.errors import Unavailable
from headrace.model.event import StoredEvent, Tenant, render_evt
from headrace.model.repeats import dedup_key
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed


def trace_of(runtime: Runtime, event: StoredEvent, /) -> Trace:
    """What became of a stored event. Slow: not for the event loop's thread. Raises Unavailable."""
    store, log, control = runtime.store, runtime.log, runtime.control
    try:
        keyed = store.keyed(event.position - 1, event.position, limit=1)
    except StoreFailed as error:
        raise Unavailable(str(error)) from error
    held = log.read(event.position - 1, 1, 1)
    tenant = Tenant(event.project, event.mode)
    effects = runtime.reacting.reactions.effects(event)
    run_ids = list(dict.fromkeys(str(each.detail["runId"]) for each in effects if each.kind == "journey"))
    try:
        runs = control.traces.runs(tenant, run_ids) if run_ids else []
        deliveries = control.traces.deliveries(tenant, [render_evt(event.id), *run_ids])
        called = event.user_id or event.anonymous_id
        person = control.people.person_of(tenant, called) if called else None
    except ControlFailed as error:
        raise Unavailable(str(error)) from error
    return Trace(
        event=event,
        repeat_known=bool(keyed) and log.knows(dedup_key(keyed[0].event)) == event.position,
        in_log=bool(held) and held[0].position == event.position,
        reacted=runtime.pipeline.reactor.reacted(tenant) >= event.position,
        effects=effects,
        runs=runs,
        deliveries=deliveries,
        person=person.id if person else called,
    )
