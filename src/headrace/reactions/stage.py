"""The reactions stage: what events set off. Pure; the reactor runs it over new events and over stored ones.

So far there is one rule, and it is derived: every event sets off the fact `custom.<name>`, whose id follows from the
event's. What is derived is never stored, for the event itself gives it again; so it counts as caused once the event is
in the log.
"""

from collections.abc import Iterable

import msgspec

from headrace.event import Event, StoredEvent, fact_id
from headrace.ports import Effect, Outcome

DEFAULT_FACT = "default-fact"


class Fact(msgspec.Struct, frozen=True):
    id: str
    type: str


def fact_of(event_id: str, event: Event, /) -> Fact:
    """The fact that an event is: always the same one for the same event."""
    return Fact(fact_id(event_id, DEFAULT_FACT), f"custom.{event.name}")


def replay(events: Iterable[StoredEvent], /, *, force: bool) -> Outcome:
    """The effects of events that were reacted to before; with `force` also those that they had already."""
    effects = [_fact_effect(event) for event in events]
    return Outcome(effects, 0) if force else Outcome([], len(effects))


def _fact_effect(event: StoredEvent) -> Effect:
    fact = fact_of(event.id, event)
    participant = event.user_id or event.anonymous_id
    return Effect("fact", event.id, DEFAULT_FACT, {"factId": fact.id, "factType": fact.type}, participant=participant)
