"""Journeys in control: their versions, their runs, and what is to be done for them. Everything raises ControlFailed.

Runs change as the rest of a tenant's reactions does: see ReactionStates.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.journeys import Answered, Emitted, ListedRun, RunCount, Status


class JourneyVersions(Protocol):
    """Each version of each journey by its rule number, as JSON."""

    def running(self, project: str, /) -> Mapping[int, str]:
        """Those that some person of the project is in, in either mode."""
        ...

    def find(self, rule_nos: Sequence[int], /) -> Mapping[int, str]:
        """Those of some numbers that there are."""
        ...


class JourneyRuns(Protocol):
    """Runs, for those who ask about them; always of one tenant."""

    def counts(self, tenant: Tenant, /) -> list[RunCount]:
        """How many runs of each version of each journey are and were at each step, and how they are now."""
        ...

    def listed(
        self, tenant: Tenant, journey: str, status: Status | None, before: tuple[int, str] | None, limit: int, /
    ) -> list[ListedRun]:
        """A journey's runs of all versions, the latest start first, before a (start, id)."""
        ...

    def get(self, tenant: Tenant, run_id: str, /) -> ListedRun:
        """Raises NotFound."""
        ...

    def awaited(self, project: str, /) -> list[tuple[int, str, str, int]]:
        """(rule number, step, what it waits for, how many) of all runs of the project that go on, in either mode."""
        ...


class JourneyWork(Protocol):
    """What is to be done for runs, for the one loop that does it."""

    def claim(self, owner: str, /) -> Callable[[object], None] | None:
        """The right to do it: what each of its transactions is to call last, which raises LeaseLost once another has it.

        None while another has it. Claiming what is one's own costs nothing.
        """
        ...

    def next_due(self) -> Mapping[Tenant, int]:
        """When the first timer of each tenant that has any is due."""
        ...

    def due(self, tenant: Tenant, upto_ms: int, limit: int, /) -> list[tuple[int, str]]:
        """(when, run id) of a tenant's first timers due by then, in that order."""
        ...

    def emits(self, limit: int, /) -> list[tuple[int, Tenant, Emitted]]:
        """(number, whose, event) of what is to be emitted, in the order in which runs did."""
        ...

    def emitted(self, numbers: Sequence[int], /) -> None:
        """Intake has them."""
        ...


class Replies(Protocol):
    """How calls of runs have ended, kept until the runs have gone on."""

    def waiting(self, limit: int, /) -> list[Answered]:
        """The first of them, of one tenant."""
        ...

    def done(self, transaction: object, keys: Sequence[str], /) -> None:
        """In the transaction in which the runs go on."""
        ...
