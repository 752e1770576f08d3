"""The results of the reactions that can be queried: scores, badge holders, ranks. No I/O."""

from typing import Any

import msgspec

from headrace.model.ledger import EntryKind
from headrace.model.reaction_state import State

MAX_LISTED = 50  # grants and facts of a participant


class Award(msgspec.Struct, frozen=True):
    """A badge that a participant holds, and the event that earned it."""

    participant: str
    badge: str
    event_id: str
    at_ms: int


class Entry(msgspec.Struct, frozen=True):
    """An entry of the ledger. rule_kind and rule_id are "" for points that an admin granted or deducted."""

    id: str  # of the event that brought it; of an entry that none brought, its own
    points: int
    kind: EntryKind
    rule_kind: str
    rule_id: str
    at_ms: int
    reason: str
    place: str  # in the order of the ledger, for the next page


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
    entries: list[Entry]  # the latest of the ledger
    facts: list[KeptFact]  # the latest that rules made


class Ranked(msgspec.Struct, frozen=True):
    """A row of a leaderboard; equal scores share a rank. `scores` by their names."""

    rank: int
    participant: str
    scores: dict[str, Any]


class Board(msgspec.Struct, frozen=True):
    """A page of a leaderboard that has `total` rows. `offset`: how many come before the page."""

    rows: list[Ranked]
    total: int
    offset: int


class LedgerPage(msgspec.Struct, frozen=True):
    """Entries with their participants, newest first. There are `total` entries in all, which add up to `points`."""

    entries: list[tuple[str, Entry]]
    total: int
    points: int
    more: bool


class Participant(msgspec.Struct, frozen=True):
    """Somebody whom reactions know."""

    name: str
    points: int
    badges: int


class Participants(msgspec.Struct, frozen=True):
    """By name; `total` in all."""

    found: list[Participant]
    total: int
    more: bool
