"""The ledger of points: entries, corrections, and points due. No I/O, and no knowledge of what rules mean."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

EntryKind = Literal["earned", "granted", "rebuilt", "merged"]


class Payer(msgspec.Struct, frozen=True):
    """A rule in force, by the number of its version, and the points that it pays for a fact, a completion, or a badge."""

    rule_no: int
    kind: str
    rule_id: str
    points: int


class Correction(msgspec.Struct, frozen=True):
    """An entry that corrects the points that a rule has paid to a participant: `due` instead of `paid`."""

    participant: str
    kind: str
    rule_id: str
    due: int
    paid: int

    @property
    def points(self) -> int:
        return self.due - self.paid


class Change(msgspec.Struct, frozen=True):
    """What events not replayed yet would add to the points that a rule is due to pay to a participant, and to those it pays."""

    due: int = 0
    paid: int = 0


class Settled(msgspec.Struct, frozen=True):
    """One page of participants, corrected. last: the number of the last one; None if there are no more."""

    corrections: Sequence[Correction]
    last: int | None


class Grant(msgspec.Struct, frozen=True):
    """Points that an admin grants or, if negative, deducts.

    allow_negative: whether they may bring the balance below zero, or further below it.
    """

    participant: str
    points: int
    reason: str = ""
    allow_negative: bool = False


class Granted(msgspec.Struct, frozen=True):
    """A grant with the balance after it. `repeated`: it had already been made with the same key."""

    grant: Grant
    entry_id: str
    balance: int
    repeated: bool


class Revocation(msgspec.Struct, frozen=True):
    """A badge that an admin revoked. `event_id`: of the event that had earned it. `repeated`: it had been revoked before."""

    participant: str
    badge: str
    event_id: str
    reason: str
    revoked_at_ms: int
    repeated: bool = False


def hidden_key(key: str, /) -> str:
    """What is kept of a grant's key once the participant was erased: enough to refuse the same key, and nothing to read."""
    return f"erased:{blake2b(key.encode(errors='surrogatepass'), digest_size=32).hexdigest()}"
