"""Journeys in control: their versions, their runs, and the work due for them. Everything raises ControlFailed.

Runs change like the rest of the state of a tenant's reactions: see ReactionStates.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.journeys import Answered, Emitted, ListedRun, RunCount, Status


class JourneyVersions(Protocol):
    """Each version of each journey by its rule number, as JSON."""

    def running(self, project: str, /) -> Mapping[int, str]:
        """The versions that have active runs in the project, in either mode."""
        ...

    def find(self, rule_nos: Sequence[int], /) -> Mapping[int, str]:
        """The versions with these numbers, as far as they exist."""
        ...


class JourneyRuns(Protocol):
    """Runs, for queries. Always of one tenant."""

    def counts(self, tenant: Tenant, /) -> list[RunCount]:
        """How many runs of each version of each journey are or were at each step, and the numbers by status."""
        ...

    def listed(
        self,
        tenant: Tenant,
        journey: str,
        status: Status | None,
        before: tuple[int, str] | None,
        limit: int,
        /,
        person: str = "",
    ) -> list[ListedRun]:
        """A journey's runs of all versions, latest start first, before a (start, id). person: any id of whose runs to list."""
        ...

    def get(self, tenant: Tenant, run_id: str, /) -> ListedRun:
        """Raises NotFound."""
        ...

    def awaited(self, project: str, /) -> list[tuple[int, str, str, int]]:
        """(rule number, step, what it waits for, number of runs) of all active runs of the project, in either mode."""
        ...


class JourneyWork(Protocol):
    """Work due for runs, for the one loop that does it."""

    def claim(self, owner: str, /) -> Callable[[object], None] | None:
        """Claim the right to do the work. Each transaction must call the result last; it raises LeaseLost once another has it.

        None while another has the right. Claiming it again costs nothing.
        """
        ...

    def next_due(self) -> Mapping[Tenant, int]:
        """The time at which each tenant's first timer is due."""
        ...

    def due(self, tenant: Tenant, upto_ms: int, limit: int, /) -> list[tuple[int, str]]:
        """(time, run id) of a tenant's first timers that are due by a time, in that order."""
        ...

    def emits(self, limit: int, without: Collection[Tenant] = (), /) -> list[tuple[int, Tenant, Emitted]]:
        """(number, tenant, event) of events to emit, in the order in which runs emitted them; those of some tenants not."""
        ...

    def emitted(self, numbers: Sequence[int], /) -> None:
        """Mark events as accepted by intake."""
        ...


class RunPruning(Protocol):
    """Deletes runs some time after they have ended. Entry limits still count them, and so do the counts of the journey."""

    def has_old(self, before_ms: int, /) -> bool:
        """Whether any run ended before a moment."""
        ...

    def prune(self, before_ms: int, most: int, check: Callable[[object], None], /) -> int:
        """Delete some runs that ended before a moment, `most` at most; how many. check: see JourneyWork.claim."""
        ...


class Replies(Protocol):
    """The outcomes of runs' calls, kept until the runs have processed them."""

    def waiting(self, limit: int, /) -> list[Answered]:
        """The first outcomes, of one tenant."""
        ...

    def done(self, transaction: object, keys: Sequence[str], /) -> None:
        """Remove outcomes, in the transaction in which their runs go on."""
        ...
