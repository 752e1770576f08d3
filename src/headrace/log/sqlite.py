"""The embedded log: one SQLite file, write-ahead, synced at every commit. Knows entries and positions; never events.

One append is one transaction and one row of `chunks`: payloads of many events in one blob, so that the B-tree costs per
commit and not per event. A chunk holds its entries' keys too, so they are as durable as the entries; `KnownKeys` finds them.
"""

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import structlog

from headrace.errors import Unavailable
from headrace.event import first_position, received_at_ms
from headrace.log.keys import KnownKeys
from headrace.ports import Entry, Receipt, Record

_log = structlog.get_logger("headrace.log")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS chunks (
    last  INTEGER PRIMARY KEY,  -- the position of the chunk's last entry; the entries before it have the ones just below
    count INTEGER NOT NULL,
    tail  INTEGER NOT NULL,     -- the tail of the first entry's id; the next ones count up from it
    bytes INTEGER NOT NULL,
    keys BLOB NOT NULL,         -- 16 bytes an entry, zeros for one without a key; empty when none has one
    payloads BLOB NOT NULL      -- a MessagePack array of binaries
);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_KEY_BYTES = 16
_NO_KEY = bytes(_KEY_BYTES)
# One step of a trim holds up appends for some 30 ms; one call may take some steps.
_TRIM_CHUNKS = 256
_TRIM_BYTES = 4 * 1024 * 1024
_TRIM_S = 0.3
_FLUSH_KEYS_EVERY_MS = 60_000
_REOPEN_KEYS_EVERY_S = 1.0
# Anything else that keeps the index from opening, such as a full disk, is no reason to forget what it knows.
_SIGNS_OF_DAMAGE = ("Corruption", "No such file", "Invalid argument")

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
        self._make_keys = partial(KnownKeys, window_s=dedup_window_s, max_bytes=dedup_max_bytes, clock_ms=clock_ms)
        self._dedup_window_ms = int(dedup_window_s * 1000)
        self._max_bytes = max_bytes
        self._path = path
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        with ExitStack() as opened:
            try:
                self._writer = opened.enter_context(closing(self._connect()))
                self._writer.executescript(_SCHEMA)
                self._reader = opened.enter_context(closing(self._connect()))
                self._last = max(floor, self._mark("last"), self._number("SELECT coalesce(max(last), 0) FROM chunks"))
                self._durable = self._last  # what is given may yet fail to become durable
                self._bytes = self._number("SELECT coalesce(sum(bytes), 0) FROM chunks")
                self._indexed = self._safe = 0
                self._reopened_at = 0.0
                self._keys = opened.enter_context(closing(self._open_keys()))
                self._void_keys_of_lost_entries()
                self._lost_keys = self._find_lost_keys(floor)
                self._index_keys()
            except (sqlite3.Error, OSError) as error:
                raise Unavailable(f"The log {path} cannot be opened: {error}.") from error
            opened.pop_all()

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions are begun and ended by hand.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._path.chmod(0o600)
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
            keys = [entry.key for entry in entries if entry.key]
            known = self._known(keys)
            first, tail = self._next()
            if not known and len(set(keys)) == len(keys):  # no repeat, as nearly always
                self._write_chunk(first, tail, entries, keys=bool(keys))
                return list(map(Receipt, range(first, first + len(entries)), range(tail, tail + len(entries))))
            receipts: list[Receipt] = []
            fresh: list[Entry] = []
            for entry in entries:
                seen = known.get(entry.key) if entry.key else None
                if seen:
                    receipts.append(Receipt(*seen, duplicate=True))
                    continue
                given = (first + len(fresh), tail + len(fresh))
                if entry.key:
                    known[entry.key] = given
                fresh.append(entry)
                receipts.append(Receipt(*given))
            if fresh:
                self._write_chunk(first, tail, fresh, keys=bool(keys))
            return receipts

    def _next(self) -> tuple[int, int]:
        """Where the next entry goes: never below the last one, even if the clock went back; and a tail that nobody has."""
        return max(self._last + 1, first_position(self._clock_ms())), int.from_bytes(os.urandom(6), "big")

    def _write_chunk(self, first: int, tail: int, entries: Sequence[Entry], *, keys: bool) -> None:
        self._last = first + len(entries) - 1  # given, and never again, even if this transaction fails
        payloads = _pack([entry.payload for entry in entries])
        key_bytes = b"".join([entry.key or _NO_KEY for entry in entries]) if keys else b""
        row = (self._last, len(entries), tail, len(payloads), key_bytes, payloads)
        try:
            # One statement is a transaction of its own. Each further one would cost this thread a wait for the interpreter.
            self._writer.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error
        all_indexed = self._indexed >= self._durable
        self._durable = self._last
        self._bytes += len(payloads)
        # The entries are durable, so from here on nothing may fail: what the index lacks, the next append with a key gives it.
        if not keys:
            self._indexed = self._durable if all_indexed else self._indexed
            return
        try:
            self._keys.add(_given(self._last, len(entries), tail, key_bytes), self._last)
            self._indexed = self._durable
        except Exception:  # noqa: BLE001  the index's library raises nothing narrower
            _log.exception("keys_not_indexed", position=self._last)

    def knows(self, key: bytes, /) -> int | None:
        """The position that a key was first given, where a repeat of it would be known for one now. Raises Unavailable."""
        with self._writing:
            self._index_keys()
            found = self._known([key])
        return found[key][0] if key in found else None

    def _known(self, keys: list[bytes]) -> dict[bytes, tuple[int, int]]:
        """Where these keys were first given, of those that were within the dedup window. Raises Unavailable."""
        if not keys:
            return {}
        self._index_keys()
        oldest = self._oldest_key()
        try:
            found = self._keys.find(keys)
        except Exception as error:
            _log.exception("keys_not_found")
            raise Unavailable("Message ids cannot be looked up.", retry_after_s=5) from error
        return {key: given for key, given in found.items() if given[0] >= oldest}

    def _open_keys(self) -> KnownKeys:
        """The index; a damaged one is put aside, and a new one begun. Raises Unavailable when it cannot be opened now."""
        path = self._path.with_suffix(".keys")
        try:
            return self._make_keys(path)
        except Exception as error:
            if not any(sign in str(error) for sign in _SIGNS_OF_DAMAGE):
                raise Unavailable(f"The known message ids in {path} cannot be opened: {error}.") from error
            aside = path.with_suffix(f".broken-{self._clock_ms()}")
            _log.exception("keys_unreadable", moved_to=str(aside))
            path.rename(aside)
            return self._make_keys(path)

    def _reopen_keys(self) -> None:
        """After a failed write, such as to a full disk, RocksDB takes no more. What it had in memory, the chunks have too."""
        if time.monotonic() - self._reopened_at < _REOPEN_KEYS_EVERY_S:
            return
        self._reopened_at = time.monotonic()
        self._indexed = -1
        with suppress(Exception):
            self._keys.close()
        self._keys = self._make_keys(self._path.with_suffix(".keys"))
        self._indexed = self._keys.last()

    def _void_keys_of_lost_entries(self) -> None:
        """A log put back from an older copy lacks entries whose keys are known: a retry of those must be taken, and stored.

        What the store has is not lost; the floor tells.
        """
        known = self._keys.last()
        if known <= self._last:
            return
        _log.warning("log_is_older_than_keys", log_ends_at=self._last, keys_end_at=known)
        self._keys.void(self._last, known)
        self._last = self._durable = known  # so that no new entry gets a position in between

    def _find_lost_keys(self, floor: int) -> tuple[int, int] | None:
        """The positions, within the window, whose keys neither the index has nor a chunk: the index, or the file, is lost."""
        after, upto = self._mark("lost after"), self._mark("lost upto")  # by a start that was cut short
        if not upto:
            after, upto = self._keys.last(), self._mark("keyed")
            if not upto and not self._mark("last") and not self._number("SELECT count(*) FROM chunks"):
                upto = floor  # a new file beside a store that is not new: whatever was keyed there
        after = max(after, self._oldest_key())
        if after >= upto:
            return None
        _log.warning("known_keys_lost", after=after, upto=upto)
        with self._transaction():
            for name, value in (("lost after", after), ("lost upto", upto)):
                self._writer.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))
        return after, upto

    def lost_keys(self) -> tuple[int, int] | None:
        """(after, upto): positions whose keys are known no more, until they have been learnt; None when none are missing."""
        return self._lost_keys

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """Know lost keys again, with the position and tail that each was first given. Before the first append.

        Raises Unavailable.
        """
        try:
            self._keys.add(given, self._lost_keys[1] if self._lost_keys and done else self._keys.last())
            if done:
                self._keys.flush()
                self._writer.execute("DELETE FROM marks WHERE name IN ('lost after', 'lost upto')")
                self._lost_keys = None
        except Exception as error:
            raise Unavailable(f"Message ids cannot be indexed: {error}.") from error

    def _index_keys(self) -> None:
        """Give the index the keys of chunks that it does not have: after a crash, or a failure. Raises Unavailable."""
        if self._indexed >= self._durable:
            return
        try:
            try:
                self._feed_keys()
            except Exception:  # noqa: BLE001  the index's library raises nothing narrower
                self._reopen_keys()
                self._feed_keys()
        except Exception as error:
            _log.exception("keys_not_indexed", position=self._indexed)
            raise Unavailable("Message ids cannot be indexed.", retry_after_s=5) from error

    def _feed_keys(self) -> None:
        after = max(self._indexed, self._keys.last())
        rows = self._writer.execute(
            "SELECT last, count, tail, keys FROM chunks WHERE last > ? AND keys != x'' ORDER BY last", (after,)
        )
        for last, count, tail, keys in rows:
            self._keys.add(_given(last, count, tail, keys), last)
        self._indexed = self._durable

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """See the Log port."""
        try:
            return self._read(after, max_entries, max_bytes)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise Unavailable(f"The log cannot be read after position {after}: {error}.") from error

    def _read(self, after: int, max_entries: int, max_bytes: int) -> list[Record]:
        records: list[Record] = []
        size = 0
        with self._reading:
            rows = self._reader.execute(
                "SELECT last, count, tail, payloads FROM chunks WHERE last > ? ORDER BY last", (after,)
            )
            for last, count, tail, blob in rows:
                first: int = last - count + 1
                chunk = _unpack(blob)
                whole = size + sum(map(len, chunk))
                if first > after and len(records) + count <= max_entries and whole <= max_bytes:
                    records += map(Record, range(first, last + 1), range(tail, tail + count), chunk)
                    size = whole
                    continue
                for index, payload in enumerate(chunk):
                    position = first + index
                    if position <= after:
                        continue
                    size += len(payload)
                    if records and (len(records) >= max_entries or size > max_bytes):
                        rows.close()
                        return records
                    records.append(Record(position, tail + index, payload))
        return records

    def last(self) -> int:
        """See the Log port."""
        return self._durable

    def held(self, upto: int, /) -> tuple[int, int]:
        """See the Log port."""
        # A chunk that only begins before the position is counted by its entries up to it.
        count = self._number(
            "SELECT coalesce(sum(count - max(0, last - ?1)), 0) FROM chunks WHERE last - count < ?1", upto
        )
        return count, self._number("SELECT coalesce(min(last - count), ?1) FROM chunks WHERE last - count < ?1", upto)

    def trim(self, upto: int, /) -> int:
        """See the Log port. Appends go on between its steps."""
        upto = min(upto, self._safe_to_trim(upto))
        gone = 0
        until = time.monotonic() + _TRIM_S
        while True:
            try:
                entries, left = self._trim_step(upto)
            except sqlite3.Error as error:
                raise Unavailable(f"The log cannot be trimmed: {error}.") from error
            gone += entries
            if not left or time.monotonic() >= until:
                return gone
            time.sleep(0.001)  # a lock is not fair: let an append that waits for it go first

    def _safe_to_trim(self, upto: int) -> int:
        """Up to where the index has written down the keys, so that the chunks' own copy is needed no more."""
        if upto > self._safe:
            indexed = self._indexed
            # Each flush makes a file, so not at every trim; but when nothing is left to write down, there is no cost.
            if received_at_ms(upto) - received_at_ms(self._safe) >= _FLUSH_KEYS_EVERY_MS or upto >= indexed:
                try:
                    self._keys.flush()
                except Exception:  # noqa: BLE001  the index's library raises nothing narrower; the chunks stay until it works
                    _log.exception("keys_not_written", upto=indexed)
                    return self._safe
                self._safe = indexed
        return self._safe

    def _trim_step(self, upto: int) -> tuple[int, bool]:
        """One transaction: how many entries went, and whether any may be left to go."""
        with self._writing:
            with self._transaction():
                execute = self._writer.execute
                chunks = execute(
                    "SELECT last, count, bytes, keys != x'' FROM chunks WHERE last <= ? ORDER BY last LIMIT ?",
                    (upto, _TRIM_CHUNKS),
                ).fetchall()
                sizes = itertools.accumulate(chunk[2] for chunk in chunks)
                gone = chunks[: 1 + sum(size <= _TRIM_BYTES for size in sizes)]
                if gone:
                    # The file keeps no chunk to tell the last position by, once all are gone.
                    execute("INSERT OR REPLACE INTO marks VALUES ('last', ?)", (self._last,))
                    if keyed := [chunk[0] for chunk in gone if chunk[3]]:  # from now on the index alone has their keys
                        execute("INSERT OR REPLACE INTO marks VALUES ('keyed', ?)", (keyed[-1],))
                    execute("DELETE FROM chunks WHERE last <= ?", (gone[-1][0],))
            self._bytes -= sum(chunk[2] for chunk in gone)
        return sum(chunk[1] for chunk in gone), len(gone) < len(chunks) or len(chunks) == _TRIM_CHUNKS

    def size_bytes(self) -> int:
        """Bytes of payload that the log holds."""
        return self._bytes

    def dedup_window_s(self) -> float:
        """How far back the known keys really reach: less than the setting once the byte budget bites."""
        return self._keys.window_s()

    def close(self) -> None:
        """Close the file; what was acknowledged is on disk already."""
        with self._writing, self._reading:
            self._keys.close()
            self._writer.close()
            self._reader.close()

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

    def _oldest_key(self) -> int:
        return first_position(max(0, self._clock_ms() - self._dedup_window_ms))

    def _mark(self, name: str) -> int:
        return self._number("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", name)

    def _number(self, sql: str, *values: object) -> int:
        try:
            with self._reading:
                return self._reader.execute(sql, values).fetchone()[0]
        except sqlite3.Error as error:
            raise Unavailable(f"The log cannot be read: {error}.") from error


def _given(last: int, count: int, tail: int, keys: bytes) -> dict[bytes, tuple[int, int]]:
    """The position and tail that each key of a chunk was given."""
    first = last - count + 1
    return {
        key: (first + index, tail + index)
        for index in range(count)
        if (key := keys[index * _KEY_BYTES : (index + 1) * _KEY_BYTES]) != _NO_KEY
    }
