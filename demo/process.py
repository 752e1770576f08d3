"""A `headrace serve` of one's own, and a client for it: one connection, one request at a time."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from examples import Request

HEADRACE = (sys.executable, "-m", "headrace.cli.main")
START_TIMEOUT_S = 120
_LISTENING = re.compile(rb'^\{.*"event": ?"listening".*\}$', re.MULTILINE)
# A client sees one of these when the server goes away.
LOST = (OSError, http.client.HTTPException)


class Failed(Exception):
    """The demo cannot go on; the message says why."""


class Server:
    """A server over one data folder, on a free port. Its log is a file beside its data."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        # The demo shows the defaults, whatever is set around it.
        # A killed server's temporary files go where the rest of it is.
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
        self._environ["TMPDIR"] = str(folder)
        # Its webhook is on this machine, which is refused otherwise.
        self._environ["HEADRACE_WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8"

    def start(self) -> None:
        """Return once it is ready. Raises Failed."""
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [*HEADRACE, "serve", "--port", "0", "--data", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            ended = self._process.poll()
            if match := _LISTENING.search(self.log.read_bytes(), begin):
                self.url = json.loads(match[0])["url"]
                if self._is_ready():
                    return
            if ended is not None:
                raise Failed(f"The server ended with exit code {ended} before it was ready.")
            time.sleep(0.02)
        raise Failed(f"The server was not ready within {START_TIMEOUT_S} s.")

    def _is_ready(self) -> bool:
        try:
            return Client(self.url, "").send(Request("GET", "/ready", {}, None)).status == 200
        except LOST:
            return False

    def kill(self) -> None:
        """SIGKILL: it gets no chance to finish anything."""
        assert self._process is not None
        self._process.kill()

    def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> int | None:
        """SIGTERM; the exit code, or None if it never ran. Does nothing to one that has ended."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def create_keys(self, styles: Sequence[str], project: str = "default") -> dict[str, str]:
        """A key of each style, made with `headrace keys create` while the server runs."""
        commands = {
            style: subprocess.Popen(
                [*HEADRACE, "keys", "create", "--style", style, "--project", project, "--data", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env=self._environ,
                text=True,
            )
            for style in styles
        }
        keys = {style: command.communicate()[0].strip() for style, command in commands.items()}
        if failed := [style for style, command in commands.items() if command.returncode]:
            raise Failed(f"`headrace keys create` failed for {', '.join(failed)}.")
        return keys


class Reply(NamedTuple):
    status: int
    json: Any
    ms: float


class Client:
    """One connection with one key."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        self._key = key
        self._used_at = 0.0

    def send(self, request: Request) -> Reply:
        """Send a request with this client's key in the place of the request's own. Raises those in LOST."""
        headers = {name: self._with_key(name, text) for name, text in request.headers.items()}
        if time.monotonic() - self._used_at > 2:
            self._connection.close()  # the server ends one that is idle for long; the next line opens it again
        begin = time.perf_counter()
        self._connection.request(request.method, request.target, request.body, headers)
        response = self._connection.getresponse()
        body = response.read()
        ms = (time.perf_counter() - begin) * 1000
        self._used_at = time.monotonic()
        try:
            return Reply(response.status, json.loads(body), ms)
        except ValueError:
            raise Failed(f"{request.method} {request.target} was answered by no JSON: {body[:200]!r}") from None

    def _with_key(self, name: str, text: str) -> str:
        if name == "Authorization":
            return f"Bearer {self._key}"
        return self._key if name.lower() == "x-api-key" else text
