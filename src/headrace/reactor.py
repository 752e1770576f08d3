"""The reactor: runs the pure reactions over events and keeps what they cause. Never decides what an event causes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from headrace.errors import Unavailable
from headrace.event import StoredEvent, Tenant
from headrace.ports import ControlFailed, Effect, Note, Offsets, Outcome, Record
from headrace.reactions import stage


class Reactor:
    """Reacts to new records for the worker, and to stored events for replays; fits the Reactions port."""

    def __init__(self, offsets: Offsets, begin: Callable[[], AbstractContextManager[object]]) -> None:
        """`begin` opens a transaction of Control, and commits it on leaving unless there was an exception."""
        self._offsets = offsets
        self._begin = begin

    def react(self, _records: Sequence[Record], position: int, /) -> None:
        """React to new records and move on to the position, in one transaction. Raises ControlFailed."""
        self._offsets.commit(position)

    def replay(
        self,
        _tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        note: Note | None = None,
    ) -> Outcome:
        """As the Reactions port says."""
        outcome = stage.replay(events, force=force)
        if note is not None and not dry_run:  # the derived fact is never kept, so there is nothing else to commit
            try:
                with self._begin() as transaction:
                    note(transaction, outcome)
            except ControlFailed as error:
                raise Unavailable(str(error)) from error
        return outcome

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        """As the Reactions port says."""
        return stage.replay([event], force=True).effects
