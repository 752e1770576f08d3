"""Tells a gateway that runs once the workers have another log than the one that it was started with."""

from collections.abc import Callable

import structlog

from headrace.model.known_log import KnownLog, OtherLog
from headrace.pipeline.loop import Loop

_log = structlog.get_logger("headrace.log_watch")
_LOOK_EVERY_S = 2.0


class LogWatch:
    """other: what is wrong, for whoever runs the gateway; "" if nothing is. It stays until the gateway is started anew."""

    def __init__(self, known: Callable[[], KnownLog | None], at_start: KnownLog | None, /) -> None:
        """known: the log that control knows; raises ControlFailed. at_start: the same as the gateway has found it, and uses."""
        self.other = ""
        self._known = known
        self._own = at_start
        self.loop = Loop("log watch", self.step, idle_s=_LOOK_EVERY_S, on_failure=lambda _error, _pause_s: None)

    def step(self) -> bool:
        """For the loop: returns False so that it rests. A log that was made anew at the same address is no other one.

        Raises ControlFailed.
        """
        known = self._known()
        if known is None or self.other:
            return False
        if self._own is not None and known.id != self._own.id and known.shown != self._own.shown:
            self.other = str(OtherLog(known, self._own.shown))
            _log.error(
                "workers_have_another_log", why=self.other, what="this gateway refuses events and queries: restart it"
            )
            return False
        self._own = known
        return False
