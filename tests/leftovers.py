"""No process that a test started outlives the process that ran the test, however that one ends.

python tests/leftovers.py MARK: waits until its stdin closes, then kills every process whose environment has the mark.
Only where there is a /proc; elsewhere a run that is ended by force may leave servers behind.
"""

import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

_VARIABLE = "TESTED_BY"


def kill_when_this_process_ends() -> "subprocess.Popen[bytes]":
    """Mark what this process starts from here on, and start the process that kills it. Keep what this returns."""
    mark = os.environ[_VARIABLE] = uuid.uuid4().hex
    # A session of its own, so that Ctrl-C and the end of a terminal leave it to its work.
    return subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def marked(mark: str) -> list[int]:
    wanted = f"{_VARIABLE}={mark}".encode()
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to somebody else
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


if __name__ == "__main__":
    sys.stdin.buffer.read()
    while pids := marked(sys.argv[1]):  # again, for what these have just started
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
