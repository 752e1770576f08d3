"""Hangs on purpose, with a server and another process running. Only test_hanging.py runs it."""

import subprocess
import threading
from pathlib import Path

import pytest

from tests.server import Server


def test_passes_before() -> None:
    pass


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
