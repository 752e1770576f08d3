"""The embedded log: one SQLite file, write-ahead, synced at every commit. Knows entries and positions; never events.

One append is one transaction and one row of `chunks`: payloads of many events in one blob, so that the B-tree costs per
commit and not per event. A chunk holds its entries' keys too, so they are as durable as the entries; `KeyIndex` finds them.
"""

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from headrace.log import space, write_ahead
from headrace.log.checks import checks_of
from headrace.log.chunks import bring_up_to_date, last_event_of, positions_of
from headrace.log.held import held_upto
from headrace.log.key_index import NO_KEY, KeyIndex
from headrace.log.reading import ChunkReader, Torn, is_no_database, is_torn, last_position_in
from headrace.log.rescue import finish, rescue
from headrace.model.entries import Entry, Held, Receipt, Record
from headrace.model.errors import Unavailable
from headrace.model.event import STEP, first_position, next_position

# One step of a trim holds up appends for some 30 ms; one call may take some steps.
_TRIM_CHUNKS = 256
_TRIM_BYTES = 4 * 1024 * 1024
_TRIM_S = 0.3
# No clock is as far ahead: a position that is was not given, but read from a damaged file.
_A_YEAR_MS = 366 * 86_400_000

_NO_DATABASE = (
    " Put a copy of it back, or move it and its -wal file out of the folder: the server then begins a new log, "
    "and lacks the events that were acknowledged and not stored yet."
)

_log = structlog.get_logger("headrace.log")
_pack = msgspec.msgpack.Encoder().encode


class SqliteLog:
    """Fits the Log port. Sources: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous"""

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int],
        floor: int = 0,
        partition: int = 0,
        dedup_window_s: float = 7 * 86_400.0,
        dedup_max_bytes: int = 16 * 1024**3,
        max_bytes: int = 8 * 1024**3,
        is_sound: Callable[[bytes], bool] = lambda _payload: True,
    ) -> None:
        """Open or create the file. No position at or below `floor` is ever given.

        A file of which a part cannot be read is put aside, and what can be read goes on in a new one.

        partition: 0 up to 63. Logs of one project need different ones, and a floor past whatever was given before there
        were partitions, since those positions may be any.
        Raises Unavailable when the file cannot be opened or is not a log.
        """
        if not 0 <= partition < STEP:
            raise ValueError(partition)
        self._clock_ms = clock_ms
        self._partition = partition
        self._max_bytes = max_bytes
        self._path = path
        self._is_sound = is_sound
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._torn = ""  # why the file has to be put aside before it is used again
        self._times_opened = 0
        with ExitStack() as opened:
            try:
                finish(path, clock_ms())
                write_ahead.mend(path, clock_ms())
                try:
                    last = self._open()
                except (sqlite3.Error, Torn) as error:
                    if not is_torn(error) or is_no_database(error):
                        raise
                    _log.error("log_torn", path=str(path), why=str(error))
                    rescue(path, clock_ms(), first_position(clock_ms() + _A_YEAR_MS))
                    last = self._open()
                opened.callback(self._close_connections)
                index = KeyIndex(
                    path.with_suffix(".keys"),
                    self._writer,
                    window_s=dedup_window_s,
                    max_bytes=dedup_max_bytes,
                    clock_ms=clock_ms,
                )
                self._index = opened.enter_context(closing(index))
                self._last = self._durable = index.catch_up(last, floor)
            except (sqlite3.Error, OSError, Torn) as error:
                how = _NO_DATABASE if is_no_database(error) else ""
                raise Unavailable(f"The log {path} cannot be opened: {error}.{how}") from error
            opened.pop_all()

    def _open(self) -> int:
        """Open the file, and give the position of its last entry. Raises sqlite3.Error, OSError, Torn."""
        self._open_connections()
        try:
            [(marked,)] = self._reader.execute("SELECT coalesce(max(value), 0) FROM marks WHERE name = 'last'")
            [(self._bytes,)] = self._reader.execute("SELECT coalesce(sum(bytes), 0) FROM chunks")
            return max(marked, last_position_in(self._reader))
        except BaseException:
            self._close_connections()
            raise

    def _open_connections(self) -> None:
        with ExitStack() as opened:
            writer = opened.enter_context(closing(self._connect()))
            bring_up_to_date(writer)
            space.let_shrink(writer)
            reader = opened.enter_context(closing(self._connect()))
            opened.pop_all()
        self._writer, self._reader = writer, reader
        self._chunks = ChunkReader(reader, connect=self._connect, is_sound=self._is_sound)
        self._times_opened += 1

    def _close_connections(self) -> None:
        self._writer.close()
        self._reader.close()

    def _rescue(self, error: Exception, times_opened: int) -> None:
        """Put the damaged file aside, and go on with what can be read of it. Raises Unavailable."""
        with self._writing, self._reading:
            if times_opened != self._times_opened:  # another thread has done it
                return
            _log.error("log_torn", path=str(self._path), why=str(error))
            self._close_connections()
            try:
                rescue(self._path, self._clock_ms(), self._last)
            except (sqlite3.Error, OSError) as failure:
                self._torn = str(error)
                self._open_connections()
                self._index.read_from(self._writer)
                raise Unavailable(
                    f"A part of the log {self._path} cannot be read ({error}), and it cannot be put aside yet: {failure}.",
                    retry_after_s=5,
                ) from failure
            self._durable = max(self._durable, self._open())
            self._last = max(self._last, self._durable)
            self._index.read_from(self._writer)
            self._torn = ""

    def _mend(self) -> None:
        """Before the file is used: put it aside if it was found to be damaged. Raises Unavailable."""
        if self._torn:
            self._rescue(Torn(self._torn), self._times_opened)

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions are begun and ended by hand.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # WAL with NORMAL may lose the last commits to a power cut
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA cache_size = -65536")
            # Or a trim would need as much room as it frees: pages of zeros, in builds that have this on.
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        except BaseException:
            connection.close()
            raise
        return connection

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        """See the Log port. One transaction, one sync."""
        if not entries:
            return []
        self._mend()
        with self._writing:
            if self._bytes >= self._max_bytes:
                raise Unavailable("The log is full: the store has not caught up yet.", retry_after_s=5)
            # One look at each entry, and for a plain event without a key no second one.
            marked = [entry for entry in entries if entry.key or entry.kind]
            keys = [entry.key for entry in marked if entry.key]
            has_commands = bool([entry for entry in marked if entry.kind])
            known = self._index.find(keys)
            first, tail = self._next()
            if not known and len(set(keys)) == len(keys):  # no repeat, as nearly always
                positions = self._write_chunk(first, tail, entries, keys, has_commands=has_commands)
                return list(map(Receipt, positions, range(tail, tail + len(entries))))
            receipts: list[Receipt] = []
            fresh: list[Entry] = []
            for entry in entries:
                seen = known.get(entry.key) if entry.key else None
                if seen:
                    receipts.append(Receipt(*seen, duplicate=True))
                    continue
                given = (first + len(fresh) * STEP, tail + len(fresh))
                if entry.key:
                    known[entry.key] = given
                fresh.append(entry)
                receipts.append(Receipt(*given))
            if fresh:
                fresh_keys = [entry.key for entry in fresh if entry.key]
                self._write_chunk(first, tail, fresh, fresh_keys, has_commands=has_commands)
            return receipts

    def _next(self) -> tuple[int, int]:
        """Where the next entry goes: never below the last one, even if the clock went back; and a tail that nobody has."""
        first = next_position(self._last, self._clock_ms(), self._partition)
        return first, int.from_bytes(os.urandom(6), "big")

    def _write_chunk(
        self, first: int, tail: int, entries: Sequence[Entry], keys: list[bytes], *, has_commands: bool
    ) -> range:
        """Append entries that repeat nothing, and that have these keys; returns their positions."""
        count = len(entries)
        self._last = first + (count - 1) * STEP  # given, and never again, even if this transaction fails
        unpacked = [entry.payload for entry in entries]
        payloads = _pack(unpacked)
        key_bytes = b"".join(keys if len(keys) in (0, count) else [entry.key or NO_KEY for entry in entries])
        kinds = bytes([entry.kind for entry in entries]) if has_commands else b""
        checks = checks_of(self._last, count, tail, kinds, key_bytes, unpacked, payloads)
        row = (self._last, count, tail, len(payloads), key_bytes, payloads, 1, kinds, checks)
        try:
            # One statement is a transaction of its own. Each further one would cost this thread a wait for the interpreter.
            self._writer.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._note(error)
            raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error
        self._durable = self._last
        self._bytes += len(payloads)
        positions = range(first, self._last + 1, STEP)
        self._index.add(positions, tail, key_bytes)
        return positions

    def knows(self, key: bytes, /) -> int | None:
        """The position that a key was first given, where a repeat of it would be known for one now. Raises Unavailable."""
        with self._writing:
            found = self._index.find([key])
        return found[key][0] if key in found else None

    def forget(self, after: int, upto: int, /) -> None:
        """Know no key any more that was given a position past `after`, up to `upto`: a repeat of it is a new entry.

        Durable on return. Raises Unavailable.
        """
        with self._writing:
            self._index.forget(after, upto)

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """See the Log port."""
        self._mend()
        for attempt in (1, 2):
            times_opened = self._times_opened
            try:
                with self._reading:
                    return self._chunks.read(after, max_entries, max_bytes)
            except (sqlite3.Error, Torn) as error:
                if attempt == 2 or not is_torn(error):
                    raise Unavailable(f"The log cannot be read after position {after}: {error}.") from error
                self._rescue(error, times_opened)
        raise AssertionError

    def _note(self, error: sqlite3.Error) -> None:
        """Have the file put aside before its next use, if that is what an error says."""
        if is_torn(error):
            self._torn = str(error)

    def probe(self) -> None:
        """Write something durably that nobody reads. Raises Unavailable if that cannot be done."""
        try:
            with self._writing:
                self._writer.execute("INSERT OR REPLACE INTO marks VALUES ('probed at', ?)", (self._clock_ms(),))
        except sqlite3.Error as error:
            self._note(error)
            raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error

    def last(self) -> int:
        """See the Log port."""
        return self._durable

    async def tails(self) -> Mapping[int, int]:
        """See the LogTails port. From memory: this process alone appends."""
        return {self._partition: self._durable}

    def held(self, upto: int, /) -> Held:
        """See the Log port."""
        return held_upto(upto, self._rows, self._mark)

    def trim(self, upto: int, /) -> int:
        """See the Log port. Appends go on between its steps."""
        self._mend()
        upto = min(upto, self._index.written_upto(upto))
        gone = 0
        until = time.monotonic() + _TRIM_S
        while True:
            try:
                entries, left = self._trim_step(upto)
            except sqlite3.Error as error:
                self._note(error)
                raise Unavailable(f"The log cannot be trimmed: {error}.") from error
            gone += entries
            if not left or time.monotonic() >= until:
                break
            time.sleep(0.001)  # a lock is not fair: let an append that waits for it go first
        if gone:
            with suppress(sqlite3.Error):  # a full disk, or a lock: another time
                self._with_writer(space.give_back_if_much)
        return gone

    def give_back_room(self) -> None:
        """See the Log port. Appends go on between its steps."""
        until = time.monotonic() + _TRIM_S
        try:
            while self._with_writer(space.give_back_a_little) and time.monotonic() < until:
                time.sleep(0.001)
        except sqlite3.Error as error:
            self._note(error)
            raise Unavailable(f"The log cannot give room back: {error}.") from error

    def _with_writer(self, work: Callable[[sqlite3.Connection], bool]) -> bool:
        with self._writing:
            return work(self._writer)

    def _trim_step(self, upto: int) -> tuple[int, bool]:
        """One transaction: how many entries went, and whether any may be left to go."""
        with self._writing:
            with self._transaction():
                execute = self._writer.execute
                chunks = execute(
                    "SELECT last, count, bytes, keys != x'', spaced, kinds FROM chunks WHERE last <= ? ORDER BY last LIMIT ?",
                    (upto, _TRIM_CHUNKS),
                ).fetchall()
                sizes = itertools.accumulate(chunk[2] for chunk in chunks)
                gone = chunks[: 1 + sum(size <= _TRIM_BYTES for size in sizes)]
                if gone:
                    # The file keeps no chunk to tell the last position by, once all are gone.
                    execute("INSERT OR REPLACE INTO marks VALUES ('last', ?)", (self._last,))
                    if keyed := [chunk[0] for chunk in gone if chunk[3]]:  # from now on the index alone has their keys
                        execute("INSERT OR REPLACE INTO marks VALUES ('keyed', ?)", (keyed[-1],))
                    events = [
                        last_event_of(positions_of(last, count, spaced), kinds)
                        for last, count, _, _, spaced, kinds in gone
                    ]
                    if event := max(events):
                        execute("INSERT OR REPLACE INTO marks VALUES ('event', ?)", (event,))
                    execute("DELETE FROM chunks WHERE last <= ?", (gone[-1][0],))
            self._bytes -= sum(chunk[2] for chunk in gone)
        return sum(chunk[1] for chunk in gone), len(gone) < len(chunks) or len(chunks) == _TRIM_CHUNKS

    def lost_keys(self) -> tuple[int, int] | None:
        """(after, upto): positions whose keys are known no more, until they have been learnt; None when none are missing."""
        return self._index.lost

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """Know lost keys again, with the position and tail that each was first given. Before the first append.

        Raises Unavailable.
        """
        self._index.learn(given, done=done)

    def size_bytes(self) -> int:
        """Bytes of payload that the log holds."""
        return self._bytes

    def dedup_window_s(self) -> float:
        """How far back the known keys really reach: less than the setting once the byte budget bites."""
        return self._index.window_s()

    def close(self) -> None:
        """Close the file; what was acknowledged is on disk already."""
        with self._writing, self._reading:
            self._index.close()
            self._close_connections()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _mark(self, name: str) -> int:
        return self._number("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", name)

    def _number(self, sql: str, *values: object) -> int:
        return self._rows(sql, *values)[0][0]

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            with self._reading:
                return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self._note(error)
            raise Unavailable(f"The log {self._path} cannot be read: {error}.") from error
