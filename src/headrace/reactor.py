"""The reactor: runs the pure reactions over events and keeps what they cause. Never decides what an event causes."""

from collections.abc import Sequence

from headrace.event import StoredEvent, Tenant
from headrace.ports import Effect, Offsets, Outcome, Record
from headrace.reactions import stage


class Reactor:
    """Reacts to new records for the worker, and to stored events for replays; fits the Reactions port."""

    def __init__(self, offsets: Offsets) -> None:
        self._offsets = offsets

    def react(self, _records: Sequence[Record], position: int, /) -> None:
        """React to new records and move on to the position, in one transaction. Raises ControlFailed."""
        self._offsets.commit(position)

    def replay(self, _tenant: Tenant, events: Sequence[StoredEvent], /, *, force: bool, dry_run: bool) -> Outcome:
        """As the Reactions port says."""
        del dry_run  # the derived fact is never kept, so there is nothing to undo
        return stage.replay(events, force=force)

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """As the Reactions port says."""
        return stage.replay([event], force=True).effects
