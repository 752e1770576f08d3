"""Folders in memory, where the system has room for them there: no commit waits for a disk, and no file costs its file system a turn.

Tests kill processes and never take the power away, so a file in memory keeps what one on a disk would keep. The servers of
`make soak` and `make demo` have their data on the disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil
import pytest

_MEMORY = Path("/dev/shm")
_FREE_BYTES = 4 << 30  # a whole run needs less than one at once; some containers have 64 MiB there


def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="headrace-test-", dir=place())


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Like `tmp_path`, and gone after the test, also after one that failed."""
    with folder() as path:
        yield Path(path)


def keep_tmp_path_here() -> None:
    """From now on pytest makes its temporary folders here, unless the environment or `--basetemp` says where."""
    if found := place():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(found))


@cache
def place() -> Path | None:
    """None for where temporary files are kept as ever."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    free_bytes = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    return _MEMORY if free_bytes > _FREE_BYTES else None
