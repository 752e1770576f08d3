"""Indexes the keys of the log's chunks: feeds `KnownKeys`, and repairs it if it lags, breaks or is lost.

The chunks are the record and this is an index of them; it reads again there what it lacks. It shares the log's connection, so
one thread at a time may call it; `written_upto` and `window_s` may be called by any.
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
# Any other reason why the index cannot be opened, such as a full disk, must not discard what it knows.
_SIGNS_OF_DAMAGE = ("Corruption", "No such file", "Invalid argument")
KEY_BYTES = 16
NO_KEY = bytes(KEY_BYTES)


class KeyIndex:
    """lost: (after, upto), the positions whose keys are unknown until they have been learnt; None if none are missing."""

    def __init__(
        self,
        path: Path,
        chunks: sqlite3.Connection,
        *,
        window_s: float,
        max_bytes: int,
        clock_ms: Callable[[], int],
    ) -> None:
        """Open or create the index of the log that the connection `chunks` has open. Raises Unavailable."""
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
        """Bring the index in line with a log that was just opened and ends at `last`.

        Returns the position from which the log must continue. floor: the store has events up to there.
        Raises Unavailable, sqlite3.Error.
        """
        self._durable = self._void_keys_of_lost_entries(max(last, floor))
        self.lost = self._find_lost_keys(last, floor)
        self._index_keys()
        return self._durable

    def read_from(self, chunks: sqlite3.Connection, /) -> None:
        """Use this connection to the log's file from now on."""
        self._chunks = chunks

    def forget(self, after: int, upto: int, /) -> None:
        """Forget keys whose position is past `after`, up to `upto`: the entries there are lost. Raises Unavailable."""
        try:
            self._keys.void(after, upto)
        except Exception as error:
            raise Unavailable(f"Message ids cannot be forgotten: {error}.") from error

    def find(self, keys: list[bytes], /) -> dict[bytes, tuple[int, int]]:
        """The position and tail that each key was first given, for keys within the dedup window. Raises Unavailable."""
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
        """Add the keys of a chunk that is durable now. Must not fail: the next look-up adds whatever the index lacks."""
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
        """The position up to which the index's keys are on disk, so that the chunks' own copy is no longer needed."""
        if upto > self._written:
            keys, indexed = (
                self._keys,
                self._indexed,
            )  # in this order: a reopened index may have less, and must be fed first
            # Each flush creates a file, so not at every trim; but if there is nothing left to write, it costs nothing.
            if received_at_ms(upto) - received_at_ms(self._written) >= _FLUSH_EVERY_MS or upto >= indexed:
                try:
                    keys.flush()
                except Exception:  # noqa: BLE001  the index's library raises nothing narrower; the chunks stay until it works
                    _log.exception("keys_not_written", upto=indexed)
                    return self._written
                self._written = indexed
        return self._written

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """Add lost keys again, with the position and tail that each was first given. Call it before the first append.

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
        """How far back keys are known: less than the setting once the byte budget is exceeded."""
        return self._keys.window_s()

    def close(self) -> None:
        self._keys.close()

    def _open(self) -> KnownKeys:
        """Open the index; if it is damaged, put it aside and create a new one. Raises Unavailable if it cannot be opened now."""
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
        """Reopen the index: after a failed write, such as to a full disk, RocksDB accepts no more. The chunks have the rest."""
        if time.monotonic() - self._reopened_at < _REOPEN_EVERY_S:
            return
        self._reopened_at = time.monotonic()
        self._indexed = -1
        with suppress(Exception):
            self._keys.close()
        self._keys = self._make(self._path)
        self._indexed = self._keys.last()

    def _void_keys_of_lost_entries(self, last: int) -> int:
        """Forget the keys of entries that a log restored from an older copy lacks: a retry of those must be stored.

        Entries up to the floor are in the store, so they are not lost.
        """
        known = self._keys.last()
        if known <= last:
            return last
        _log.warning("log_is_older_than_keys", log_ends_at=last, keys_end_at=known)
        self._keys.void(last, known)
        return known  # so that no new entry gets a position in this range

    def _find_lost_keys(self, last: int, floor: int) -> tuple[int, int] | None:
        """The positions within the window whose keys neither the index nor a chunk has: the index, or the file, was lost."""
        after, upto = self._mark("lost after"), self._mark("lost upto")  # by a start that was interrupted
        if not upto:
            after, upto = self._keys.last(), self._mark("keyed")
            if self._files_of_first_layout():  # its log has no mark, so trimmed entries may have had keys
                upto = self._number("SELECT coalesce(min(first) - 1, ?) FROM spans", last)
            if floor > last:
                upto = floor  # the store has events that the log lacks (a new file, or an older copy): they may have had keys
        after = max(after, self._oldest())
        if after >= upto:
            return None
        _log.warning("known_keys_lost", after=after, upto=upto)
        self._chunks.execute(
            "INSERT OR REPLACE INTO marks VALUES ('lost after', ?), ('lost upto', ?)", (after, upto)
        )  # both or neither
        return after, upto

    def _index_keys(self) -> None:
        """Add the keys of chunks that the index lacks after a crash or a failure. Raises Unavailable."""
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
        """The files of an index without generations, from an earlier version: it is not read, and its keys are learnt again."""
        return [each for each in self._path.iterdir() if each.is_file()] if (self._path / "CURRENT").exists() else []

    def _number(self, sql: str, *values: object) -> int:
        return self._chunks.execute(sql, values).fetchone()[0]


def _given(positions: range, tail: int, keys: bytes) -> dict[bytes, tuple[int, int]]:
    """The position and tail of each key of a chunk."""
    return {
        key: (position, tail + index)
        for index, position in enumerate(positions)
        if (key := keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]) != NO_KEY
    }
