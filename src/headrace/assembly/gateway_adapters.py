"""What a gateway opens: the same three servers as a worker, without a lease, and without bringing anything up to date."""

import time
from contextlib import suppress

import structlog

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control
from headrace.assembly.folder import DataFolder
from headrace.assembly.log import attach, require_known
from headrace.assembly.log_watch import LogWatch
from headrace.assembly.store import open_reader
from headrace.control.erasures import ControlErasedEvents
from headrace.control.known_log import ControlKnownLog
from headrace.control.leases import ControlLeases
from headrace.control.offsets import ControlOffsets
from headrace.control.quarantine import ControlQuarantine
from headrace.control.sessions import ControlSessions
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.known_log import OtherLog
from headrace.model.settings import Settings

_log = structlog.get_logger("headrace")
_FIRST_WORKER_S, _LOOK_EVERY_S = 60.0, 0.2
_CHANGE_S = 5.0  # a worker that makes another log has told control of it by then
_MOVED = "The workers of this gateway have another log now. Whoever runs it: restart it with their HEADRACE_LOG_URL."


class GatewayAdapters(Adapters):
    """Keeps nothing in the data folder that another start needs."""

    def __init__(self, settings: Settings) -> None:  # pyright: ignore[reportMissingSuperCall]
        """Waits a minute for the first worker, which makes the log and the tables. Raises SettingsError, StoreFailed."""
        self.folder = DataFolder(settings.data)
        self.damage, self.missing = [], []
        self.control = open_control(settings)
        self.leases, self.lease = ControlLeases(self.control), None
        self.offsets = ControlOffsets(self.control)
        self.erased = ControlErasedEvents(self.control)
        self.quarantine = ControlQuarantine(self.control)
        self._is_log_shared, self._may_settle = True, False
        instance, known_log = ControlSessions(self.control, clock_ms).server_id(), ControlKnownLog(self.control)
        began, has_waited = time.monotonic(), False
        while True:
            try:
                known, floor = known_log.get(), self.offsets.position()
                self.log, self.log_server = attach(settings, instance=instance, floor=floor, known=known)
                break
            except OtherLog:
                if time.monotonic() - began > _CHANGE_S:
                    raise
            except Unavailable as error:
                if time.monotonic() - began > _FIRST_WORKER_S:
                    with suppress(Unavailable):
                        require_known(settings, known_log.get())
                    raise SettingsError(
                        f"{error} Start one: `headrace serve --role worker`, with the same HEADRACE_LOG_URL, "
                        "HEADRACE_CONTROL_URL and HEADRACE_STORE_URL."
                    ) from error
            if not has_waited:
                _log.info("waiting_for_a_worker")
                has_waited = True
            time.sleep(_LOOK_EVERY_S)
        self.log_watch = LogWatch(known_log.get, known)
        self.spare_log_bytes = self.log.max_bytes // 2
        self.store = open_reader(settings)

    def elsewhere(self) -> str:
        return _MOVED if self.log_watch.other else ""

    def close(self) -> None:
        """Close everything, and release the folder."""
        self.store.close()
        self.log.close()
        self.control.dispose()
        self.folder.release()
