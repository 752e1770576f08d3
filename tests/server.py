"""A real server process, and a client that holds every reply against the OpenAPI document."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import httpx

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from headrace.model.event import Mode
from headrace.model.keys import Scope, Style
from tests.forks import Process, start
from tests.openapi import validator
from tests.ports import bound

_END_TIMEOUT_S = 60
_START_TIMEOUT_S = 120
_SAID_TIMEOUT_S = 60

_ABORT_TIMEOUT_S = 10


class Server:
    """`headrace serve`. `start` returns once it listens; `stop` sends SIGTERM, `kill` SIGKILL.

    Its port is its own, also while it is down: what is still sent there reaches no server of another test.
    """

    def __init__(
        self, data: Path, settings: Mapping[str, str] = {}, command: list[str] | None = None, *, by_fork: bool = True
    ) -> None:
        """by_fork: see tests/forks.py; otherwise each start is one of a new Python."""
        self.data = data
        self._by_fork = by_fork
        self._settings = settings
        self._command = command or [sys.executable, "-m", "headrace.cli.main", "serve"]
        self._process: Process | None = None
        self._drainer = threading.Thread()
        self._port = 0
        if sys.platform == "linux":  # see tests/ports.py
            kept = bound()
            self._port = kept.getsockname()[1]
            weakref.finalize(self, os.close, kept.detach())
        self.logs: list[dict[str, Any]] = []
        self.url = ""
        self.listened = False
        self._earlier_lines = 0

    def start(self) -> "Server":
        self.begin()
        return self.wait_until_listening()

    def begin(self) -> None:
        """Start the process and do not wait for anything: `kill` may meet it at any moment."""
        self.listened = False
        self._earlier_lines = len(self.logs)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        environ |= {
            "PYTHONFAULTHANDLER": "1",
            "HEADRACE_RATE_LIMITS": "off",
            "HEADRACE_CONSOLE_ATTEMPTS": "1000000",
            # A busy machine is no reason for 503, or for the sync route to answer 202. (The clients here wait for a minute.)
            "HEADRACE_QUERY_WAIT_S": "120",
            "HEADRACE_FRESHNESS_TIMEOUT_S": "50",
            "HEADRACE_SYNC_DEADLINE_S": "50",
        } | dict(self._settings)
        command = [*self._command, "--port", str(self._port), "--data", str(self.data)]
        self._process = start(command, environ, by_fork=self._by_fork)
        # A test that fails before it stops its server leaves none behind.
        atexit.register(self._process.kill)

    def wait_until_listening(self) -> "Server":
        assert self._process is not None
        assert self._process.stderr is not None
        hung = threading.Timer(_START_TIMEOUT_S, self._end_what_hangs)
        hung.start()
        for line in self._process.stderr:
            self._keep(line)
            if self.logs and self.logs[-1].get("event") == "listening":
                self.url = self.logs[-1]["url"]
                self.listened = True
                hung.cancel()
                break
        else:
            hung.cancel()
            raise RuntimeError(f"the server ended with {self._end()}: {self.logs}")
        self._drainer = threading.Thread(target=self._drain, args=(self._process.stderr,), daemon=True)
        self._drainer.start()
        return self

    def _end_what_hangs(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGABRT)  # with a stack of each thread
        try:
            self._process.wait(_ABORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # the engine may have taken the signal
            self._process.kill()

    def _drain(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self._keep(line)

    def said(self, event: str, of: str = "") -> list[dict[str, Any]]:
        """The log's lines of this event that have this text in a field, once there is one.

        Lines arrive in their own time, also after a reply that tells of the same.
        """
        until = time.monotonic() + _SAID_TIMEOUT_S
        while not (found := [line for line in list(self.logs) if line.get("event") == event and of in str(line)]):
            assert time.monotonic() < until, f"the server's log has no line {event!r} of {of!r}: {self.logs}"
            time.sleep(0.01)
        return found

    def _keep(self, line: str) -> None:
        self.logs.append(json.loads(line) if line.startswith("{") else {"event": line.rstrip()})

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None

    def wait(self) -> int:
        """The exit code, once the process has ended; one that does not within a minute is killed, and the test fails."""
        assert self._process is not None
        code = self._end()
        if self._drainer.is_alive():
            self._drainer.join(_END_TIMEOUT_S)
        elif self._process.stderr and not self._process.stderr.closed:
            self._drain(self._process.stderr)  # nobody has waited for it to listen
            self.listened = any(line.get("event") == "listening" for line in self.logs[self._earlier_lines :])
        return code

    def _end(self) -> int:
        assert self._process is not None
        try:
            return self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_TIMEOUT_S)
            raise

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self.wait()

    def key(
        self,
        project: str = "default",
        mode: Mode = "live",
        style: Style = "admin",
        scopes: frozenset[Scope] | None = None,
        origins: Sequence[str] = (),
    ) -> str:
        """A new key's secret, made as `headrace keys create` makes it: beside the server, in the control database."""
        engine = open_database(self.data / "control.sqlite")
        try:
            return Keys(engine).create(project, mode, style, scopes, clock_ms(), origins=origins)[1]
        finally:
            engine.dispose()

    def client(self, key: str | None = None) -> "Client":
        return Client(self.url, key)


class Client(httpx.Client):
    """An HTTP client that fails on any reply that the OpenAPI document does not describe, and on any 500."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # There is no TLS, and to load the authorities that `verify` would ask takes 50 ms a client.
        super().__init__(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False)

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        response = super().send(request, **options)
        response.read()
        if response.status_code == 503 and "PYTEST_CURRENT_TEST" in os.environ:  # which shows this if the test fails
            print(request.method, request.url, response.text)
        path = request.url.path
        if path.startswith(
            ("/api/v1/users/", "/api/v1/participants/", "/api/v1/groups/", "/v1/groups/")
        ):  # each id is one segment, whatever is in it
            path = request.url.raw_path.partition(b"?")[0].decode()
        validator.check(request.method, path, response.status_code, response.headers, response.content)
        return response
