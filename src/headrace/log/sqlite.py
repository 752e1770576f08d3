"""The embedded log: one SQLite file, write-ahead, synced at every commit. Knows entries and positions; never events.

One append is one transaction and one row of `chunks`: payloads of many events in one blob, so that the B-tree costs per
commit and not per event. Known keys are rows of `keys`, numbered by position, so that the oldest go without a search.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headrace.errors import Unavailable
from headrace.event import SEQUENCE_BITS, event_id, first_position
from headrace.ports import Entry, Receipt, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS chunks (
    last  INTEGER PRIMARY KEY,  -- the position of the chunk's last entry; the entries before it have the ones just below
    count INTEGER NOT NULL,
    tail  INTEGER NOT NULL,     -- the tail of the first entry's id; the next ones count up from it
    bytes INTEGER NOT NULL,
    payloads BLOB NOT NULL      -- a MessagePack array of binaries
);
CREATE TABLE IF NOT EXISTS keys (
    position INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    tail INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
BYTES_PER_KEY = 80  # a row of `keys` with its entry in the index, measured over 10 M random keys
_TRIM_CHUNKS = 256
_TRIM_KEYS = 10_000

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class SqliteLog:
    """Fits the Log port. Sources: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous"""

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int],
        floor: int = 0,
        dedup_window_s: float = 7 * 86_400.0,
        dedup_max_bytes: int = 16 * 1024**3,
        max_bytes: int = 8 * 1024**3,
    ) -> None:
        """Open or create the file. No position at or below `floor` is ever given.

        Raises Unavailable when the file cannot be opened or is no log.
        """
        self._clock_ms = clock_ms
        self._dedup_window_ms = int(dedup_window_s * 1000)
        self._dedup_max_keys = max(1, dedup_max_bytes // BYTES_PER_KEY)
        self._max_bytes = max_bytes
        self._path = path
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        try:
            self._writer = self._connect()
            self._writer.executescript(_SCHEMA)
            self._reader = self._connect()
            self._last = max(floor, self._mark("last"), self._number("SELECT coalesce(max(last), 0) FROM chunks"))
            self._durable = self._last  # what is given may yet fail to become durable
            self._bytes = self._number("SELECT coalesce(sum(bytes), 0) FROM chunks")
            self._keys = self._mark("keys")
        except sqlite3.Error as error:
            raise Unavailable(f"The log {path} cannot be opened: {error}.") from error

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions are begun and ended by hand.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        os.chmod(self._path, 0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # WAL with NORMAL may lose the last commits to a power cut
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    def append(self, entries: Sequence[Entry], /) -> list[Receipt]:
        """See the Log port. One transaction, one sync."""
        if not entries:
            return []
        with self._writing:
            if self._bytes >= self._max_bytes:
                raise Unavailable("The log is full: the store has not caught up yet.", retry_after_s=5)
            try:
                with self._transaction():
                    receipts, added_bytes, added_keys = self._append(entries)
            except sqlite3.Error as error:
                raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error
            self._bytes += added_bytes
            self._keys += added_keys
            self._durable = self._last
            return receipts

    def _append(self, entries: Sequence[Entry]) -> tuple[list[Receipt], int, int]:
        execute = self._writer.execute
        tail = int.from_bytes(os.urandom(6), "big")
        oldest = self._oldest_key()
        # Never below the last one, even if the clock went back; and never again, even if this transaction fails.
        first = max(self._last + 1, first_position(self._clock_ms()))
        receipts: list[Receipt] = []
        payloads: list[bytes] = []
        known = 0
        for entry in entries:
            position, own_tail = first + len(payloads), tail + len(payloads)
            if entry.key:
                row = (position, entry.key, own_tail)
                if not execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", row).rowcount:
                    seen = execute("SELECT position, tail FROM keys WHERE key = ?", (entry.key,)).fetchone()
                    if seen[0] >= oldest:
                        receipts.append(Receipt(seen[0], event_id(*seen), duplicate=True))
                        continue
                    execute("DELETE FROM keys WHERE position = ?", seen[:1])
                    execute("INSERT INTO keys VALUES (?, ?, ?)", row)
                    known -= 1
                known += 1
            payloads.append(entry.payload)
            receipts.append(Receipt(position, event_id(position, own_tail)))
        if not payloads:
            return receipts, 0, 0
        self._last = first + len(payloads) - 1
        blob = _pack(payloads)
        execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", (self._last, len(payloads), tail, len(blob), blob)
        )
        if known:
            execute("INSERT OR REPLACE INTO marks VALUES ('keys', ?)", (self._keys + known,))
        return receipts, len(blob), known

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """See the Log port."""
        records: list[Record] = []
        size = 0
        with self._reading:
            rows = self._reader.execute(
                "SELECT last, count, tail, payloads FROM chunks WHERE last > ? ORDER BY last", (after,)
            )
            for last, count, tail, blob in rows:
                first: int = last - count + 1
                for index, payload in enumerate(_unpack(blob)):
                    position = first + index
                    if position <= after:
                        continue
                    size += len(payload)
                    if records and (len(records) >= max_entries or size > max_bytes):
                        rows.close()
                        return records
                    records.append(Record(position, event_id(position, tail + index), payload))
        return records

    def last(self) -> int:
        """See the Log port."""
        return self._durable

    def trim(self, upto: int, /) -> int:
        """See the Log port."""
        oldest_key = self._oldest_key()
        with self._writing, self._transaction():
            execute = self._writer.execute
            gone = execute(
                "SELECT last, count, bytes FROM chunks WHERE last <= ? ORDER BY last LIMIT ?", (upto, _TRIM_CHUNKS)
            ).fetchall()
            if gone:
                # The file keeps no chunk to tell the last position by, once all are gone.
                execute("INSERT OR REPLACE INTO marks VALUES ('last', ?)", (self._last,))
                execute("DELETE FROM chunks WHERE last <= ?", (gone[-1][0],))
            surplus = min(_TRIM_KEYS, max(0, self._keys - self._dedup_max_keys))
            expired = execute(
                "DELETE FROM keys WHERE position IN (SELECT position FROM keys WHERE position < ? ORDER BY position LIMIT ?)",
                (oldest_key, _TRIM_KEYS),
            ).rowcount
            if surplus > expired:
                expired += execute(
                    "DELETE FROM keys WHERE position IN (SELECT position FROM keys ORDER BY position LIMIT ?)",
                    (surplus - expired,),
                ).rowcount
            if expired:
                execute("INSERT OR REPLACE INTO marks VALUES ('keys', ?)", (self._keys - expired,))
            self._keys -= expired
            self._bytes -= sum(row[2] for row in gone)
        return sum(row[1] for row in gone)

    def size_bytes(self) -> int:
        """Bytes of payload that the log holds."""
        return self._bytes

    def dedup_window_s(self) -> float:
        """How far back the known keys really reach: less than the setting once the byte budget bites."""
        oldest = self._number("SELECT coalesce(min(position), 0) FROM keys")
        if self._keys < self._dedup_max_keys:
            return self._dedup_window_ms / 1000
        return (self._clock_ms() - (oldest >> SEQUENCE_BITS)) / 1000

    def close(self) -> None:
        """Close the file; what was acknowledged is on disk already."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _oldest_key(self) -> int:
        return first_position(max(0, self._clock_ms() - self._dedup_window_ms))

    def _mark(self, name: str) -> int:
        return self._number("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", name)

    def _number(self, sql: str, *values: object) -> int:
        with self._reading:
            return self._reader.execute(sql, values).fetchone()[0]
