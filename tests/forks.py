"""Starts what `python -m module` would start, by a fork of a process that has imported headrace already.

A server's start takes a second of processor, of which three quarters are imports, and the tests start hundreds of servers and
commands. Everything else is as it would be; a test that is about how a process starts, or what it is called, starts it itself.
Where that cannot be done (not on Linux), and for other commands, the process is started as always.
"""

import atexit
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

EXIT_CODE = struct.Struct("i")
MAX_REQUEST_BYTES = 128 * 1024
_POSSIBLE = sys.platform == "linux" and hasattr(os, "pidfd_open")
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC")  # variables that are read as a process starts
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}  # of numpy and pyarrow
_lock = threading.Lock()


class Fork:
    """A process, with what tests use of `subprocess.Popen`. Any thread may wait for it."""

    def __init__(
        self, args: Sequence[str], environ: Mapping[str, str], fds: tuple[int, int, int], stderr: IO[str] | None = None
    ) -> None:
        """fds: its stdin, stdout and stderr; they stay open here."""
        self.args = list(args)
        self.stderr = stderr
        self.returncode: int | None = None
        self._reading = threading.Lock()
        self._ended, tells = os.pipe()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        request = json.dumps([self.args[2], self.args[3:], dict(environ), str(Path.cwd()), limits]).encode()
        assert len(request) <= MAX_REQUEST_BYTES
        try:
            with _lock:
                control = _control()
                socket.send_fds(control, [request], [*fds, tells])
                self.pid = int(control.recv(100))
        finally:
            os.close(tells)

    def poll(self) -> int | None:
        if self.returncode is None and _is_readable(self._ended, 0):
            self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if not _is_readable(self._ended, timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> int:
        with self._reading:
            if self.returncode is None:
                said = os.read(self._ended, EXIT_CODE.size)
                assert said, "the process that forks has ended"
                (self.returncode,) = EXIT_CODE.unpack(said)
            return self.returncode

    def __del__(self) -> None:
        os.close(self._ended)


Process = Fork | subprocess.Popen[str]


def start(command: Sequence[str], environ: Mapping[str, str], *, by_fork: bool = True) -> Process:
    """The process, whose stderr is a pipe and whose stdout nobody reads."""
    if not by_fork or not _may_fork(command, environ):
        pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        return subprocess.Popen(command, text=True, env=environ, **pipes)  # type: ignore[call-overload]
    reads, writes = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    try:
        return Fork(command, environ, (null, null, writes), os.fdopen(reads))
    finally:
        os.close(writes)
        os.close(null)


def run(
    command: Sequence[str], environ: Mapping[str, str] | None = None, given: str = "", timeout: float = 110
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives of it. given: what it can read from stdin. Raises subprocess.TimeoutExpired, having killed it."""
    environ = os.environ if environ is None else environ
    if not _may_fork(command, environ):
        return subprocess.run(command, env=environ, input=given, capture_output=True, text=True, timeout=timeout)
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        stdin.write(given)
        stdin.seek(0)
        process = Fork(command, environ, (stdin.fileno(), out.fileno(), err.fileno()))
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(list(command), code, out.read(), err.read())


def _may_fork(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Not where Python itself, or what lies below it, is told how to start."""
    asked = {name for name, value in environ.items() if name.startswith(_AT_START) and value != os.environ.get(name)}
    return _POSSIBLE and list(command[:2]) == [sys.executable, "-m"] and asked <= {"PYTHONFAULTHANDLER"}


@cache
def _control() -> socket.socket:
    """Where to ask the process that forks, one for this process; it ends with this one."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        command = [sys.executable, "-m", "tests.forking", str(there.fileno())]
        null = subprocess.DEVNULL
        environ = os.environ | _NO_THREADS
        forking = subprocess.Popen(command, pass_fds=[there.fileno()], stdin=null, stdout=null, env=environ)

    def end() -> None:
        here.close()
        forking.wait()

    atexit.register(end)
    assert here.recv(100) == b"ready"
    return here


def _is_readable(fd: int, timeout_s: float | None) -> bool:
    poll = select.poll()  # unlike select.select, for any number of a file
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else max(0, timeout_s * 1000)))
