"""Control: how far the pipeline has come, and what reactions keep."""

from collections.abc import Callable, Sequence
from typing import Protocol

from headrace.model.effects import Effect, Outcome
from headrace.model.event import StoredEvent, Tenant


class Offsets(Protocol):
    """How far the worker has come; kept in Control, in the same transaction as what its reactions caused."""

    def position(self) -> int:
        """The last position whose event is stored and reacted to; 0 at the beginning."""
        ...

    def commit(self, position: int, /) -> None:
        """Durably move on to a position. Raises ControlFailed if that is not known to have happened."""
        ...


class Reactions(Protocol):
    """Stored events through the reactions again. Any thread may call it; it takes turns with the worker."""

    def replay(
        self,
        tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        note: "Note | None" = None,
    ) -> Outcome:
        """Run events of one tenant through the reactions in the order given, all in one transaction.

        What an event caused before under the same version of the same rule is not caused again, unless `force`. A dry run
        does the same and keeps nothing. The worker waits meanwhile: give it a few hundred events at a time. An event that
        cannot be reacted to holds up no other, and is in the outcome.

        note: called with the outcome just before the commit, never in a dry run; what it writes in that transaction is
        kept with the effects or not at all, and what it raises undoes them and comes out of here.
        Raises Unavailable; then nothing has happened, unless it was the commit that failed.
        """
        ...

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """What an event has set off so far, in order. Raises Unavailable."""
        ...


Note = Callable[[object, Outcome], None]
"""Writes to Control beside what reacts: is given the open transaction, which only an adapter looks into."""


class ControlFailed(Exception):
    """The control database did not answer, or refused."""
