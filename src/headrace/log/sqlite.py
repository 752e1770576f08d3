"""The embedded log: one SQLite file, write-ahead, synced at every commit. Knows entries and positions, but no events.

One append is one transaction and one row of `chunks`: the payloads of many events in one blob, so that the B-tree costs per
commit and not per event. A chunk also has the keys of its entries, so they are as durable as the entries; `KeyIndex` finds them.
"""

import os
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import msgspec

from headrace.log import space
from headrace.log.checks import checks_of
from headrace.log.file import LogFile
from headrace.log.held import held_upto
from headrace.log.key_index import NO_KEY, KeyIndex
from headrace.log.reading import Torn, is_torn
from headrace.log.redact import redact, rewrite_if_small
from headrace.log.trimming import trim_step
from headrace.model.entries import Entry, Held, Receipt, Record
from headrace.model.errors import Unavailable
from headrace.model.event import HISTORY, STEP, next_position

_TRIM_S = 0.3

_pack = msgspec.msgpack.Encoder().encode


class SqliteLog:
    """Fits the Log port. Sources: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous"""

    durability = "fsync"  # an acknowledged entry is on disk

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

        If a part of the file cannot be read, it is put aside, and a new one continues with what can be read.

        partition: 0 to 63. The logs of one project need different ones, and a floor past every position given before there
        were partitions, because those may have any.
        Raises Unavailable if the file cannot be opened or is not a log.
        """
        if not 0 <= partition < STEP:
            raise ValueError(partition)
        self._clock_ms = clock_ms
        self._partition = partition
        self.max_bytes = max_bytes
        self._is_sound = is_sound
        self._file = LogFile(path, clock_ms=clock_ms, is_sound=is_sound)
        self._writing = self._file.writing
        with ExitStack() as opened:
            last, self._bytes = self._file.open()
            opened.callback(self._file.close)
            try:
                index = KeyIndex(
                    path.with_suffix(".keys"),
                    self._file.writer,
                    window_s=dedup_window_s,
                    max_bytes=dedup_max_bytes,
                    clock_ms=clock_ms,
                )
                self._index = opened.enter_context(closing(index))
                self._last = self._durable = index.catch_up(last, floor)
            except (sqlite3.Error, OSError, Torn) as error:
                raise self._file.cannot_be_opened(error) from error
            opened.pop_all()

    def _rescue(self, error: Exception, times_opened: int) -> None:
        """Put the damaged file aside, and continue with what can be read of it. Raises Unavailable."""
        with self._writing, self._file.reading:
            if times_opened != self._file.times_opened:  # another thread has done it
                return
            try:
                last, self._bytes = self._file.replace(error, self._last)
            except Unavailable:
                self._index.read_from(self._file.writer)
                raise
            self._durable = max(self._durable, last)
            self._last = max(self._last, self._durable)
            self._index.read_from(self._file.writer)

    def _mend(self) -> None:
        """Replace the file before it is used, if it was found to be damaged. Raises Unavailable."""
        if damage := self._file.damage:
            self._rescue(damage, self._file.times_opened)

    def append(self, entries: Sequence[Entry], /, *, history: bool = False) -> list[Receipt]:
        """See the Log port. One transaction, one sync."""
        if not entries:
            return []
        self._mend()
        with self._writing:
            if self._bytes >= self.max_bytes:
                raise Unavailable("The log is full: the store has not caught up yet.", retry_after_s=5)
            # One look at each entry, and no second one at plain events without a key.
            marked = [entry for entry in entries if entry.key or entry.kind]
            keys = [entry.key for entry in marked if entry.key]
            has_commands = bool([entry for entry in marked if entry.kind])
            known = self._index.find(keys)
            first, tail = self._next()
            if history:
                tail |= HISTORY
            if not known and len(set(keys)) == len(keys):  # no repeats, as nearly always
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
        """The next entry's position, greater than the last even if the clock went back, and a random tail."""
        first = next_position(self._last, self._clock_ms(), self._partition)
        return first, int.from_bytes(os.urandom(6), "big")

    def _write_chunk(
        self, first: int, tail: int, entries: Sequence[Entry], keys: list[bytes], *, has_commands: bool
    ) -> range:
        """Append entries that are not repeats, with these keys. Returns their positions."""
        count = len(entries)
        self._last = first + (count - 1) * STEP  # never given again, even if this transaction fails
        unpacked = [entry.payload for entry in entries]
        payloads = _pack(unpacked)
        key_bytes = b"".join(keys if len(keys) in (0, count) else [entry.key or NO_KEY for entry in entries])
        kinds = bytes([entry.kind for entry in entries]) if has_commands else b""
        checks = checks_of(self._last, count, tail, kinds, key_bytes, unpacked, payloads)
        row = (self._last, count, tail, len(payloads), key_bytes, payloads, 1, kinds, checks)
        try:
            # One statement is a transaction of its own. Each further one would make this thread wait for the interpreter.
            self._file.writer.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._file.note(error)
            raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error
        self._durable = self._last
        self._bytes += len(payloads)
        positions = range(first, self._last + 1, STEP)
        self._index.add(positions, tail, key_bytes)
        return positions

    def knows(self, key: bytes, /) -> int | None:
        """See the KnownKeys port."""
        with self._writing:
            found = self._index.find([key])
        return found[key][0] if key in found else None

    def forget(self, after: int, upto: int, /) -> None:
        """Forget keys with `after` < position <= `upto`: a repeat of such an entry is a new entry.

        Durable on return. Raises Unavailable.
        """
        with self._writing:
            self._index.forget(after, upto)

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """See the Log port."""
        self._mend()
        for attempt in (1, 2):
            times_opened = self._file.times_opened
            try:
                with self._file.reading:
                    return self._file.chunks.read(after, max_entries, max_bytes)
            except (sqlite3.Error, Torn) as error:
                if attempt == 2 or not is_torn(error):
                    raise Unavailable(f"The log cannot be read after position {after}: {error}.") from error
                self._rescue(error, times_opened)
        raise AssertionError

    def probe(self) -> None:
        """Write something durably that nobody reads. Raises Unavailable if that fails."""
        try:
            with self._writing:
                self._file.writer.execute("INSERT OR REPLACE INTO marks VALUES ('probed at', ?)", (self._clock_ms(),))
        except sqlite3.Error as error:
            self._file.note(error)
            raise Unavailable(f"The log cannot be written: {error}.", retry_after_s=5) from error

    def last(self) -> int:
        """See the Log port."""
        return self._durable

    def bound(self) -> int:
        """A position that no acknowledged entry is past. From memory, as `last` is."""
        return self._durable

    async def tails(self) -> Mapping[int, int]:
        """See the LogTails port. From memory, because only this process appends."""
        return {self._partition: self._durable}

    def held(self, upto: int, /) -> Held:
        """See the Log port."""
        return held_upto(upto, self._file.rows, self._mark)

    def _mark(self, name: str) -> int:
        return self._file.rows("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", name)[0][0]

    def trim(self, upto: int, /) -> int:
        """See the Log port. Appends go on between its steps."""
        self._mend()
        upto = min(upto, self._index.written_upto(upto))
        gone = 0
        until = time.monotonic() + _TRIM_S
        while True:
            with self._file.telling("The log cannot be trimmed"), self._writing:
                step = trim_step(self._file, upto, self._last)
                self._bytes -= step.size
            gone += step.entries
            if not step.has_more or time.monotonic() >= until:
                break
            time.sleep(0.001)  # locks are not fair: let a waiting append go first
        if gone:
            with suppress(sqlite3.Error):  # a full disk, or a lock: another time
                self._with_writer(space.give_back_if_much)
        return gone

    def give_back_room(self) -> None:
        """See the Log port. Appends go on between its steps."""
        until = time.monotonic() + _TRIM_S
        with self._file.telling("The log cannot free disk space"):
            while self._with_writer(space.give_back_a_little) and time.monotonic() < until:
                time.sleep(0.001)

    def redact(self, positions: Collection[int], /) -> None:
        """Empty the events at some positions that are still held. Their keys and places stay. Durable on return.

        Appends go on between the chunks. Raises Unavailable.
        """
        self._mend()
        ordered, every = sorted(positions), set(positions)
        at = 0
        with self._file.telling("Erased events cannot be taken out of the log"):
            while at < len(ordered):
                at = bisect_right(ordered, self._redact_chunk(ordered[at], every))

    def _redact_chunk(self, position: int, wanted: Collection[int]) -> int:
        with self._writing:
            # What an update frees would keep its bytes: see `LogFile`.
            writer = self._file.writer
            writer.execute("PRAGMA secure_delete = ON")
            try:
                with self._file.transaction():
                    done, fewer = redact(writer, position, wanted, self._is_sound)
            finally:
                writer.execute("PRAGMA secure_delete = FAST")
            self._bytes -= fewer
        return done

    def overwrite(self) -> None:
        """Leave nothing of what was trimmed or emptied in the file's free pages, nor in the write-ahead file.

        Appends go on between its steps, the last of which takes a third of a second at most. Raises Unavailable.
        """
        self._mend()
        with self._file.telling("The log's free pages cannot be released"):
            while self._with_writer(space.give_back_a_little):
                time.sleep(0.001)
            with self._writing, self._file.reading:
                is_empty = rewrite_if_small(self._file.writer)
        if not is_empty:
            raise Unavailable("The log's write-ahead file cannot be emptied: a reader is using it.", retry_after_s=1)

    def _with_writer(self, work: Callable[[sqlite3.Connection], bool]) -> bool:
        with self._writing:
            return work(self._file.writer)

    def lost_keys(self) -> tuple[int, int] | None:
        """See the LostKeys port."""
        return self._index.lost

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """See the LostKeys port."""
        self._index.learn(given, done=done)

    def size_bytes(self) -> int:
        """See the Log port."""
        return self._bytes

    def dedup_window_s(self) -> float:
        """See the KnownKeys port."""
        return self._index.window_s()

    def close(self) -> None:
        """Close the file. Everything acknowledged is on disk already."""
        with self._writing, self._file.reading:
            self._index.close()
            self._file.close()
