"""Hangs on purpose, with a server and another process running. Only test_hanging.py runs it."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.forks import run
from tests.server import Server


def test_passes_before() -> None:
    """What forks servers is started here, where it may take as long as on a busy machine."""
    run([sys.executable, "-m", "headrace.cli.main", "--version"])


@pytest.mark.timeout(5)
def test_hangs_on_purpose(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.begin()
    (tmp_path / "server.pid").write_text(str(server.pid))
    (tmp_path / "other.pid").write_text(str(subprocess.Popen(["sleep", "3600"]).pid))
    (lock := threading.Lock()).acquire()
    lock.acquire()


def test_passes_after() -> None:
    pass
