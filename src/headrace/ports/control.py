"""Control: small facts about events, leases, and the errors of both. Everything raises ControlFailed.

Two adapters fulfil every port over control: SQLite, and PostgreSQL, where several processes call at once.
"""

from typing import Protocol

from headrace.model.lease import Lease


class Offsets(Protocol):
    """How far the worker has come."""

    def take_again(self) -> bool:
        """Take back the right to commit, if another worker took it and has released it since. Returns whether that was so.

        Raises LeaseLost while another worker holds it. Always False where there can be no other worker.
        """
        ...

    def position(self) -> int:
        """The last committed position; 0 at first."""
        ...

    def commit(self, position: int, /) -> None:
        """Durably move to a position. A position before the last one changes nothing.

        Raises LeaseLost if another worker has taken over; nothing is committed then. After ControlFailed, it may have been.
        """
        ...


class Leases(Protocol):
    """Exclusive rights to work on something: a partition, a replay job, timers, deliveries, retention.

    A lease expires by the database's clock unless it is renewed. Taking it increments its fence, and every transaction of the
    work checks owner and fence before it commits. So a former owner's commit is refused, however late it arrives.
    """

    def take(self, name: str, owner: str, /) -> Lease | None:
        """Take a lease that is free, has expired, or already belongs to the owner; None while another owner holds it.

        owner: a random name, new at each start: a process that returned under its old name would adopt its old lease.
        """
        ...

    def renew(self) -> None:
        """Extend every lease taken here and not released, in one commit. Leases that others have taken are given up."""
        ...

    def release(self, lease: Lease, /) -> None:
        """Let others take it at once. Does nothing if another owner has it."""
        ...


class ControlFailed(Exception):
    """The control database did not answer, or returned an error."""


class ControlConflict(ControlFailed):
    """The database rolled the transaction back because of a concurrent one. Nothing was saved; a retry may succeed."""


class LeaseLost(Exception):
    """Another owner has taken the work over: undo the transaction, and leave the rest to that owner."""
