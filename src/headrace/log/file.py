"""The log's file, open on two connections: one to append and trim, one to read. Replaces a damaged file by what can be read."""

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import structlog

from headrace.log import space, write_ahead
from headrace.log.chunks import bring_up_to_date
from headrace.log.reading import ChunkReader, Torn, is_no_database, is_torn, last_position_in
from headrace.log.rescue import finish, rescue
from headrace.model.errors import Unavailable
from headrace.model.event import first_position

# No clock is this far ahead: a greater position was never given, but read from a damaged file.
_A_YEAR_MS = 366 * 86_400_000

_NO_DATABASE = (
    " Put a copy of it back, or move it and its -wal file out of the folder: the server then begins a new log, "
    "and lacks the events that were acknowledged and not stored yet."
)

_log = structlog.get_logger("headrace.log")


class LogFile:
    """Hold `writing` to use `writer`, and `reading` to use `reader` and `chunks`.

    times_opened: grows each time the file was replaced.
    """

    def __init__(self, path: Path, *, clock_ms: Callable[[], int], is_sound: Callable[[bytes], bool]) -> None:
        """Does not open the file yet. is_sound: see `checks.payloads_of`."""
        self.writing = threading.Lock()
        self.reading = threading.Lock()
        self.times_opened = 0
        self._path = path
        self._clock_ms = clock_ms
        self._is_sound = is_sound
        self._torn = ""  # why the file must be put aside before it is used again

    def open(self) -> tuple[int, int]:
        """Open or create the file, after repairing it. Returns its last position and its bytes of payload.

        Raises Unavailable if it cannot be opened or is not a log.
        """
        try:
            finish(self._path, self._clock_ms())
            write_ahead.mend(self._path, self._clock_ms())
            try:
                return self._open()
            except (sqlite3.Error, Torn) as error:
                if not is_torn(error) or is_no_database(error):
                    raise
                _log.error("log_torn", path=str(self._path), why=str(error))
                rescue(self._path, self._clock_ms(), first_position(self._clock_ms() + _A_YEAR_MS))
                return self._open()
        except (sqlite3.Error, OSError, Torn) as error:
            raise self.cannot_be_opened(error) from error

    def cannot_be_opened(self, error: Exception, /) -> Unavailable:
        how = _NO_DATABASE if is_no_database(error) else ""
        return Unavailable(f"The log {self._path} cannot be opened: {error}.{how}")

    def _open(self) -> tuple[int, int]:
        """Raises sqlite3.Error, OSError, Torn."""
        self._connect_both()
        try:
            marked = self.mark("last")
            [(size,)] = self.reader.execute("SELECT coalesce(sum(bytes), 0) FROM chunks")
            return max(marked, last_position_in(self.reader)), size
        except BaseException:
            self.close()
            raise

    def _connect_both(self) -> None:
        with ExitStack() as opened:
            writer = opened.enter_context(closing(self._connect()))
            bring_up_to_date(writer)
            space.let_shrink(writer)
            reader = opened.enter_context(closing(self._connect()))
            opened.pop_all()
        self.writer, self.reader = writer, reader
        self.chunks = ChunkReader(reader, connect=self._connect, is_sound=self._is_sound)
        self.times_opened += 1

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions are begun and ended explicitly.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # WAL with NORMAL may lose the last commits to a power cut
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA cache_size = -65536")
            # Otherwise, builds with this setting on overwrite with zeros: a trim would need as much room as it frees.
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        except BaseException:
            connection.close()
            raise
        return connection

    def note(self, error: sqlite3.Error, /) -> None:
        """Remember to replace the file before its next use, if the error means that it is damaged."""
        if is_torn(error):
            self._torn = str(error)

    @contextmanager
    def telling(self, what: str, /) -> Generator[None]:
        """Note an error of SQLite, and raise it as Unavailable. what: says what cannot be done."""
        try:
            yield
        except sqlite3.Error as error:
            self.note(error)
            raise Unavailable(f"{what}: {error}.") from error

    @property
    def damage(self) -> Torn | None:
        """The damage that was noted."""
        return Torn(self._torn) if self._torn else None

    def replace(self, error: Exception, newest: int, /) -> tuple[int, int]:
        """Put the damaged file aside and reopen what can be read of it. Returns what `open` returns. Hold both locks.

        newest: no position past it was ever given. Raises Unavailable if that is not possible now; the file is open again then.
        """
        _log.error("log_torn", path=str(self._path), why=str(error))
        self.close()
        try:
            rescue(self._path, self._clock_ms(), newest)
        except (sqlite3.Error, OSError) as failure:
            self._torn = str(error)
            self._connect_both()
            raise Unavailable(
                f"A part of the log {self._path} cannot be read ({error}), and it cannot be put aside yet: {failure}.",
                retry_after_s=5,
            ) from failure
        found = self._open()
        self._torn = ""
        return found

    def mark(self, name: str, /) -> int:
        """The value of a mark; 0 if unset. Raises sqlite3.Error."""
        return self.reader.execute("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", (name,)).fetchone()[0]

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Takes the lock `reading` itself. Raises Unavailable."""
        try:
            with self.reading:
                return self.reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self.note(error)
            raise Unavailable(f"The log {self._path} cannot be read: {error}.") from error

    @contextmanager
    def transaction(self) -> Generator[Callable[..., sqlite3.Cursor]]:
        """A transaction of the writer. Gives its `execute`. Raises sqlite3.Error."""
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            yield self.writer.execute
            self.writer.execute("COMMIT")
        except BaseException:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self.writer.close()
        self.reader.close()
