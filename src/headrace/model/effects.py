"""The effects of events, and the trace of one event. No I/O."""

from collections.abc import Iterable

import msgspec

from headrace.model.event import StoredEvent
from headrace.model.journeys import ListedRun


class Effect(msgspec.Struct, frozen=True):
    """Something that an event caused: a fact, a completed challenge, a badge, points.

    `rule` and `version` name the rule that caused it; `detail` is the part that replies show. `generation` counts how
    often a replay forced it to happen again.
    """

    kind: str
    event_id: str
    rule: str
    detail: dict[str, object]
    version: str = ""
    participant: str = ""
    generation: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """The effects that a replay caused, or would cause, and the number of effects that it suppressed as repeats.

    `failed`: (event id, reason) of each event whose reactions failed; they left no effects.
    """

    effects: list[Effect]
    suppressed: int
    failed: list[tuple[str, str]] = []


def points_paid(effects: Iterable[Effect], /) -> int:
    """The points that effects pay. Those that a replay forces again pay nothing."""
    paid = (each for each in effects if each.kind == "points" and not each.generation)
    return sum(int(str(each.detail["points"])) for each in paid)


class TracedDelivery(msgspec.Struct, frozen=True):
    """A webhook delivery about an event, or about a run that it moved. tries: how many there were."""

    webhook: str
    key: str
    topic: str
    status: str
    tries: int
    problem: str


class Trace(msgspec.Struct, frozen=True):
    """Where an event is and what it caused. repeat_known: whether sending it again now would be recognised as a repeat."""

    event: StoredEvent
    repeat_known: bool
    in_log: bool
    reacted: bool
    effects: list[Effect]
    runs: list[ListedRun] = []  # of journeys: those that the event started, moved or ended, in their current state
    deliveries: list[TracedDelivery] = []
    person: str = ""  # the main id of the event's person
