"""The results of the reactions that can be queried: scores, badge holders, ranks. No I/O."""

from typing import Any

import msgspec

from headrace.model.reaction_state import State


class Award(msgspec.Struct, frozen=True):
    """A badge that a participant holds, and the event that earned it."""

    participant: str
    badge: str
    event_id: str
    at_ms: int


class Grant(msgspec.Struct, frozen=True):
    """Points that a rule granted for an event."""

    points: int
    kind: str
    rule_id: str
    event_id: str
    at_ms: int


class KeptFact(msgspec.Struct, frozen=True):
    """A fact that a rule made of an event."""

    event_id: str
    at_ms: int
    detail: dict[str, Any]


class Score(msgspec.Struct, frozen=True):
    """All results of a participant. `state` has the standings and the requested buckets."""

    state: State
    awards: list[Award]
    balance: int
    grants: list[Grant]  # the latest
    facts: list[KeptFact]  # the latest that rules made


class Ranked(msgspec.Struct, frozen=True):
    """A row of a challenge's leaderboard."""

    participant: str
    completions: int
    best: str
