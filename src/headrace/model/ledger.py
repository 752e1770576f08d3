"""The ledger of points: its entries, corrections, and who is due what. No I/O, and no rule's meaning."""

from collections.abc import Sequence
from typing import Literal

import msgspec

EntryKind = Literal["earned", "granted", "rebuilt"]


class Payer(msgspec.Struct, frozen=True):
    """A rule in force, by the number of its version, and what it pays: for a fact, a completion, or a badge."""

    rule_no: int
    kind: str
    rule_id: str
    points: int


class Correction(msgspec.Struct, frozen=True):
    """An entry that brings what a rule has paid to a participant to what it gives now: `due` instead of `paid`."""

    participant: str
    kind: str
    rule_id: str
    due: int
    paid: int

    @property
    def points(self) -> int:
        return self.due - self.paid


class Change(msgspec.Struct, frozen=True):
    """What events that are not replayed yet would add to what a rule is due to pay to a participant, and to what it pays."""

    due: int = 0
    paid: int = 0


class Settled(msgspec.Struct, frozen=True):
    """One page of participants, corrected. last: the number of the last of them; None where there are no more."""

    corrections: Sequence[Correction]
    last: int | None


class Grant(msgspec.Struct, frozen=True):
    """Points that an admin gives, or takes where they are below zero.

    allow_negative: whether they may bring the balance below zero, or further below it.
    """

    participant: str
    points: int
    reason: str = ""
    allow_negative: bool = False


class Granted(msgspec.Struct, frozen=True):
    """A grant as it was made, with the balance after it. `repeated`: it had been made before, with the same key."""

    grant: Grant
    entry_id: str
    balance: int
    repeated: bool


class Revocation(msgspec.Struct, frozen=True):
    """A badge that an admin took back. `event_id`: of the event that had brought it. `repeated`: it was taken back before."""

    participant: str
    badge: str
    event_id: str
    reason: str
    revoked_at_ms: int
    repeated: bool = False
