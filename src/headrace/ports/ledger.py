"""Points: the ledger to be read, what admins add to it, and what corrects it. Everything raises ControlFailed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.ledger import Change, Correction, Grant, Granted, Payer, Revocation, Settled
from headrace.model.scores import Board, LedgerPage, Participants


class Ledger(Protocol):
    """Points, and who has how many; always of one tenant."""

    def entries(self, tenant: Tenant, participant: str | None, after: str, limit: int, /) -> LedgerPage:
        """Entries of one participant or of all, newest first, past the place that a page before told; "" for the first page."""
        ...

    def participants(self, tenant: Tenant, after: str, limit: int, /) -> Participants:
        """Everybody whom reactions know, by name, past a name."""
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
        """Most points first, then by name; equal points share a rank. Who has none is left out.

        from_ms, to_ms: only entries of that time count, which are events' own times; without either, balances.
        around: see Scores.
        """
        ...


class Grants(Protocol):
    """What admins do by hand, always to one tenant. Raises ControlFailed."""

    def grant(self, tenant: Tenant, grant: Grant, key: str, now_ms: int, /) -> Granted:
        """Grant or deduct points once: the same key again gives what the first one did.

        Raises Conflict where a deduction would bring the balance below zero and may not, or where the key was used for another
        grant.
        """
        ...

    def revoke(self, tenant: Tenant, badge: str, participant: str, reason: str, now_ms: int, /) -> Revocation:
        """Take a badge back for good: it is held no more, counts for no other badge, and is not earned again.

        The points that it brought stay. Raises NotFound where it was never held.
        """
        ...

    def revocations(self, tenant: Tenant, badge: str, limit: int, offset: int, /) -> list[Revocation]:
        """Those that were taken back, the latest first."""
        ...


class Settlement(Protocol):
    """Brings what rules have paid to what the rules in force give, which are told by their payers."""

    def settle(
        self,
        tenant: Tenant,
        payers: Sequence[Payer],
        after: int,
        now_ms: int,
        /,
        before_commit: Callable[[object, Sequence[Correction]], None],
    ) -> Settled:
        """Correct the next participants past a number, in one transaction; call it until there are no more.

        What a rule gives follows from what the reactions remember of its version in force. A second call changes nothing.
        before_commit: called with the open transaction last of all; what it raises undoes everything.
        """
        ...

    def foresee(
        self, tenant: Tenant, payers: Sequence[Payer], changes: Mapping[tuple[str, str, str], Change], /
    ) -> list[Correction]:
        """What `settle` would correct of all participants.

        changes: by participant, kind of rule and rule id, what a replay would change before.
        """
        ...
