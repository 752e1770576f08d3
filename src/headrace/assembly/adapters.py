"""Opens the data folder and the log, store and control in it. Only this file and `control_adapters.py` name adapters."""

from contextlib import suppress

import msgspec
import structlog

from headrace.assembly import integrity
from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control, take_partition
from headrace.assembly.folder import DataFolder
from headrace.assembly.log import LogOfFolder
from headrace.assembly.roles import HeldPartition
from headrace.assembly.store import open_store
from headrace.control.erasures import ControlErasedEvents
from headrace.control.known_log import ControlKnownLog
from headrace.control.offsets import ControlOffsets
from headrace.control.partition_offsets import furthest
from headrace.control.quarantine import ControlQuarantine
from headrace.control.reaction_states import CONSUMER as REACTIONS
from headrace.control.sessions import ControlSessions
from headrace.model.errors import Unavailable
from headrace.model.settings import Settings
from headrace.ports.control import ControlFailed, LeaseLost
from headrace.upkeep.relearn import relearn

_log = structlog.get_logger("headrace")


class Adapters:
    """A server's log, store and control, open until `close`."""

    def __init__(self, settings: Settings, held: HeldPartition | None = None) -> None:
        """Take the data folder and open everything.

        held: control and the partition's lease, if they were opened before.
        Raises SettingsError if the folder cannot be used or another server holds it, StoreFailed, Unavailable.
        """
        self.folder = DataFolder(settings.data)
        self.damage = integrity.problems(settings, quick=True)
        for problem in self.damage:
            _log.error("folder_damaged", problem=problem)
        lacks = integrity.missing(settings)
        if held is None:
            self.control = open_control(settings)
            self.leases, self.lease = take_partition(self.control)
        else:
            self.control, self.leases, self.lease = held.control, held.leases, held.lease
        self.offsets = ControlOffsets(self.control, lease=self.lease)
        self.erased = ControlErasedEvents(self.control)
        self.quarantine = ControlQuarantine(self.control)
        self.store = open_store(settings, self.lease, is_restoring=held is not None and held.is_restoring)
        self._is_log_shared = bool(settings.log_url)
        # Of a database that is a file in the folder, the folder's own note says as much.
        self._known_log = ControlKnownLog(self.control) if self._is_log_shared and self.lease is not None else None
        self._of_folder = LogOfFolder(
            settings,
            instance=ControlSessions(self.control, clock_ms).server_id(),
            floor=self.store.last(furthest(self.control)),
            done=self.done(),
            known=None if self._known_log is None else self._known_log.get(),
        )
        if self._known_log is not None and (found := self._of_folder.found) is not None:
            with suppress(LeaseLost):  # then another worker says which one it is
                self._known_log.set(msgspec.structs.replace(found, process=self.leases.process), self.lease)
        self.log, self.spare_log_bytes = self._of_folder.log, self._of_folder.spare_bytes
        self.log_server = self._of_folder.server
        # Gateways go on appending: no shutdown leaves a log that nobody needs.
        self._may_settle = settings.role == "all"
        # A folder that has never held an event lacks nothing.
        self.missing = lacks if self.log.last() or self.offsets.position() else []
        if self._of_folder.missing:
            self.missing.append(self._of_folder.missing)
        for problem in self.missing:
            _log.error("folder_incomplete", problem=problem)
        relearn(self.log, self.store, self.erased, self.quarantine)

    @property
    def append_limits(self) -> dict[str, int]:
        """How much intake groups into one append: on a server, an append of this size delays everybody else by some 5 ms."""
        return {"max_entries_per_append": 1000, "max_bytes_per_append": 1 << 20} if self._is_log_shared else {}

    def elsewhere(self) -> str:
        """Why this log is not the one that events are stored from, or ""."""
        return ""

    def done(self) -> int:
        """The position up to which everything is stored and was reacted to: nobody needs the log. Raises ControlFailed."""
        return min(self.offsets.position(), ControlOffsets(self.control, REACTIONS).position())

    def probe(self) -> None:
        """Write something to the store and to the log, and remove it. Raises StoreFailed, Unavailable if that cannot be done."""
        self.store.probe()
        self.log.probe()

    def close(self) -> None:
        """Close everything, and release the folder for the next server."""
        self.store.close()
        if self._may_settle:
            with suppress(ControlFailed, LeaseLost, Unavailable):  # then the next start asks for the log's server
                if self._of_folder.settled(self.done()) and self._known_log is not None:
                    self._known_log.set(None, self.lease)
        self.log.close()
        if self.lease is not None:
            with suppress(ControlFailed):  # then it expires
                self.lease.release()
        self.control.dispose()
        self.folder.release()
