"""Folders in memory, where the system has room for them there: a commit does not wait for a disk.

For databases of the test's own process. It may crash, but no test takes the power away; servers keep their data on the disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")
_FREE_BYTES = 1 << 30  # some containers have 64 MiB there


def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="headrace-test-", dir=_place())


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Like `tmp_path`, and gone after the test."""
    with folder() as path:
        yield Path(path)


@cache
def _place() -> Path | None:
    """None for where temporary files are kept as ever."""
    usable = os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > _FREE_BYTES
    return _MEMORY if usable else None
