"""Reads the log's chunks and checks each against its checksums. Never writes, and never looks inside an entry."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import structlog

from headrace.log.checks import Chunk, has_sound_fields, has_sound_keys, payloads_of, saved_from
from headrace.model.entries import Record
from headrace.model.errors import Unavailable
from headrace.model.event import STEP

_SELECT_AFTER = (
    "SELECT last, count, tail, payloads, spaced, kinds, checks FROM chunks WHERE last > ? ORDER BY last"  # a Chunk each
)
_SELECT_ONE = "SELECT last, count, tail, payloads, spaced, kinds, checks, keys FROM chunks WHERE last = ?"
_log = structlog.get_logger("headrace.log")


class Torn(Exception):
    """A part of the log's file is damaged, so that entries cannot be told from each other."""


def is_torn(error: Exception, /) -> bool:
    """Whether an error means that the file itself is damaged, unlike a full disk or a lock."""
    return isinstance(error, Torn) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_no_database(error: Exception, /) -> bool:
    """Whether an error means that the file is not a log, or that its very beginning is damaged."""
    return _code(error) == sqlite3.SQLITE_NOTADB


def _code(error: Exception) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


class ChunkReader:
    """For one thread at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        connect: Callable[[], sqlite3.Connection],
        is_sound: Callable[[bytes], bool],
    ) -> None:
        """connect: opens the same file once more. is_sound: see `checks.payloads_of`."""
        self._connection = connection
        self._connect = connect
        self._is_sound = is_sound

    def read(self, after: int, max_entries: int, max_bytes: int, /) -> list[Record]:
        """See the Log port. Raises Torn, sqlite3.Error."""
        # A cursor that an error left open would keep the file in use, and a rescue would wait five seconds for it.
        with closing(self._connection.execute(_SELECT_AFTER, (after,))) as rows:
            return self._records(rows, after, max_entries, max_bytes)

    def _records(self, rows: Iterable[Any], after: int, max_entries: int, max_bytes: int) -> list[Record]:
        records: list[Record] = []
        size = 0
        for row in rows:
            last, count, tail, _, spaced, kinds, _ = row
            chunk = payloads_of(row, self._is_sound)
            if chunk is None:
                saved = self._look_again(Chunk._make(row))
                entries = [each for each in saved if each.position > after]
            else:
                step = STEP if spaced else 1
                first: int = last - (count - 1) * step
                positions, tails = range(first, last + 1, step), range(tail, tail + count)
                entries = map(Record, positions, tails, chunk, kinds) if kinds else map(Record, positions, tails, chunk)
                whole = size + sum(map(len, chunk))
                if first > after and len(records) + count <= max_entries and whole <= max_bytes:
                    records += entries
                    size = whole
                    continue
            for entry in entries:
                if entry.position <= after:
                    continue
                size += len(entry.payload)
                if records and (len(records) >= max_entries or size > max_bytes):
                    return records
                records.append(entry)
        return records

    def _look_again(self, chunk: Chunk) -> Sequence[Record]:
        """The entries of a damaged chunk, unless a second look at the disk finds it sound."""
        keys = b""
        with suppress(sqlite3.Error), closing(self._connect()) as another:
            found: tuple[Any, ...] | None = another.execute(_SELECT_ONE, (chunk.last,)).fetchone()
            if found:
                *row, keys = found
                chunk = Chunk._make(row)
                keys = keys if has_sound_keys(keys, chunk.checks) else b""
        if (payloads := payloads_of(chunk, self._is_sound)) is not None:
            _log.warning("log_read_again", position=chunk.last)
            tails = range(chunk.tail, chunk.tail + chunk.entries)
            return list(map(Record, chunk.positions(), tails, payloads, chunk.kinds or bytes(chunk.entries)))
        last, count, tail, _, spaced, kinds, checks = chunk
        if not has_sound_fields(last, count, tail, spaced, kinds, checks):
            raise Torn(f"the fields of the chunk at position {last} are damaged")
        return saved_from(chunk, keys, self._is_sound)


def last_position_in(connection: sqlite3.Connection, /) -> int:
    """The last chunk's position; 0 if there is no chunk. Raises Torn if it cannot be trusted, sqlite3.Error."""
    row = connection.execute(
        "SELECT last, count, tail, spaced, kinds, checks FROM chunks ORDER BY last DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return 0
    if not has_sound_fields(*row):
        raise Torn(f"the fields of the chunk at position {row[0]} are damaged")
    return row[0]


def last_position(path: Path, /) -> int:
    """The position of the last durable entry of a log that another process may have open; 0 if there is none.

    Raises Unavailable.
    """
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            asked = (
                "SELECT max((SELECT coalesce(max(last), 0) FROM chunks), "
                "(SELECT coalesce(max(value), 0) FROM marks WHERE name = 'last'))"
            )
            return connection.execute(asked).fetchone()[0]
    except sqlite3.Error as error:
        raise Unavailable(f"The log {path} cannot be read: {error}.") from error
