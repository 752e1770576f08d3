"""Points: queries of the ledger, grants by admins, and corrections. Everything raises ControlFailed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.ledger import Change, Correction, Grant, Granted, Payer, Revocation, Settled
from headrace.model.scores import Board, LedgerPage, Participants


class Ledger(Protocol):
    """Queries of points, always of one tenant."""

    def entries(self, tenant: Tenant, participant: str | None, after: str, limit: int, /) -> LedgerPage:
        """Entries of one participant or of all, newest first, after the previous page's cursor; "" for the first page."""
        ...

    def participants(self, tenant: Tenant, after: str, limit: int, /) -> Participants:
        """All participants known to the reactions, ordered by name, after a name."""
        ...

    def leaderboard(
        self,
        tenant: Tenant,
        from_ms: int | None,
        to_ms: int | None,
        limit: int,
        offset: int,
        /,
        around: str | None = None,
    ) -> Board | None:
        """Most points first, then by name; equal points share a rank. Participants without points are left out.

        from_ms, to_ms: count only entries from that span, by the events' own times; without them, balances count.
        around: see Scores.
        """
        ...


class Grants(Protocol):
    """Manual changes by admins, always for one tenant. Raises ControlFailed."""

    def grant(self, tenant: Tenant, grant: Grant, key: str, now_ms: int, /) -> Granted:
        """Grant or deduct points once: repeating the key returns the first result.

        Raises Conflict if a deduction may not bring the balance below zero but would, or if the key was used for a different
        grant.
        """
        ...

    def revoke(self, tenant: Tenant, badge: str, participant: str, reason: str, now_ms: int, /) -> Revocation:
        """Revoke a badge permanently: it is no longer held, counts for no other badge, and cannot be earned again.

        The points that it earned stay. Raises NotFound if it was never held.
        """
        ...

    def revocations(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Revocation]:
        """The revoked badges, latest first."""
        ...


Taking = Callable[[Sequence[str]], dict[tuple[str, str, str], Change]]
"""Hands over what a replay would change for some participants: by participant, kind of rule and rule id."""


class Settlement(Protocol):
    """Corrects points that rules have paid to what the rules in force (given as payers) give."""

    def settle(
        self,
        tenant: Tenant,
        payers: Sequence[Payer],
        after: int,
        now_ms: int,
        /,
        before_commit: Callable[[object, Sequence[Correction]], None],
    ) -> Settled:
        """Correct the next participants after a number, in one transaction. Call it until there are no more.

        What a rule gives follows from the reactions' state for its version in force. Repeating a call changes nothing.
        before_commit: called last with the open transaction; if it raises, everything is undone.
        """
        ...

    def foresee(self, tenant: Tenant, payers: Sequence[Payer], take: Taking, /) -> Iterator[Sequence[Correction]]:
        """The corrections that `settle` would make for all participants that have a number, some participants at a time."""
        ...
