"""Reactions: their state and progress in control, and their replay."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from headrace.model.effects import Effect, Outcome
from headrace.model.event import StoredEvent, Tenant
from headrace.model.reaction_state import Caused, Needs, State


class ReactionState(Protocol):
    """The state of each tenant's reactions, and their effects. Everything raises ControlFailed."""

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """The state of the events and participants in `needs`, in one snapshot, whose version is in `State.version`."""
        ...

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        """Save what is new in a loaded state, and the position up to which the tenant's events have been reacted to, all or
        nothing.

        before_commit: called last with the open transaction; if it raises, everything is undone.
        Raises StateChanged if somebody else has saved since this state was loaded: load and decide again. Raises LeaseLost if
        another process has taken over the reactions.
        """
        ...

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """Every effect of an event with its rule's id and version, in the order in which they were caused."""
        ...


class ReactionProgress(Protocol):
    """How far the reactions have come, and during which events processes died. Everything raises ControlFailed."""

    def progress(self) -> tuple[int, dict[Tenant, tuple[int, bool]]]:
        """The position up to which only tenants that are behind have events waiting, and each tenant's (position, is behind)."""
        ...

    def advance(self, position: int, /, behind: Mapping[Tenant, int], caught_up: Iterable[Tenant]) -> None:
        """Move that position on. behind: the positions of tenants with events waiting. caught_up: tenants without any more."""
        ...

    def count_attempt(self, event_id: str, /) -> None:
        """Count that a process died while it reacted to this event."""
        ...

    def poisonous(self, most_attempts: int, /) -> set[str]:
        """The events during which at least this many processes have died."""
        ...


class ReactionStates(ReactionState, ReactionProgress, Protocol):
    """Both, for the reactor."""


class StateChanged(Exception):
    """Somebody else has saved the state of a tenant's reactions since it was loaded."""


class Reactions(Protocol):
    """Replays stored events through the reactions, in turn with live ones. Any thread may call it."""

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
        """Run events of one tenant through the reactions, in the given order, under the rules that are in force now.

        Effects that an event already caused under the same version of the same rule are not caused again, unless `force`. A dry
        run does the same and saves nothing. An event whose reactions fail does not stop the others; the outcome lists it.

        before_commit: called just before each commit with the transaction, its events in order, and their outcome; never in a dry
        run. What it writes in that transaction is committed together with the effects. If it raises, they are undone, and the
        error is raised from here. There is one commit, unless events fail.
        Raises Unavailable; then only what `before_commit` was called for has happened.
        """
        ...

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """The effects of an event so far, in order. Raises Unavailable."""
        ...


BeforeCommit = Callable[[object, Sequence[StoredEvent], Outcome], None]
"""Writes to control in the transaction of the reactions. Only adapters look into the transaction."""
