"""Makes message ids known before the first event, as if a log had taken them within the window."""

import os
import shutil
import time
from pathlib import Path

import msgspec

from bench.report import say
from headrace.assembly.clock import clock_ms
from headrace.control.database import open_database
from headrace.control.offsets import ControlOffsets
from headrace.log.known_keys import KnownKeys
from headrace.model.event import first_position
from headrace.model.settings import Settings

_AT_ONCE = 10_000  # as many as one append carries
_AGE_MS = 3_600_000


class Filled(msgspec.Struct, frozen=True):
    """What it took."""

    count: int
    last: int
    seconds: float
    disk_bytes: int


def know(data: Path, count: int, kept: Path | None) -> Filled:
    """Fill a data folder's index with random keys; from a folder kept by an earlier run, where there is one."""
    data.mkdir(parents=True, exist_ok=True)
    keys = data / "log.keys"
    note = kept / f"{count}.json" if kept else None
    if kept and note and note.exists():
        filled = msgspec.json.decode(note.read_bytes(), type=Filled)
        _copy(kept / str(count), keys)
    else:
        filled = _fill(keys, count)
        if kept and note:
            kept.mkdir(parents=True, exist_ok=True)
            _copy(keys, kept / str(count))
            note.write_bytes(msgspec.json.encode(filled))
    # The events of these keys are long stored, so the positions up to the last are committed.
    engine = open_database(data / "control.sqlite")
    ControlOffsets(engine).commit(filled.last)
    engine.dispose()
    return filled


def _fill(folder: Path, count: int) -> Filled:
    settings = Settings()
    started = time.perf_counter()
    keys = KnownKeys(folder, window_s=settings.dedup_window_s, max_bytes=settings.dedup_max_bytes)
    first = first_position(clock_ms() - _AGE_MS)
    for start in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - start)
        drawn = os.urandom(16 * size)
        given = {drawn[16 * i : 16 * i + 16]: (first + start + i, i) for i in range(size)}
        keys.add(given, first + start + size - 1)
        if start % (_AT_ONCE * 500) == 0 and start:
            say(f"{start:,} known after {time.perf_counter() - started:.0f} s")
    keys.close()
    seconds = time.perf_counter() - started
    return Filled(count, first + count - 1, seconds, sum(file.stat().st_size for file in folder.rglob("*.sst")))


def _copy(source: Path, target: Path) -> None:
    """Files that are never written again are shared, for they are gigabytes."""

    def copy(file: str, into: str) -> None:
        (os.link if file.endswith(".sst") else shutil.copy)(file, into)

    shutil.copytree(source, target, copy_function=copy, ignore=shutil.ignore_patterns("LOCK"))
