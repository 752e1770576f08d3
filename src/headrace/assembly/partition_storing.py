"""What each partition of the log is stored with: a worker, a store under the partition's lease, and word of its progress."""

import secrets
import threading

from sqlalchemy import Engine as Control

from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control
from headrace.assembly.log import ServerLog, attach
from headrace.assembly.partition_share import PartitionShare
from headrace.assembly.store import examine, open_partition
from headrace.control.erasures import ControlErasedEvents
from headrace.control.known_log import ControlKnownLog
from headrace.control.leases import ControlLeases, LastingLease
from headrace.control.partition_offsets import offsets_of
from headrace.control.quarantine import ControlQuarantine
from headrace.control.sessions import ControlSessions
from headrace.log.valkey.partition import PartitionLog
from headrace.log.valkey.server import LogServer
from headrace.model.errors import Unavailable
from headrace.model.settings import Settings
from headrace.pipeline.listed_in_partition import ErasedInPartition, PutAsideInPartition
from headrace.pipeline.shared_storing import Stored, StoredFeed
from headrace.pipeline.worker import Worker
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.in_partition import StoreOfPartition


def partition_share(settings: Settings, /) -> PartitionShare:
    """A worker's. Raises SettingsError if the control database cannot be opened."""
    control = open_control(settings)
    return PartitionShare(ControlLeases(control), settings.log_partitions, OpenPartitions(settings, control))


class OpenPartition:
    """Fits the StoredPartition protocol."""

    def __init__(self, opened: "OpenPartitions", number: int, worker: Worker, store: ClickHouseStore) -> None:
        self._opened = opened
        self._number = number
        self._teller = secrets.token_hex(4)
        self._store = store
        self.worker = worker
        self.has_ended = worker.has_ended
        self.store_fails = worker.store_fails
        self.close = store.close

    def start(self) -> None:
        """See the StoredPartition protocol."""
        self._opened.add(self)
        self.worker.start()

    def ask_to_stop(self) -> None:
        """See the StoredPartition protocol."""
        self._opened.remove(self)
        self.worker.ask_to_stop()

    def told(self) -> Stored:
        progress = self.worker.progress
        return Stored(
            *(self._number, progress.visible, self._teller, progress.stored_events, progress.flushes),
            stuck=self.worker.stuck,
        )


class OpenPartitions:
    """Fits the Partitions protocol. The partitions share the log's connections and one feed, which are opened with the first."""

    def __init__(self, settings: Settings, control: Control) -> None:
        self._settings = settings
        self._control = control
        self._started: list[OpenPartition] = []
        self._lock = threading.Lock()
        self._log: tuple[ServerLog, LogServer] | None = None
        self._feed: StoredFeed | None = None

    def open(self, number: int, lease: LastingLease, /) -> OpenPartition:
        """See the Partitions protocol."""
        settings = self._settings
        if self._log is None:
            # Another log's positions would have this one's events passed over.
            known = ControlKnownLog(self._control).get()
            if known is None:
                raise Unavailable("No worker has opened the log yet.", retry_after_s=5)
            instance = ControlSessions(self._control, clock_ms).server_id()
            self._log = attach(settings, instance=instance, floor=0, known=known)
        log, server = self._log
        if self._feed is None:
            self._feed = StoredFeed(server, tellings=self._tellings, want=self._want)
            self._feed.start()
        store = open_partition(settings, lease, number + 1)
        worker = Worker(
            PartitionLog(log, server, number),
            StoreOfPartition(store, number),
            offsets_of(self._control, number, lease),
            settings,
            erased=ErasedInPartition(ControlErasedEvents(self._control), number),
            put_aside=PutAsideInPartition(ControlQuarantine(self._control), number),
            needed_from=lambda: 0,
            on_progress=self._feed.wake,
            clock_ms=clock_ms,
            settle=store.settle,
            drain=False,
            is_shared=True,
        )
        return OpenPartition(self, number, worker, store)

    def store_answers(self) -> bool:
        """See the Partitions protocol."""
        return not examine(self._settings)

    def close(self) -> None:
        """See the Partitions protocol."""
        if self._feed is not None:
            self._feed.stop()
        if self._log is not None:
            self._log[0].close()
        self._control.dispose()

    def add(self, partition: OpenPartition, /) -> None:
        """Tell others of it from now on."""
        with self._lock:
            self._started.append(partition)

    def remove(self, partition: OpenPartition, /) -> None:
        with self._lock:
            self._started.remove(partition)

    def _tellings(self) -> list[Stored]:
        with self._lock:
            started = list(self._started)
        return [each.told() for each in started]

    def _want(self, position: int) -> None:
        with self._lock:
            started = list(self._started)
        for each in started:
            each.worker.want(position)
