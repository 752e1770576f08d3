"""Recovery: finds where the worker resumes after a start or a failure, and which records the store still lacks.

Runs in the worker's thread. Stores missing events, and removes erased events that came back; never reacts, never commits.
"""

from collections.abc import Callable

import structlog

from headrace.model.entries import UNREADABLE, Record
from headrace.pipeline.commands import split
from headrace.pipeline.months import of_one_month
from headrace.pipeline.portion import Portion
from headrace.pipeline.quarantine import put_aside
from headrace.ports.control import Offsets
from headrace.ports.erasures import ErasedEvents
from headrace.ports.log import LogReader
from headrace.ports.quarantine import PutAside
from headrace.ports.store import ErasableStore, Store

_log = structlog.get_logger("headrace.pipeline.recovery")


class Recovery:
    def __init__(
        self,
        log: LogReader,
        store: ErasableStore,
        offsets: Offsets,
        erased: ErasedEvents,
        put_aside: PutAside,
        *,
        portion: Portion,
        settle: Callable[[], None] = lambda: None,
        clock_ms: Callable[[], int],
        is_shared: bool = False,
    ) -> None:
        """portion: how much to read and insert at once.

        is_shared: whether others store and erase at the same time, and the erasing is theirs.
        """
        self._log = log
        self._store = store
        self._offsets = offsets
        self._erased = erased
        self._put_aside = put_aside
        self._clock_ms = clock_ms
        self._portion = portion
        self._settle = settle
        self._is_shared = is_shared
        self._repaired = False
        self._is_retaken = False

    def begin(self, done: int, /) -> tuple[int, int]:
        """The position to resume from, and the position up to which later events may already be stored, erased or put aside.

        done: the last position that this process has committed, 0 at the start. If another worker had taken over since, this
        worker resumes from there, because the other may have committed past events that only this worker's log has.
        The second position is at most one insert ahead, unless control was restored from an older copy. The first call also
        repairs the store. Raises StoreFailed, ControlFailed, Unavailable, and LeaseLost while another worker has taken over.
        """
        self._is_retaken = self._offsets.take_again() or self._is_retaken
        self._settle()  # before the store is asked what it has
        position = self._offsets.position()
        if self._is_retaken and done:
            position = min(position, done)
        elif self._is_retaken:
            self._repaired = False
        if not self._repaired:
            self._repair(position)
            if not self._is_shared and is_behind(self._log, self._store, self._erased, self._put_aside, position):
                # Committed events are in neither the store nor the log: the folder is not mounted, or is an older copy.
                _log.error("store_is_behind", committed=position, stored_upto=self._store.last(0))
                self._erase_again(0, position)
            self._repaired = True
        unsure_upto = max(each.last(position) for each in (self._store, self._erased, self._put_aside))
        # An erasure may have been interrupted before its events were committed.
        self._erase_again(position, unsure_upto)
        if max(self._log.last(), unsure_upto) > position:
            _log.info("recovering", position=position, stored_upto=unsure_upto, log_ends_at=self._log.last())
        self._is_retaken = False
        return position, unsure_upto

    def missing(self, events: list[Record], /) -> list[Record]:
        """The events that the store lacks and should have. Raises StoreFailed, ControlFailed."""
        if not events:
            return events
        before, upto = events[0].position - 1, events[-1].position
        there = self._store.present(before, upto)
        for listed in (self._erased, self._put_aside):
            there.update(each.id for page in listed.pages(before, upto) for each in page)
        missing = [event for event in events if event.id not in there] if there else events
        if self._is_shared and missing:
            # One that was put aside may have been stored, and taken off its list, between the two questions.
            there = self._store.stored([event.id for event in missing])
            return [event for event in missing if event.id not in there]
        return missing

    def _repair(self, position: int) -> None:
        """Store events again that the store has lost and the log still has: a disk may lose a young part.

        These events were reacted to before, so this only stores them.
        """
        held = self._log.held(position)
        after = held.after
        if not held.events:
            return
        self._erase_again(after, position)
        lost = held.events - self._missed_on_purpose(after, position) - self._store.held(after, position)
        if not lost:
            return
        # If negative, the log lacks some events. Others that the store lacks are still stored again.
        event, count = ("store_lost_events", lost) if lost > 0 else ("log_lost_events", -lost)
        _log.warning(event, lost=count, after=after, upto=position)
        self._erase_again(0, after)  # an older copy of the store may still have erased events
        while after < position:
            records = [
                record
                for record in of_one_month(self._log.read(after, *self._portion.size()))
                if record.position <= position
            ]
            if not records:
                return
            if missing := self.missing(split(records)[0]):
                self._portion.insert(self._store, missing)
            self._put_aside_lost(records)
            after = records[-1].position

    def _put_aside_lost(self, records: list[Record]) -> None:
        """Put events aside that are not in the store and cannot be read from the log."""
        unreadable = [record for record in records if record.kind == UNREADABLE]
        if unreadable:
            there = self._store.present(records[0].position - 1, records[-1].position)
            put_aside([each for each in unreadable if each.id not in there], self._put_aside, self._clock_ms())

    def _missed_on_purpose(self, after: int, upto: int) -> int:
        """How many events the store lacks on purpose: erased ones, and those put aside."""
        aside = {each.id for page in self._put_aside.pages(after, upto) for each in page}
        if not aside:
            return self._erased.count(after, upto)
        return len(aside.union(each.id for page in self._erased.pages(after, upto) for each in page))

    def _erase_again(self, after: int, upto: int) -> None:
        """Remove erased events from the store: an erasure was interrupted, or an older copy of the store was restored."""
        if self._is_shared:
            return
        if back := still_stored(self._store, self._erased, after, upto):
            _log.warning("erased_events_removed_again", events=len(back), after=after, upto=upto)
            self._store.erase(sorted(back))


def take_over(
    log: LogReader, store: ErasableStore, erased: ErasedEvents, put_aside: PutAside, position: int, /
) -> None:
    """Remove erased events that came back, for the worker that coordinates others: they recover what they store by themselves.

    position: up to which everything was committed. Raises StoreFailed, ControlFailed, Unavailable.
    """
    after = position
    if is_behind(log, store, erased, put_aside, position):
        _log.error("store_is_behind", committed=position, stored_upto=store.last(0))
        after = 0
    upto = max(store.last(position), erased.last(position))
    if back := still_stored(store, erased, after, upto):
        _log.warning("erased_events_removed_again", events=len(back), after=after, upto=upto)
        store.erase(sorted(back))


def still_stored(store: ErasableStore, erased: ErasedEvents, after: int, upto: int, /) -> set[str]:
    """The ids of erased events with `after` < position <= `upto` that the store has. Raises StoreFailed, ControlFailed."""
    return {event_id for page in erased.pages(after, upto) for event_id in store.stored([each.id for each in page])}


def is_behind(log: LogReader, store: Store, erased: ErasedEvents, put_aside: PutAside, committed: int, /) -> bool:
    """Whether the store lacks the last event that was committed, although it was neither erased nor put aside.

    False if that event is unknown: the last one was erased, or the log has only commands and no record of an event before
    them. Raises StoreFailed, ControlFailed, Unavailable.
    """
    event = log.held(committed).last_event
    if not event or store.last(event - 1) >= event:
        return False
    return not any(page for listed in (erased, put_aside) for page in listed.pages(event - 1, event))
