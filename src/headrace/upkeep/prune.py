"""Removes events by age: on request, and by each project's retention. What events have caused stays.

An event is as old as the earlier of its own time and its receipt. So one that is dated into the future goes once it was kept for
long enough, and history that was sent yesterday goes by its own time. Events that the log still holds, or that reactions wait
for, are left for the next time: a start would take them for lost. See docs/decisions/0132-retention.md.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from headrace.model.entries import ErasedEvent, Keyed
from headrace.model.event import Tenant
from headrace.model.repeats import dedup_key
from headrace.model.retention import Pruned
from headrace.pipeline.loop import Loop
from headrace.ports.control import Offsets
from headrace.ports.erasures import ErasedEvents
from headrace.ports.log import LogReader
from headrace.ports.retention import Retentions
from headrace.ports.store import StoreFailed

_log = structlog.get_logger("headrace.retention")
_LOOK_EVERY_S = 60.0


class AgingStore(Protocol):
    """A store that can give up events by age. Raises StoreFailed."""

    def old(self, tenant: Tenant, before_ms: int, after: int, upto: int, /) -> int:
        """How many of the tenant's events with `after` < position <= `upto` are older than a moment."""
        ...

    def prune(self, tenant: Tenant, before_ms: int, upto: int, /) -> None:
        """Remove those up to a position, from disk and from every answer; done on return. May be repeated."""
        ...

    def keyed_at(self, positions: list[int], /) -> list[Keyed]: ...


class Progress(Protocol):
    def progress(self) -> tuple[int, Mapping[Tenant, tuple[int, bool]]]: ...


class Pruner:
    """`prune` may be called by any thread. `loop` applies what is set: wake it when a setting has changed."""

    def __init__(
        self,
        store: AgingStore,
        log: LogReader,
        offsets: Offsets,
        reactions: Progress,
        erased: ErasedEvents,
        retentions: Retentions,
        *,
        clock_ms: Callable[[], int],
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._store = store
        self._log = log
        self._offsets = offsets
        self._reactions = reactions
        self._erased = erased
        self._retentions = retentions
        self._clock_ms = clock_ms
        self._on_step = on_step
        self.loop = Loop("retention", self.step, idle_s=_LOOK_EVERY_S)

    def step(self) -> bool:
        """Apply each setting that is due; False, so that the loop rests.

        What the store cannot do for one project keeps no other from its turn. Raises ControlFailed, StoreFailed, Unavailable.
        """
        failed: StoreFailed | None = None
        for each in self._retentions.all():
            now_ms = self._clock_ms()
            if each.keep_ms is None or not each.is_due(now_ms):
                continue
            try:
                pruned = self.prune(each.tenant, now_ms - each.keep_ms)
            except StoreFailed as error:
                _log.warning("not_pruned", project=each.tenant.project, mode=each.tenant.mode, why=str(error))
                failed = error
                continue
            self._retentions.applied(each.tenant, pruned.events, now_ms)
            if pruned.events:
                _log.info("pruned", project=each.tenant.project, mode=each.tenant.mode, events=pruned.events)
        if failed is not None:
            raise failed
        return False

    def prune(self, tenant: Tenant, before_ms: int, /, *, dry_run: bool = False) -> Pruned:
        """Remove a tenant's events and metric points that are older than a moment.

        After a crash the next time removes what is left. Raises ControlFailed, StoreFailed, Unavailable.
        """
        committed = self._offsets.position()
        held = self._log.held(committed)
        spaces = (tenant, tenant.metrics)
        upto = min(committed, held.after, self._reacted(tenant))
        events = {each: self._store.old(each, before_ms, 0, upto) for each in spaces}
        held_back = sum(self._store.old(each, before_ms, upto, max(upto, self._log.last())) for each in spaces)
        if not dry_run:
            for each, count in events.items():
                if count:
                    self._note_last(each, before_ms, held.last_event, upto)
                    self._on_step("prune")
                    self._store.prune(each, before_ms, upto)
                    self._on_step("pruned")
        return Pruned(sum(events.values()), held_back, before_ms, dry_run)

    def _reacted(self, tenant: Tenant) -> int:
        position, tenants = self._reactions.progress()
        own, is_behind = tenants.get(tenant, (0, False))
        return own if is_behind else max(own, position)

    def _note_last(self, tenant: Tenant, before_ms: int, last_event: int, upto: int) -> None:
        """List the log's last event as erased if it is about to go: a start asks for it, to tell an old copy of the store."""
        if last_event <= upto and self._store.old(tenant, before_ms, last_event - 1, last_event):
            found = self._store.keyed_at([last_event])
            self._erased.add([ErasedEvent(each.position, each.tail, dedup_key(each.event)) for each in found])
