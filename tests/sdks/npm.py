"""The npm packages of tests/sdks/node, installed once from the lock file and kept."""

import fcntl
import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"
_INSTALL_TIMEOUT_S = 300


def node() -> str:
    """Where node is, with the packages installed. Skips the test, saying why, where that cannot be."""
    if reason := _missing():
        pytest.skip(reason)
    return shutil.which("node") or ""


@cache
def _missing() -> str:
    """Why the packages cannot be used, or "". Asked once a run: a second try would fail as slowly as the first."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node or npm is not installed (on Debian: apt-get install nodejs npm)"
    major = (
        subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip().lstrip("v").split(".")[0]
    )
    if not major.isdigit() or int(major) < 20:
        return f"node is version {major or 'unknown'}; the SDKs need 20"
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
        stamp = FOLDER / "node_modules" / ".headrace"
        if stamp.exists() and stamp.read_text() == wanted:
            return ""
        try:
            done = subprocess.run(["npm", "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"npm ci did not end within {_INSTALL_TIMEOUT_S} s"
        if done.returncode:
            return f"npm ci failed: {' '.join(done.stderr.split())[-300:]}"
        stamp.write_text(wanted)
    return ""
