"""Control: how far the pipeline has come, and what reactions keep."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from headrace.model.effects import Effect, Outcome
from headrace.model.event import StoredEvent, Tenant
from headrace.model.reaction_state import Caused, Needs, State


class Offsets(Protocol):
    """How far the worker has come; kept in Control, in the same transaction as what its reactions caused."""

    def position(self) -> int:
        """The last position whose event is stored and reacted to; 0 at the beginning."""
        ...

    def commit(self, position: int, /) -> None:
        """Durably move on to a position. Raises ControlFailed if that is not known to have happened."""
        ...


class ReactionStates(Protocol):
    """What reactions remember of each tenant, and how far they have come. Everything raises ControlFailed."""

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """What is remembered of the events and participants, as of one moment, which `State.version` names."""
        ...

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        """Keep what is new in a loaded state, and that the tenant's events up to a position have been reacted to; all or nothing.

        before_commit: called with the open transaction last of all; what it raises undoes everything.
        Raises StateChanged when somebody else has saved since this state was loaded: load and decide again.
        """
        ...

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """Every effect of an event with its rule's id and version, in the order in which they happened."""
        ...

    def progress(self) -> tuple[int, dict[Tenant, tuple[int, bool]]]:
        """The position up to which no event waits but those of tenants that are behind, and each tenant's (position, behind)."""
        ...

    def advance(self, position: int, /, behind: Mapping[Tenant, int], caught_up: Iterable[Tenant]) -> None:
        """Move that position on. behind: how far each tenant is whose later events wait; caught_up: whose no longer do."""
        ...

    def count_attempt(self, event_id: str, /) -> None:
        """A process ended while it reacted to this event."""
        ...

    def poisonous(self, most_attempts: int, /) -> set[str]:
        """The events at which so many processes have ended."""
        ...


class StateChanged(Exception):
    """The state of a tenant's reactions was saved by somebody else since it was loaded."""


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
        before_commit: "BeforeCommit | None" = None,
    ) -> Outcome:
        """Run events of one tenant through the reactions in the order given, under the rules that are in force now.

        What an event caused before under the same version of the same rule is not caused again, unless `force`. A dry run
        does the same and keeps nothing. An event that cannot be reacted to holds up no other, and is in the outcome.

        before_commit: called just before each commit with the transaction, the events that it is for, in order, and their
        outcome; never in a dry run. What it writes in that transaction is kept with the effects or not at all, and what it
        raises undoes them and comes out of here. There is one commit, unless events fail.
        Raises Unavailable; then what was not told to `before_commit` has not happened.
        """
        ...

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """What an event has set off so far, in order. Raises Unavailable."""
        ...


BeforeCommit = Callable[[object, Sequence[StoredEvent], Outcome], None]
"""Writes to control beside what reacts: is given the open transaction, which only an adapter looks into."""


class ControlFailed(Exception):
    """The control database did not answer, or refused."""
