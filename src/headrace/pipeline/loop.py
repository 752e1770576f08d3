"""A background thread that repeats one step: start, stop, wake, back-off. Knows nothing about the step."""

import threading
from collections.abc import Callable

import structlog

_log = structlog.get_logger("headrace.loop")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_STUCK_AFTER = 3  # failures in a row: fewer may well be over with the next step


class Loop:
    """Calls `step` from its own thread until it is stopped. Any thread may call the public methods.

    `failing`: the last step's error, or "" if it succeeded. `failures`: how many steps have failed since the start.
    `stuck`: like `failing`, once three steps in a row have failed. `fails_with`: the kind of error that `failing` tells of.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        *,
        idle_s: float | None = None,
        drain: bool = False,
        on_failure: Callable[[Exception, float], None] | None = None,
    ) -> None:
        """step: does one piece of work and returns whether there was any. If it raises, the error is logged and it runs again.

        idle_s: how long to wait after a step without work, unless woken; None waits until woken.
        drain: after `stop`, go on until a step finds no work, or fails.
        on_failure: called with the error and the seconds until the retry, instead of logging a traceback.
        """
        self.fails_with: type[Exception] | None = None
        self.failing = ""
        self.stuck = ""
        self.failures = 0
        self.closing = False
        self.changed = threading.Condition()
        self._step = step
        self._idle_s = idle_s
        self._drain = drain
        self._on_failure = on_failure
        self._name = name
        self._woken = False
        self._thread = threading.Thread(target=self._run, name=name)

    @property
    def is_running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step (or once drained), and wait for that."""
        self.ask_to_stop()
        if self._thread.ident is not None:  # it was started
            self._thread.join()

    def ask_to_stop(self) -> None:
        """Like `stop`, without waiting: see `is_running`."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    def is_running_after(self, seconds: float, /) -> bool:
        """Like `is_running`, once the thread has ended or the time is up."""
        if self.is_running:
            self._thread.join(seconds)
        return self.is_running

    def wake(self) -> None:
        """Announce work: end the current idle wait, or else the next one."""
        with self.changed:
            self._woken = True
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """For use in the step: wait until the condition holds (checked at each notification of `changed`) or the time is up."""
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def rest(self, seconds: float) -> None:
        """For use in the step: sleep until the time is up or `stop` is called."""
        if seconds > 0:
            self.wait_for(lambda: self.closing, seconds)

    def _run(self) -> None:
        pause_s, in_a_row = _FIRST_PAUSE_S, 0
        while self._drain or not self.closing:
            try:
                worked = self._step()
            except Exception as error:  # noqa: BLE001  whatever it is, this thread must go on: no other does its work
                self.fails_with = type(error)  # not the error: its frames hold what the step was doing
                self.failing = str(error)[:500] or type(error).__name__
                self.failures += 1
                in_a_row += 1
                self.stuck = self.failing if in_a_row >= _STUCK_AFTER else ""
                self._report(error, pause_s)
                self.rest(pause_s)
                if self.closing:
                    return
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            self.failing = self.stuck = ""
            self.fails_with = None
            pause_s, in_a_row = _FIRST_PAUSE_S, 0
            if worked:
                continue
            if self.closing:
                return
            with self.changed:
                self.changed.wait_for(lambda: self._woken or self.closing, self._idle_s)
                self._woken = False

    def _report(self, error: Exception, pause_s: float) -> None:
        if self._on_failure is not None:
            self._on_failure(error, pause_s)
        else:
            _log.error("step_failed", loop=self._name, retry_in_s=pause_s, exc_info=error)
