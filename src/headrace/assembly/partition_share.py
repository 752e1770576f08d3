"""The partitions of the log that a worker stores: its even share among the workers there are, whichever of them coordinates."""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog

from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control
from headrace.assembly.log import attach
from headrace.assembly.store import open_partition
from headrace.control.erasures import ControlErasedEvents
from headrace.control.leases import ControlLeases, LastingLease
from headrace.control.partition_offsets import offsets_of
from headrace.control.quarantine import ControlQuarantine
from headrace.control.sessions import ControlSessions
from headrace.log.valkey.partition import PartitionLog
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.lease import Lease
from headrace.model.partition_shares import shares_of
from headrace.model.settings import Settings
from headrace.pipeline.listed_in_partition import ErasedInPartition, PutAsideInPartition
from headrace.pipeline.loop import Loop
from headrace.pipeline.shared_storing import Stored, StoredFeed
from headrace.pipeline.worker import Worker
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed
from headrace.store.in_partition import StoreOfPartition

_log = structlog.get_logger("headrace.partitions")
_STORING, _MEMBER = "storing/", "member/"
_LOOK_EVERY_S = 0.5


class _Stored:
    """A partition while it is stored here."""

    def __init__(self, number: int, lease: LastingLease, worker: Worker, close: Callable[[], None]) -> None:
        self.number = number
        self.lease = lease
        self.worker = worker
        self.close = close
        self.missed: Lease | None = None  # what its lease was when this process seemed to have lost it
        self.teller = secrets.token_hex(4)

    def told(self) -> Stored:
        progress = self.worker.progress
        return Stored(
            *(self.number, progress.visible, self.teller, progress.stored_events, progress.flushes),
            stuck=self.worker.stuck,
        )


class PartitionShare:
    """Takes and gives back partitions as workers join and leave, and stores those it has. Any thread may call the public methods.

    Each partition is a lease. A worker whose lease has passed to another stores and commits nothing more: see decision 162.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError if the control database cannot be opened."""
        self._settings = settings
        self._control = open_control(settings)
        self._leases = ControlLeases(self._control)
        self._stored: dict[int, _Stored] = {}
        self._member: Lease | None = None
        self._has_swept = False
        self._lock = threading.Lock()
        self._log_of_all = self._server = None
        self._loop = Loop("partitions", self._look, idle_s=_LOOK_EVERY_S, on_failure=self._on_failure)
        length_s = self._leases.length_s or 0
        self._renewal = Loop("partition leases", self._renew, idle_s=length_s / 3, on_failure=self._on_failure)
        self._feed: StoredFeed | None = None

    def start(self) -> None:
        self._renewal.start()
        self._loop.start()

    def stop(self) -> None:
        """Stop storing, and let others take the partitions at once."""
        self._loop.stop()
        if self._member is not None:  # first, or the others would leave this one its share
            with suppress(ControlFailed):  # then it expires
                self._leases.release(self._member)
        for number in list(self._stored):
            self._give_back(number)
        if self._feed is not None:
            self._feed.stop()
        self._renewal.stop()
        if self._log_of_all is not None:
            self._log_of_all.close()
        self._control.dispose()

    def held(self) -> list[int]:
        """The partitions that are stored here now."""
        with self._lock:
            return sorted(self._stored)

    def _renew(self) -> bool:
        self._leases.renew()
        return False

    def _look(self) -> bool:
        """Be a member, give back what is lost or too much, and take what is free and this member's."""
        if self._member is None or not self._leases.renews(self._member):
            self._member = self._leases.take(f"{_MEMBER}{self._leases.process}", "member")
        if not self._has_swept:
            self._leases.sweep(_MEMBER)
            self._has_swept = True
        self._drop_lost()
        me = self._leases.process
        members = {me, *self._leases.living(_MEMBER).values()}
        taken = self._leases.living(_STORING)
        partitions = range(self._settings.log_partitions)
        holders = {number: taken.get(f"{_STORING}{number}", "") for number in partitions}
        mine = {number for number, member in shares_of(members, holders).items() if member == me}
        for number in set(self._stored) - mine:
            self._give_back(number)
        for number in sorted(mine - set(self._stored)):
            if holders[number] in ("", me):
                self._take(number)
        return False

    def _drop_lost(self) -> None:
        """Stop storing what another has taken. It may be the worker itself that has just taken its lease anew: look twice."""
        for number, each in list(self._stored.items()):
            current = each.lease.current
            if self._leases.renews(current):
                each.missed = None
            elif each.missed != current:
                each.missed = current
            else:
                _log.warning("partition_lost", partition=number)
                self._give_back(number)

    def _take(self, number: int) -> None:
        lease = self._leases.take(f"{_STORING}{number}", "storing")
        if lease is None:
            return
        lasting = LastingLease(self._leases, "storing", lease, takes_back=False)
        try:
            stored = self._open(number, lasting)
        except BaseException:
            with suppress(ControlFailed):
                lasting.release()
            raise
        with self._lock:
            self._stored[number] = stored
        stored.worker.start()
        _log.info("partition_taken", partition=number, fence=lease.fence)

    def _give_back(self, number: int) -> None:
        with self._lock:
            stored = self._stored.pop(number)
        stored.worker.stop()
        stored.close()
        with suppress(ControlFailed):  # then it expires
            stored.lease.release()
        _log.info("partition_given_back", partition=number)

    def _open(self, number: int, lease: LastingLease) -> _Stored:
        """Raises SettingsError, StoreFailed, Unavailable, ControlFailed."""
        settings = self._settings
        if self._log_of_all is None or self._server is None:
            instance = ControlSessions(self._control, clock_ms).server_id()
            self._log_of_all, self._server = attach(settings, instance=instance, floor=0)
        if self._feed is None:
            self._feed = StoredFeed(self._server, tellings=self._tellings, want=self._want)
            self._feed.start()
        feed = self._feed
        store = open_partition(settings, lease, number + 1)
        worker = Worker(
            PartitionLog(self._log_of_all, self._server, number),
            StoreOfPartition(store, number),
            offsets_of(self._control, number, lease),
            settings,
            erased=ErasedInPartition(ControlErasedEvents(self._control), number),
            put_aside=PutAsideInPartition(ControlQuarantine(self._control), number),
            needed_from=lambda: 0,
            on_progress=feed.wake,
            clock_ms=clock_ms,
            settle=store.settle,
            drain=False,
            is_shared=True,
        )
        return _Stored(number, lease, worker, store.close)

    def _tellings(self) -> list[Stored]:
        with self._lock:
            stored = list(self._stored.values())
        return [each.told() for each in stored]

    def _want(self, position: int) -> None:
        with self._lock:
            stored = list(self._stored.values())
        for each in stored:
            each.worker.want(position)

    def _on_failure(self, error: Exception, pause_s: float) -> None:
        if isinstance(error, (Unavailable, StoreFailed, ControlFailed, SettingsError)):
            _log.warning("partitions_wait", retry_in_s=pause_s, why=str(error))
        else:
            _log.error("partitions_failed", retry_in_s=pause_s, exc_info=error)
