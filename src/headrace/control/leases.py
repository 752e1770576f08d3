"""Leases: the exclusive right to a piece of work, with a fencing token that is checked in the transaction that commits.

A lease alone does not stop a former holder: a process may be suspended and resume long after its lease has passed to another.
So every transaction of such work ends with `require`, which refuses it because the fence has grown.
"""

import secrets
import threading

import sqlalchemy as sa
import structlog

from headrace.control.database import database_time_ms, insert, reading, transact
from headrace.control.tables.positions import leases
from headrace.model.lease import Lease
from headrace.ports.control import LeaseLost

_log = structlog.get_logger("headrace.control.leases")
LEASE_S = 10.0
_NEVER_MS = 2**62
_A_DAY_MS = 86_400_000


class ControlLeases:
    """This process's leases in the control database. Any thread may call it; every method raises ControlFailed.

    length_s: how long a lease lasts unless it is renewed. None if this process is known to be the only one: its leases then
    last forever, without renewals, and leases left behind by earlier processes do not count.
    """

    def __init__(self, engine: sa.Engine, *, length_s: float | None = LEASE_S) -> None:
        self.length_s = length_s
        self._engine = engine
        self.process = secrets.token_hex(8)  # new at each start, so that no process adopts its predecessor's leases
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()

    def take(self, name: str, owner: str, /) -> Lease | None:
        """Take a lease that is free, has expired, or is the owner's already. None while another owner holds it.

        owner: the part of this process that takes it; two with the same name would share the lease. Taking it increments the
        fence.
        """
        lease = transact(self._engine, lambda connection: self.take_within(connection, name, owner))
        if lease is not None:
            self.keep(lease)
        return lease

    def take_anew(self, lease: Lease, owner: str, /, *, only_own: bool) -> Lease | None:
        """Like `take`. only_own: not if another has taken it since, even if it is free again."""

        def take(connection: sa.Connection) -> Lease | None:
            if only_own:
                try:
                    require(connection, lease)
                except LeaseLost:
                    return None
            return self.take_within(connection, lease.name, owner)

        taken = transact(self._engine, take)
        if taken is not None:
            self.keep(taken)
        return taken

    def take_within(self, connection: sa.Connection, name: str, owner: str, /) -> Lease | None:
        """Like `take`, within a transaction. Call `keep` after its commit."""
        whole = self._owner(owner)
        until = sa.literal(_NEVER_MS)
        if self.length_s is not None:
            until = database_time_ms(connection) + int(self.length_s * 1000)
        new = insert(connection, leases).values(name=name, owner=whole, fence=1, expires_at_ms=until)
        taken = new.on_conflict_do_update(
            index_elements=[leases.c.name],
            set_={"owner": whole, "fence": leases.c.fence + 1, "expires_at_ms": until},
            where=~self.held_by_another(connection, owner),
        ).returning(leases.c.fence)
        fence = connection.scalar(taken)
        return None if fence is None else Lease(name, whole, fence)

    def held_by_another(self, connection: sa.Connection, owner: str, /) -> sa.ColumnElement[bool]:
        """The condition that a row's lease belongs to another owner and has not expired."""
        held = sa.and_(leases.c.owner != self._owner(owner), leases.c.expires_at_ms > database_time_ms(connection))
        if self.length_s is None:
            held = sa.and_(held, sa.func.substr(leases.c.owner, 1, len(self.process)) == self.process)
        return held

    def keep(self, lease: Lease, /) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held[lease.name] = lease

    def renews(self, lease: Lease, /) -> bool:
        """Whether this process still believes that it holds the lease. Writing under the lease finds out for certain."""
        with self._lock:
            return self._held.get(lease.name) == lease

    def holds(self, lease: Lease, /) -> bool:
        """Whether nobody has taken the lease since, according to the database. It may have expired."""
        with reading(self._engine) as connection:
            return connection.scalar(sa.select(leases.c.fence).where(_is(lease))) is not None

    def living(self, prefix: str, /) -> dict[str, str]:
        """By name: the process that holds each lease whose name begins with this, as far as it has not expired."""
        found = sa.select(leases.c.name, leases.c.owner).where(leases.c.name.startswith(prefix, autoescape=True))
        with reading(self._engine) as connection:
            living = connection.execute(found.where(leases.c.expires_at_ms > database_time_ms(connection)))
            return {name: owner.partition("/")[0] for name, owner in living}

    def sweep(self, prefix: str, /) -> None:
        """Delete leases whose names begin with this and are never used again, once they have been expired for a day."""

        def delete(connection: sa.Connection) -> None:
            old = database_time_ms(connection) - _A_DAY_MS
            named = leases.c.name.startswith(prefix, autoescape=True)
            connection.execute(sa.delete(leases).where(named, leases.c.expires_at_ms < old))

        transact(self._engine, delete)

    def renew(self) -> None:
        """Extend all held leases, in one commit. Call it three times per `length_s`. A lost lease is no longer renewed."""
        with self._lock:
            held = [self._held[name] for name in sorted(self._held)]
        if not held or self.length_s is None:
            return
        length_ms = int(self.length_s * 1000)

        def extend(connection: sa.Connection) -> list[Lease]:
            until = database_time_ms(connection) + length_ms
            return [
                lease
                for lease in held
                if connection.execute(sa.update(leases).where(_is(lease)).values(expires_at_ms=until)).rowcount == 0
            ]

        for lease in transact(self._engine, extend):
            if self._drop(lease):
                _log.warning("lease_lost", name=lease.name, fence=lease.fence)

    def release(self, lease: Lease, /) -> None:
        """Free the lease at once. Does nothing if it is no longer held."""
        if self._drop(lease):
            transact(self._engine, lambda connection: free(connection, lease))

    def forget(self, lease: Lease, /) -> None:
        """Stop renewing a lease that was freed within a transaction."""
        self._drop(lease)

    def _owner(self, owner: str) -> str:
        return f"{self.process}/{owner}"

    def _drop(self, lease: Lease) -> bool:
        with self._lock:
            if self._held.get(lease.name) != lease:
                return False
            del self._held[lease.name]
            return True


class LastingLease:
    """A lease that its holder takes back after another has taken and released it. Any thread may call it.

    current: the lease as it was last taken. Another may have taken it since; `require` finds out. Once it was released it is
    not kept any more: a thread that its holder no longer waits for may come to that late, and nobody would release it then.
    """

    def __init__(self, leases: ControlLeases, owner: str, lease: Lease, *, takes_back: bool = True) -> None:
        """owner: the owner passed to `ControlLeases.take` for this lease. takes_back: otherwise one that was lost stays lost."""
        self.current = lease
        self._takes_back = takes_back
        self._is_released = False
        self._leases = leases
        self._owner = owner

    def take_again(self) -> bool:
        """Take the lease back if it was lost. Returns whether it was. Raises LeaseLost while another holds it, ControlFailed."""
        lost = self.current
        if self._leases.holds(lost):
            return False
        taken = self._kept(self._leases.take(lost.name, self._owner) if self._takes_back else None)
        _log.warning("lease_taken_again", name=taken.name, fence=taken.fence)
        return True

    def raise_fence(self) -> int:
        """Take the lease anew, so that nothing that was begun under it counts any more. Returns the fence.

        Raises LeaseLost while another holds it, ControlFailed.
        """
        return self._kept(self._leases.take_anew(self.current, self._owner, only_own=not self._takes_back)).fence

    def release(self) -> None:
        """Free the lease at once, for good. Does nothing if it is no longer held."""
        self._is_released = True
        self._leases.release(self.current)

    def _kept(self, taken: Lease | None) -> Lease:
        if taken is None:
            raise LeaseLost(f"The lease {self.current.name} is held by another server.")
        self.current = taken
        if self._is_released:  # before, or meanwhile by a thread that may have looked at the lease before this one
            self._leases.release(taken)
            raise LeaseLost(f"The lease {taken.name} was released.")
        return taken


def require(connection: sa.Connection, lease: Lease | LastingLease | None, /) -> None:
    """Raise LeaseLost unless the lease is still this owner's, and keep others from taking it until the transaction ends.

    An expired lease that nobody has taken is still this owner's. None: there are no other owners, so nothing to check.
    """
    if lease is None:
        return
    lease = lease.current if isinstance(lease, LastingLease) else lease
    held = sa.select(leases.c.fence).where(_is(lease)).with_for_update(read=True)
    if connection.scalar(held) is None:
        raise LeaseLost(f"The lease {lease.name} has passed to another.")


def free(connection: sa.Connection, lease: Lease, /) -> None:
    """Free the lease once the transaction commits. The row stays, because its fence must never start over."""
    connection.execute(sa.update(leases).where(_is(lease)).values(expires_at_ms=0))


def _is(lease: Lease) -> sa.ColumnElement[bool]:
    return sa.and_(leases.c.name == lease.name, leases.c.owner == lease.owner, leases.c.fence == lease.fence)
