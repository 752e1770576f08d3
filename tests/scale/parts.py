"""The servers that a cluster under a soak stands on, and a proxy in front of each."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.postgres import Postgres
from tests.scale.proxy import Proxy, to_port, to_socket
from tests.scale.store_process import Gate, StoreProcess
from tests.valkey_server import Valkey

_UNDER_WAY_S = 30


class Parts:
    """Valkey, PostgreSQL and the face of a ClickHouse. Each worker has a way to PostgreSQL of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.valkey = Valkey()
        self.postgres = Postgres(Path(tempfile.mkdtemp(prefix="headrace-postgres-")))
        self.postgres.prepare()
        self.store = StoreProcess(folder / "store")
        self.gate: Gate | None = None
        log, control, self.to_store = to_port(self.valkey.port), self._to_control(), to_port(self.store.port)
        self.to_control_of_worker = [self._to_control(), self._to_control()]
        self.proxies = [log, control, self.to_store, *self.to_control_of_worker]
        self.own_control_url = self.postgres.migrated()
        self.urls = (
            f"valkey://127.0.0.1:{log.port}",
            self._control_url(control.port),
            f"http://127.0.0.1:{self.to_store.port}/events",
        )
        self.of_workers = [{"HEADRACE_CONTROL_URL": self._control_url(each.port)} for each in self.to_control_of_worker]

    def _to_control(self) -> Proxy:
        return to_socket(self.postgres.socket)

    def _control_url(self, port: int) -> str:
        there = make_url(self.own_control_url)
        return f"postgresql://{there.username}@127.0.0.1:{port}/{there.database}"

    def make_gate(self) -> Gate:
        """Call it once the store has its tables."""
        self.gate = Gate(self.store, self.folder)
        return self.gate

    def until_inserted(self) -> None:
        """Wait until the next insert is under way as it was asked for."""
        until_under_way(self.store.has_done_so)

    def revive_postgres(self) -> None:
        for _ in range(20):
            with suppress(subprocess.SubprocessError, AssertionError):
                self.postgres.revive()
                return
            time.sleep(0.5)
        raise AssertionError("PostgreSQL does not start again")

    def calm(self) -> None:
        self.store.calm()
        for each in self.proxies:
            each.delay_s = 0
            each.let_go()

    def close(self) -> None:
        for each in self.proxies:
            each.close()
        self.store.kill()
        self.postgres.stop()
        self.valkey.remove()


def until_under_way(look: Callable[[], bool], seconds: float = _UNDER_WAY_S) -> bool:
    """Whether it has come about within that time; it may never, while others are held up."""
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
