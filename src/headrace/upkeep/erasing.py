"""Erases people: carries out the erasures that were asked for, each from where the last process left it.

1. The command is appended to the log. What was acknowledged before it is erased, and nothing after it.
2. The reactor has reacted to everything before it, and waits. The person's ids are noted, their events listed as erased.
3. Control forgets the person in one transaction. The reactor goes on: a later event of the same id is about somebody new.
4. What is kept of the person's events and under their numbers goes, in small transactions.
5. The events go from the store, then deliveries that tell of them, then their copies in the log.
6. The ids are forgotten, free pages are overwritten, and the receipt says that it is done.

Each step may be repeated; a crash anywhere repeats the one that it interrupted. See docs/decisions/0130-erasing-people.md.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
import structlog

from headrace.model.entries import Entry, ErasedEvent, Keyed, Kind
from headrace.model.erasure import Erasure, OpenErasure, encode_command
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant, decode
from headrace.model.quarantine import Quarantined
from headrace.model.repeats import dedup_key
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.loop import Loop
from headrace.pipeline.statement_watch import StatementWatch
from headrace.ports.erasures import ErasedEvents, Erasures, Forgetting, OpenErasures
from headrace.ports.log import LogReader, LogWriter
from headrace.ports.people import People
from headrace.ports.store import ErasableStore, OwnedEvents

_log = structlog.get_logger("headrace.erasures")
_EVENTS_AT_ONCE = 100_000
_ENTRIES_AT_ONCE = 1_000


class ErasableLog(LogReader, LogWriter, Protocol):
    """A log that can also give up what erased events said."""

    def redact(self, positions: Sequence[int], /) -> None:
        """Empty the events at some positions, as far as they are held. Their keys stay. Raises Unavailable."""
        ...

    def overwrite(self) -> None:
        """Leave nothing in free pages of what is no longer held. Raises Unavailable."""
        ...


class ErasingStore(ErasableStore, OwnedEvents, Protocol):
    def forget_merged(self, tenant: Tenant, /) -> None:
        """Let go of a tenant's merged ids that were loaded for questions. Raises Unavailable."""
        ...


class KeptErasures(Erasures, OpenErasures, Protocol): ...


class PutAsideEntries(Protocol):
    """Entries that were put aside because they cannot be read."""

    def listed(self, after: int, limit: int, /) -> list[Quarantined]: ...

    def forget(self, positions: Sequence[int], /) -> None:
        """Take them off the list: they are on that of erased events."""
        ...


class Eraser:
    """Works in its own thread, `loop`; a start goes on from where a stop or a crash has left it.

    Any thread may call `request` and `on_reacted`; the rest is for one thread at a time.
    """

    def __init__(
        self,
        erasures: KeptErasures,
        forgetting: Forgetting,
        erased: ErasedEvents,
        *,
        people: People,
        log: ErasableLog,
        store: ErasingStore,
        put_aside: PutAsideEntries,
        holds: ErasureHolds,
        watch: StatementWatch,
        has_passed: Callable[[Tenant, int], bool],
        feed_paused: Callable[[], AbstractContextManager[None]],
        on_append: Callable[[int], None],
        on_detached: Callable[[], None],
        tell_backups: Callable[[], None],
        clock_ms: Callable[[], int],
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """has_passed: whether a tenant's events up to a position were reacted to.

        feed_paused: no event becomes a delivery within it. on_append: called with the number of entries appended.
        on_detached: called when a person is detached. tell_backups: called before what was known of the erased goes.
        on_step: called after each step, by what has been done.
        """
        self._erasures = erasures
        self._forgetting = forgetting
        self._erased = erased
        self._people = people
        self._log = log
        self._store = store
        self._put_aside = put_aside
        self._holds = holds
        self._watch = watch
        self._has_passed = has_passed
        self._feed_paused = feed_paused
        self._on_append = on_append
        self._on_detached = on_detached
        self._tell_backups = tell_backups
        self._clock_ms = clock_ms
        self._on_step = on_step
        self._is_waiting = self._has_begun = False
        self._requesting = threading.Lock()
        self._unplaced: dict[str, Tenant] = {}  # whose command could not be appended
        self.loop = Loop("erasures", self.step)

    def on_reacted(self) -> None:
        """Events have been reacted to, for which an erasure may have waited."""
        if self._is_waiting:
            self.loop.wake()

    def request(self, tenant: Tenant, user_id: str, /) -> Erasure:
        """Erase whoever has an id, with everything that was acknowledged before now. Durable on return.

        Raises ControlFailed, and Unavailable if too many erasures are unfinished.
        """
        with self._requesting:  # a repeat counts as one only while the command is not appended
            erasure, is_new = self._erasures.request(tenant, user_id, self._clock_ms())
            if is_new:
                try:
                    self._append(tenant, erasure.id)
                except Unavailable:
                    # The log is full, or its disk. The request is durable, and its command comes later.
                    self._unplaced[erasure.id] = tenant
                    self.loop.wake()
        return erasure

    def step(self) -> bool:
        """Carry open erasures as far as they can be; whether anything was done. Raises what the ports raise."""
        self._is_waiting = True  # before looking, so that what happens in between wakes this thread
        found = self._erasures.open()
        if not self._has_begun:
            self._unplaced |= {each.id: each.tenant for each in found if each.position is None}
            self._has_begun = True
        unplaced = list(self._unplaced.items())
        for erasure_id, tenant in unplaced:
            self._append(tenant, erasure_id)
            del self._unplaced[erasure_id]
        ready = [
            each
            for each in found
            if each.status == "requested" and each.position is not None and self._has_passed(each.tenant, each.position)
        ]
        for each in ready:
            self._detach(each)
        detached = [each for each in self._erasures.open() if each.status == "detached"] if found else []
        if detached:
            self._remove(detached)
        self._is_waiting = len(found) > len(detached)
        return bool(unplaced or ready or detached)

    def _append(self, tenant: Tenant, erasure_id: str) -> None:
        """A command that is appended twice counts where it was read first."""
        self._holds.begin(tenant, erasure_id)
        self._watch.begin()
        position = self._log.last()
        try:
            with self._holds.nothing_emitted():
                entry = Entry(encode_command(erasure_id, tenant), kind=Kind.ERASURE)
                position = self._log.append([entry])[0].position
            self._erasures.placed(erasure_id, position)
        finally:
            self._watch.end(tenant, position)
        self._on_append(1)

    def _detach(self, erasure: OpenErasure) -> None:
        asked_for = erasure.ids[0]
        while True:
            ids = list(dict.fromkeys([asked_for, *self._people.ids_of(erasure.tenant, asked_for)]))
            known = msgspec.structs.replace(erasure, ids=ids)
            self._erasures.know(erasure.id, ids)
            self._list(known)
            self._on_step("listed")
            if self._forgetting.detach(known):
                break
        self._on_step("detached")
        self._holds.lift(erasure)
        self._on_detached()

    def _list(self, erasure: OpenErasure) -> None:
        assert erasure.position is not None  # noqa: S101
        held_after = self._log.held(erasure.position).after
        for page in self._events_of(erasure):
            events = [ErasedEvent(each.position, each.tail, dedup_key(each.event)) for each in page]
            self._erasures.list_events(erasure.id, events, place="events", in_log_after=held_after)
        theirs = list(self._quarantined(erasure))
        if theirs:
            events = [ErasedEvent(each.position, each.tail, each.key) for each in theirs]
            self._erasures.list_events(erasure.id, events, place="quarantined")
            self._put_aside.forget([each.position for each in theirs])

    def _events_of(self, erasure: OpenErasure) -> Iterator[list[Keyed]]:
        """The person's events and metric points that the store still has, up to the command."""
        if not erasure.ids:  # they are forgotten: nothing is left of the events, either
            return
        for tenant in (erasure.tenant, erasure.tenant.metrics):
            after = 0
            while page := self._store.owned(tenant, erasure.ids, after, erasure.position or 0, _EVENTS_AT_ONCE):
                yield page
                after = page[-1].position

    def _quarantined(self, erasure: OpenErasure) -> Iterator[Quarantined]:
        after = -1
        while page := self._put_aside.listed(after, _ENTRIES_AT_ONCE):
            yield from (each for each in page if each.position <= (erasure.position or 0) and is_about(each, erasure))
            after = page[-1].position

    def _remove(self, erasures: Sequence[OpenErasure]) -> None:
        self._tell_backups()
        event_ids: list[str] = []
        for each in erasures:
            for page in self._events_of(each):
                own = [event.id for event in page]
                self._forgetting.forget_events(each, own)
                event_ids += own
            self._forgetting.forget_participants(each)
        for tenant in {each.tenant for each in erasures}:
            self._store.forget_merged(tenant)
        self._on_step("forgotten")
        self._store.erase(event_ids)  # of all of them at once, for it rewrites whole parts
        self._on_step("erased")
        with self._feed_paused():  # whatever was read before is enqueued by now
            pass
        for each in erasures:
            self._forgetting.forget_deliveries(each)
        self._on_step("undelivered")
        upto = max(each.position or 0 for each in erasures)
        pages = self._erased.pages(self._log.held(upto).after, upto)
        self._log.redact([event.position for page in pages for event in page])
        self._on_step("redacted")
        for each in erasures:
            self._erasures.know(each.id, [])
        self._log.overwrite()
        self._forgetting.overwrite()
        self._on_step("overwritten")
        self._erasures.finish([each.id for each in erasures], self._clock_ms())
        _log.info("erased", erasures=[each.id for each in erasures], events=len(event_ids))


def is_about(entry: Quarantined, erasure: OpenErasure, /) -> bool:
    """Whether an entry that was put aside is one of the person's events, or may be: its bytes are not what was written."""
    if entry.kind or not entry.payload:
        return False
    try:
        event = decode(entry.payload)
    except msgspec.DecodeError:
        return any(msgspec.json.encode(each) in entry.payload for each in erasure.ids)
    tenants = (erasure.tenant, erasure.tenant.metrics)
    return Tenant(event.project, event.mode) in tenants and (event.user_id or event.anonymous_id) in erasure.ids
