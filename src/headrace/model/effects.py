"""What events set off, and what has become of an event. No I/O."""

import msgspec

from headrace.model.event import StoredEvent


class Effect(msgspec.Struct, frozen=True):
    """Something that an event sets off: a fact, a challenge completed, a badge, points.

    `rule` names what said so, in the `version` of its meaning; `detail` is what a reply shows of it. `generation` counts
    how often it was forced to happen again.
    """

    kind: str
    event_id: str
    rule: str
    detail: dict[str, object]
    version: str = ""
    participant: str = ""
    generation: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What a replay set off, or would, and how many effects it did not set off again.

    `failed`: (event id, what was wrong) of those that could not be reacted to, of which nothing was kept.
    """

    effects: list[Effect]
    suppressed: int
    failed: list[tuple[str, str]] = []


class Trace(msgspec.Struct, frozen=True):
    """What has become of an event. `repeat_known`: sent again now, it would be taken for a repeat."""

    event: StoredEvent
    repeat_known: bool
    in_log: bool
    reacted: bool
    effects: list[Effect]
