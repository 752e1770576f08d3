"""The keys of the log's chunks, kept where they can be found: feeds `KnownKeys`, and mends it when it lags, breaks or is lost.

The chunks are the record and this is an index of them; what it lacks it reads there again. Shares the log's connection, so it
is called by one thread at a time; `written_upto` and `window_s` are for any.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from headrace.log.checks import has_sound_fields, has_sound_keys
from headrace.log.chunks import positions_of
from headrace.log.known_keys import KnownKeys
from headrace.model.errors import Unavailable
from headrace.model.event import first_position, received_at_ms

_log = structlog.get_logger("headrace.log")
_FLUSH_EVERY_MS = 60_000
_REOPEN_EVERY_S = 1.0
# Anything else that keeps the index from opening, such as a full disk, is no reason to forget what it knows.
_SIGNS_OF_DAMAGE = ("Corruption", "No such file", "Invalid argument")
KEY_BYTES = 16
NO_KEY = bytes(KEY_BYTES)


class KeyIndex:
    """`lost`: (after, upto), positions whose keys are known no more until they have been learnt; None when none are missing."""

    def __init__(
        self,
        path: Path,
        chunks: sqlite3.Connection,
        *,
        window_s: float,
        max_bytes: int,
        clock_ms: Callable[[], int],
    ) -> None:
        """Open or begin the index of the log that `chunks` is open on. Raises Unavailable."""
        self._path = path
        self._chunks = chunks
        self._window_ms = int(window_s * 1000)
        self._clock_ms = clock_ms
        self._make = partial(KnownKeys, window_s=window_s, max_bytes=max_bytes, clock_ms=clock_ms)
        self._keys = self._open()
        self._durable = self._indexed = self._written = 0
        self._reopened_at = 0.0
        self.lost: tuple[int, int] | None = None

    def catch_up(self, last: int, floor: int, /) -> int:
        """Agree with a log that has just been opened and ends at `last`; returns the position that it has to go on from.

        floor: up to there the store has events. Raises Unavailable, sqlite3.Error.
        """
        self._durable = self._void_keys_of_lost_entries(max(last, floor))
        self.lost = self._find_lost_keys(last, floor)
        self._index_keys()
        return self._durable

    def read_from(self, chunks: sqlite3.Connection, /) -> None:
        """From now on the log's file is open as this."""
        self._chunks = chunks

    def forget(self, after: int, upto: int, /) -> None:
        """Know no key any more whose position is past `after`, up to `upto`: what was there is lost. Raises Unavailable."""
        try:
            self._keys.void(after, upto)
        except Exception as error:
            raise Unavailable(f"Message ids cannot be forgotten: {error}.") from error

    def find(self, keys: list[bytes], /) -> dict[bytes, tuple[int, int]]:
        """Where these keys were first given, of those that were within the dedup window. Raises Unavailable."""
        if not keys:
            return {}
        self._index_keys()
        oldest = self._oldest()
        try:
            found = self._keys.find(keys)
        except Exception as error:
            _log.exception("keys_not_found")
            raise Unavailable("Message ids cannot be looked up.", retry_after_s=5) from error
        return {key: given for key, given in found.items() if given[0] >= oldest}

    def add(self, positions: range, tail: int, keys: bytes, /) -> None:
        """A chunk has become durable, so from here on nothing may fail: what the index lacks, the next look-up gives it."""
        complete, last = self._indexed >= self._durable, positions[-1]
        self._durable = last
        if not keys:
            self._indexed = last if complete else self._indexed
            return
        try:
            self._keys.add(_given(positions, tail, keys), last)
            self._indexed = last
        except Exception:  # noqa: BLE001  the index's library raises nothing narrower
            _log.exception("keys_not_indexed", position=last)

    def written_upto(self, upto: int, /) -> int:
        """Up to where the index has written down the keys, so that the chunks' own copy is needed no more."""
        if upto > self._written:
            keys, indexed = (
                self._keys,
                self._indexed,
            )  # in this order: a reopened index may have less, and has to be fed first
            # Each flush makes a file, so not at every trim; but when nothing is left to write down, there is no cost.
            if received_at_ms(upto) - received_at_ms(self._written) >= _FLUSH_EVERY_MS or upto >= indexed:
                try:
                    keys.flush()
                except Exception:  # noqa: BLE001  the index's library raises nothing narrower; the chunks stay until it works
                    _log.exception("keys_not_written", upto=indexed)
                    return self._written
                self._written = indexed
        return self._written

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """Know lost keys again, with the position and tail that each was first given. Before the first append.

        Raises Unavailable.
        """
        try:
            self._keys.add(given, self.lost[1] if self.lost and done else self._keys.last())
            if done:
                self._keys.flush()
                for file in self._files_of_first_layout():
                    file.unlink()
                self._chunks.execute("DELETE FROM marks WHERE name IN ('lost after', 'lost upto')")
                self.lost = None
        except Exception as error:
            raise Unavailable(f"Message ids cannot be indexed: {error}.") from error

    def window_s(self) -> float:
        """How far back keys are really known: less than the setting once the byte budget bites."""
        return self._keys.window_s()

    def close(self) -> None:
        self._keys.close()

    def _open(self) -> KnownKeys:
        """The index; a damaged one is put aside, and a new one begun. Raises Unavailable when it cannot be opened now."""
        path = self._path
        try:
            return self._make(path)
        except Exception as error:
            if not any(sign in str(error) for sign in _SIGNS_OF_DAMAGE):
                raise Unavailable(f"The known message ids in {path} cannot be opened: {error}.") from error
            aside = path.with_suffix(f".broken-{self._clock_ms()}")
            _log.exception("keys_unreadable", moved_to=str(aside))
            path.rename(aside)
            return self._make(path)

    def _reopen(self) -> None:
        """After a failed write, such as to a full disk, RocksDB takes no more. What it had in memory, the chunks have too."""
        if time.monotonic() - self._reopened_at < _REOPEN_EVERY_S:
            return
        self._reopened_at = time.monotonic()
        self._indexed = -1
        with suppress(Exception):
            self._keys.close()
        self._keys = self._make(self._path)
        self._indexed = self._keys.last()

    def _void_keys_of_lost_entries(self, last: int) -> int:
        """A log put back from an older copy lacks entries whose keys are known: a retry of those must be taken, and stored.

        What the store has is not lost; the floor tells.
        """
        known = self._keys.last()
        if known <= last:
            return last
        _log.warning("log_is_older_than_keys", log_ends_at=last, keys_end_at=known)
        self._keys.void(last, known)
        return known  # so that no new entry gets a position in between

    def _find_lost_keys(self, last: int, floor: int) -> tuple[int, int] | None:
        """The positions, within the window, whose keys neither the index has nor a chunk: the index, or the file, is lost."""
        after, upto = self._mark("lost after"), self._mark("lost upto")  # by a start that was cut short
        if not upto:
            after, upto = self._keys.last(), self._mark("keyed")
            if self._files_of_first_layout():  # its log has no mark, so whatever was trimmed may have been keyed
                upto = self._number("SELECT coalesce(min(first) - 1, ?) FROM spans", last)
            if floor > last:
                upto = floor  # the store has what the log lacks, a new file or one that was cut back: whatever was keyed there
        after = max(after, self._oldest())
        if after >= upto:
            return None
        _log.warning("known_keys_lost", after=after, upto=upto)
        self._chunks.execute(
            "INSERT OR REPLACE INTO marks VALUES ('lost after', ?), ('lost upto', ?)", (after, upto)
        )  # both or neither
        return after, upto

    def _index_keys(self) -> None:
        """Give the index the keys of chunks that it does not have: after a crash, or a failure. Raises Unavailable."""
        if self._indexed >= self._durable:
            return
        try:
            try:
                self._feed()
            except Exception:  # noqa: BLE001  the index's library raises nothing narrower
                self._reopen()
                self._feed()
        except Exception as error:
            _log.exception("keys_not_indexed", position=self._indexed)
            raise Unavailable("Message ids cannot be indexed.", retry_after_s=5) from error

    def _feed(self) -> None:
        after = max(self._indexed, self._keys.last())
        rows = self._chunks.execute(
            "SELECT last, count, spaced, tail, keys, kinds, checks FROM chunks WHERE last > ? AND keys != x'' ORDER BY last",
            (after,),
        )
        for last, count, spaced, tail, keys, kinds, checks in rows:
            if not (has_sound_fields(last, count, tail, spaced, kinds, checks) and has_sound_keys(keys, checks)):
                _log.error("keys_not_indexed", position=last, why="their checksum does not match")
                continue
            self._keys.add(_given(positions_of(last, count, spaced), tail, keys), last)
        self._indexed = self._durable

    def _oldest(self) -> int:
        return first_position(max(0, self._clock_ms() - self._window_ms))

    def _mark(self, name: str) -> int:
        return self._number("SELECT coalesce(max(value), 0) FROM marks WHERE name = ?", name)

    def _files_of_first_layout(self) -> list[Path]:
        """Of an index that was one of RocksDB's folders itself, and had no generations: it is not read, but learnt again."""
        return [each for each in self._path.iterdir() if each.is_file()] if (self._path / "CURRENT").exists() else []

    def _number(self, sql: str, *values: object) -> int:
        return self._chunks.execute(sql, values).fetchone()[0]


def _given(positions: range, tail: int, keys: bytes) -> dict[bytes, tuple[int, int]]:
    """The position and tail that each key of a chunk was given."""
    return {
        key: (position, tail + index)
        for index, position in enumerate(positions)
        if (key := keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]) != NO_KEY
    }
