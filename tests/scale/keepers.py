"""What supervises a process of the cluster: starts it again whenever it has ended, as systemd would."""

import threading
from contextlib import suppress

from tests.server import Server

_LOOK_EVERY_S = 0.1
# 0: told to stop; 1: a worker that has lost its lease; 2: something that it needs was away as it started.
_USUAL = (0, 1, 2)


class Keeper:
    """Runs until `stop`. strange: exit codes that no supervisor should see."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.strange: list[int] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> "Keeper":
        self._thread.start()
        return self

    def kill(self) -> None:
        with self._lock:
            self.server.kill()

    def end(self) -> None:
        """SIGTERM."""
        with self._lock:
            if self.server.is_running():
                self._note(self.server.stop())

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            with self._lock:
                if self.server.is_running():
                    continue
                self._note(self.server.wait())
                with suppress(RuntimeError):  # what it needs is away
                    self.server.start()

    def _note(self, code: int) -> None:
        if code not in _USUAL and code != -9:
            self.strange.append(code)
