"""Two gateways and two workers on one Valkey, one PostgreSQL and the face of a ClickHouse, and what is done to them."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.server import Client, Server
from tests.waiting import until

_PATIENCE_S = 120


class Cluster:
    """`start` returns once both gateways listen and a worker is active."""

    def __init__(
        self,
        folder: Path,
        log_url: str,
        control_url: str,
        store_url: str,
        *,
        own_control_url: str = "",
        stale_gateway: int | None = None,
        of_workers: Sequence[Mapping[str, str]] = ({}, {}),
        **settings: str,
    ) -> None:
        """own_control_url: by which this process reaches control, if the servers' leads through a proxy.

        stale_gateway: the number of one that answers queries while the log is away.
        of_workers: settings of each worker alone.
        """
        self.settings = {
            "HEADRACE_LOG_URL": log_url,
            "HEADRACE_CONTROL_URL": control_url,
            "HEADRACE_STORE_URL": store_url,
            "HEADRACE_TRUSTED_PROXIES": "127.0.0.0/8",
            **settings,
        }
        self.gateways = [
            Server(
                folder / f"gateway{n}",
                self.settings
                | {"HEADRACE_ROLE": "gateway"}
                | ({"HEADRACE_STALE_READS": "on"} if n == stale_gateway else {}),
            )
            for n in range(2)
        ]
        self._of_workers = [self.settings | {"HEADRACE_ROLE": "worker"} | own for own in of_workers]
        self.workers = [Server(folder / f"worker{n}", own) for n, own in enumerate(self._of_workers)]
        self._engine = create_engine(
            make_url(own_control_url or control_url).set(drivername="postgresql+psycopg"), pool_pre_ping=True
        )
        server = self._engine.url.set(database="postgres")
        self._server = create_engine(server, isolation_level="AUTOCOMMIT")
        self.admin = ""

    def start(self) -> "Cluster":
        for each in (*self.workers, *self.gateways):
            each.begin()
        for each in (*self.workers, *self.gateways):
            each.wait_until_listening()
        self.admin = self.key("admin")
        self.active()
        return self

    def key(self, style: str, project: str = "p") -> str:
        return Keys(self._engine).create(project, "live", style, None, clock_ms())[1]  # pyright: ignore[reportArgumentType]

    def client(self, gateway: int = 0, key: str | None = None) -> Client:
        return self.gateways[gateway].client(key or self.admin)

    def patient(self, gateway: int = 0, key: str | None = None) -> Client:
        return PatientClient(self.gateways[gateway].url, key or self.admin)

    def active(self) -> Server:
        """The active worker, once one is."""
        found: list[Server] = []

        def look() -> bool:
            found[:] = [each for each in self.workers if each.is_running() and role_of(each) == "worker"]
            return bool(found)

        wait_until(look)
        return found[0]

    def other(self, worker: Server) -> Server:
        return next(each for each in self.workers if each is not worker)

    def twin(self, worker: Server, folder: Path) -> Server:
        """Another process that takes itself for this worker. Not started."""
        return Server(folder / worker.data.name, self._of_workers[self.workers.index(worker)])

    def expire_leases(self, worker: Server) -> None:
        """As if ten seconds had passed since this worker last renewed its leases. Those of others, who do, are as they are."""
        processes = [line["process"] for line in list(worker.logs) if "process" in line]
        with self._engine.begin() as connection:
            expire = text("UPDATE leases SET expires_at_ms = 0 WHERE split_part(owner, '/', 1) = ANY(:processes)")
            connection.execute(expire, {"processes": processes})

    def close_control(self) -> None:
        """As if its server were away."""
        self._admit("false")
        with self._server.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                {"name": self._engine.url.database},
            )

    def open_control(self) -> None:
        self._admit("true")

    def _admit(self, whether: str) -> None:
        with self._server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {self._engine.url.database} ALLOW_CONNECTIONS {whether}"))

    def freeze(self, worker: Server) -> None:
        os.kill(worker.pid, signal.SIGSTOP)

    def thaw(self, worker: Server) -> None:
        os.kill(worker.pid, signal.SIGCONT)

    def scalar(self, sql: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.scalar(text(sql)) or 0)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def know_log(self, log_id: str, shown: str, process: str) -> None:
        """Control knows this log, as if this process had opened it."""
        values = {"id": log_id, "at": shown, "of": process}
        with self._engine.begin() as connection:
            connection.execute(text("UPDATE instance SET log_id = :id, log_at = :at, log_of = :of"), values)

    def holders(self) -> dict[str, str]:
        """The process that stores each partition, by the name of its lease."""
        living = "expires_at_ms > extract(epoch FROM clock_timestamp()) * 1000"
        found = self.rows(f"SELECT name, owner FROM leases WHERE name LIKE 'storing/%' AND {living}")
        return {name: owner.partition("/")[0] for name, owner in found}

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes, gateways first."""
        codes = [each.stop() for each in (*self.gateways, *self.workers)]
        self._engine.dispose()
        self._server.dispose()
        return codes


class PatientClient(Client):
    """Asks again while it gets 503, as while a worker is taking over. What it sends has a key, so that it counts once."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        return until(partial(super().send, request, **options), lambda reply: reply.status_code != 503)


def role_of(server: Server) -> str:
    with server.client() as client:
        try:
            return str(client.get("/ready", timeout=5).json().get("role"))
        except (httpx.TransportError, ValueError):  # it is starting, ending or suspended
            return ""


def wait_until(reached: Callable[[], bool], what: str = "") -> None:
    until = time.monotonic() + _PATIENCE_S
    while not reached():
        assert time.monotonic() < until, f"never came about: {what}"
        time.sleep(0.05)
