"""Puts a damaged log's file aside and starts a new one with every chunk that can still be read. Loses no sound entry.

SQLite refuses to read a damaged page, and with it every trim that touches the page. So everything readable is copied, and a mark
replaces what is not. The worker meets the mark in order and puts it aside.
See docs/decisions/0104-a-torn-log.md.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from headrace.log.checks import Chunk, has_sound_fields
from headrace.log.chunks import bring_up_to_date
from headrace.model.event import first_position

_log = structlog.get_logger("headrace.log")
_SELECT_ROWS = (
    "SELECT last, count, tail, bytes, keys, payloads, spaced, kinds, checks FROM chunks WHERE last > ? ORDER BY last"
)
_SELECT_NEXT_HEAD = (
    "SELECT last, count, tail, bytes, keys, spaced, kinds FROM chunks WHERE last > ? ORDER BY last LIMIT 1"
)
_INSERT = "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MAX = (1 << 63) - 1
_FIRST_STEP_BITS = 6
_UNKNOWN = "the part of the log that held it cannot be read"
_NO_PAYLOADS = "the part of the log that held its bytes cannot be read"
_NO_FIELDS = "the fields of its chunk are damaged, so its id is a new one"
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode
_Row = tuple[Any, ...]
_THE_REST: _Row = ()


def rescue(path: Path, now_ms: int, newest: int, /) -> Path:
    """Copy what can be read into a new file that replaces the log. Returns where the damaged file is now.

    No connection may be open. newest: no position past it was ever given. Entries lost at the end of the file count as lost now.
    After a crash, either the old file is still in place, or `finish` must be called. Raises sqlite3.Error, OSError; then nothing
    has changed.
    """
    part, ready = _part(path), _ready(path)
    for left in (part, part.with_name(part.name + "-journal")):
        left.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as source, closing(_begin(part)) as target:
        with suppress(sqlite3.Error):  # includes the write-ahead file
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        target.execute("BEGIN")
        entries = lost = 0
        for row, is_whole in _rows(source, newest, min(newest, first_position(now_ms))):
            target.execute(_INSERT, row)
            entries += row[1]
            lost += 0 if is_whole else row[1]
        for name, value in _marks(source):
            target.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, min(value, newest)))
        target.execute("COMMIT")
    part.replace(ready)
    _sync(path.parent)
    aside = path.with_name(f"{path.stem}.torn-{now_ms}{path.suffix}")
    _swap(path, ready, aside)
    _log.error("log_was_torn", entries=entries, unreadable=lost, damaged_file=str(aside))
    return aside


def finish(path: Path, now_ms: int, /) -> None:
    """Finish a rescue that was interrupted. Call it before the log is opened. Raises OSError."""
    if _ready(path).exists():
        _swap(path, _ready(path), path.with_name(f"{path.stem}.torn-{now_ms}{path.suffix}"))


def _swap(path: Path, ready: Path, aside: Path) -> None:
    # Move the write-ahead file first: SQLite would apply it to any file with the log's name.
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    ready.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.rescue-part")


def _ready(path: Path) -> Path:
    return path.with_name(f"{path.name}.rescued")


def _begin(part: Path) -> sqlite3.Connection:
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(part, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        bring_up_to_date(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _rows(source: sqlite3.Connection, newest: int, now: int) -> Iterator[tuple[_Row, bool]]:
    """Rows for the new file, in order, each with whether it is complete; a mark replaces what is lost."""
    after = 0
    for row in _read_on(source):
        if row is None or row is _THE_REST:  # only its position is known
            after = after + 1 if row is None else max(after + 1, now)
            yield (after, 1, 0, 0, b"", _pack([]), 0, b"", _UNKNOWN), False
            continue
        typed = _typed(row)
        last, count, tail, size, keys, payloads, spaced, kinds, checks = typed
        if not _is_plausible(typed, after, newest):
            found = _entries(payloads, count)
            after += len(found)
            packed = _pack(found)
            yield (after, len(found), 0, len(packed), b"", packed, 0, b"", _NO_FIELDS), False
            continue
        after = last
        if payloads is None:
            yield (last, count, tail, 0, keys, _pack([]), spaced, kinds, _NO_PAYLOADS), False
            continue
        yield (last, count, tail, size, keys, payloads, spaced, kinds, checks), True


def _typed(row: _Row) -> _Row:
    """The row with empty values in place of blobs that are no longer blobs; their checksums will not match."""
    last, count, tail, size, keys, payloads, spaced, kinds, checks = row
    keys = keys if isinstance(keys, bytes) else b""
    payloads = payloads if payloads is None or isinstance(payloads, bytes) else b""
    checks = checks if isinstance(checks, bytes | str) else b"?"
    return (
        last,
        count,
        tail,
        size if isinstance(size, int) else len(payloads or b""),
        keys,
        payloads,
        spaced,
        kinds,
        checks,
    )


def _is_plausible(row: _Row, after: int, newest: int) -> bool:
    last, count, tail, _, _, payloads, spaced, kinds, checks = row
    try:
        sound = payloads is None or has_sound_fields(last, count, tail, spaced, kinds, checks)
        chunk = Chunk(last, count, tail, b"", spaced, kinds, checks)
        return sound and 0 < count <= 1 << 20 and after < chunk.positions()[0] and last <= newest
    except (TypeError, ValueError, IndexError, OverflowError):  # no longer a number
        return False


def _entries(payloads: bytes | None, count: object) -> list[bytes]:
    try:
        return _unpack(payloads or b"")
    except (msgspec.DecodeError, TypeError):
        return [payloads if isinstance(payloads, bytes) else b""] * (count == 1) or [b""]


def _pack(payloads: list[bytes]) -> bytes:
    return msgspec.msgpack.encode(payloads)


def _read_on(source: sqlite3.Connection) -> Iterator[_Row | None]:
    """Every readable row in file order, with None in place of unreadable payloads.

    None stands for a gap, and _THE_REST for one with nothing readable after it.
    """
    after = 0
    while True:
        try:
            for row in source.execute(_SELECT_ROWS, (after,)):
                yield row
                after = max(after, row[0]) if isinstance(row[0], int) else after
            return
        except sqlite3.Error:
            pass
        try:  # the row's own page may be sound, and only its overflow pages damaged
            head = source.execute(_SELECT_NEXT_HEAD, (after,)).fetchone()
        except sqlite3.Error:
            head = None
        if head:
            last, count, tail, size, keys, spaced, kinds = head
            yield last, count, tail, size, keys, None, spaced, kinds, b""
            after = max(after + 1, last)
            continue
        beyond = _next_readable(source, after)
        if beyond is None:
            yield _THE_REST
            return
        yield None
        after = beyond


def _next_readable(source: sqlite3.Connection, after: int) -> int | None:
    """The least position from which rows can be read again, or None."""
    bits = _FIRST_STEP_BITS
    while not _can_seek(source, min(after + (1 << bits), _MAX)):
        bits += 1
        if after + (1 << bits) >= _MAX:
            return None
    low, high = after, after + (1 << bits)  # not from low, from high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _can_seek(source, middle) else (middle, high)
    return high


def _can_seek(source: sqlite3.Connection, after: int) -> bool:
    try:
        source.execute("SELECT last FROM chunks WHERE last > ? ORDER BY last LIMIT 1", (after,)).fetchone()
    except sqlite3.Error:
        return False
    return True


def _marks(source: sqlite3.Connection) -> list[tuple[str, int]]:
    try:
        return source.execute("SELECT name, value FROM marks").fetchall()
    except sqlite3.Error:
        return []
