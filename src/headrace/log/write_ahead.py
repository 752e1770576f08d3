"""Repairs the log's write-ahead file before SQLite opens it, so that a flipped byte in it costs no acknowledged entry.

SQLite reads the file up to the first frame whose checksum does not match, and silently drops the rest. After a power cut that is
right, because the rest was never acknowledged. After a disk has changed a byte, the rest is what clients were told is safe. The
two can be told apart: torn writes leave no later transaction. Since the checksum is linear, a single changed byte can be found
from it and corrected.
Sources: https://www.sqlite.org/fileformat2.html#the_write_ahead_log, https://www.sqlite.org/wal.html
"""

import os
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from headrace.log.checks import payloads_of

_log = structlog.get_logger("headrace.log")
_HEADER, _FRAME_HEADER = 32, 24
_MAGIC = 0x377F0682  # the lowest bit: checksums are computed from big-endian words
_VERSION = 3007000
_MOD = 1 << 32
_MXFRAME_AT = 16  # in the index of the write-ahead file: the number of valid frames
_MANY = 1 << 30
_BYTES = [0xFF << shift for shift in (0, 8, 16, 24)]
Sum = tuple[int, int]


def mend(path: Path, now_ms: int, /) -> None:
    """Make SQLite accept synced frames of the log at `path` that it would otherwise drop.

    No connection may be open. A page that cannot be corrected is left as it is, and the damaged file is kept beside the log; the
    log's own checksums then tell what is wrong. Raises OSError, sqlite3.Error.
    """
    wal = path.with_name(path.name + "-wal")
    try:
        content = wal.read_bytes() if path.exists() else b""  # it belongs to no log
    except FileNotFoundError:
        return
    if len(content) <= _HEADER:
        return
    good = _good_frames(path)
    found = _Wal(content, path)
    if not found.is_whole or good >= found.committed_upto():
        return
    mended, left = found.mended_from(good)
    if left == 1 and found.choices:
        tried = {content: _unreadable_chunks(path, content) for content in found.chosen_from(good)}
        best = min(tried, key=lambda content: tried[content])
        mended, left = (best, 0) if tried[best] == 0 else (mended, left)
    if left and found.is_last_transaction(good) and _unreadable_chunks(path, mended) == _MANY:
        _log.warning("write_ahead_tail_dropped", frames=found.committed_upto() - good, good_frames=good)
        return  # never written, as after a power cut
    part = wal.with_name(wal.name + ".part")
    _write(part, mended)
    if left:
        os.link(wal, wal.with_name(f"{path.stem}.wal-torn-{now_ms}"))
    part.replace(wal)
    _log.error("write_ahead_mended", good_frames=good, saved_frames=found.committed_upto() - good, damaged_pages=left)


class _Frame(NamedTuple):
    start: int
    commits: bool
    salts: bytes
    stored: Sum


class _Wal:
    """The write-ahead file in memory."""

    def __init__(self, content: bytes, path: Path) -> None:
        self._content = bytearray(content)
        self.choices: list[tuple[int, bytes]] = []
        with suppress(struct.error):
            self._read_header(path)
        size = self._page_size + _FRAME_HEADER if self.is_whole else 0
        starts = range(_HEADER, len(content) - size + 1, size) if size else ()
        self._frames = [self._frame(start) for start in starts]
        if self.is_whole and not self._header_is_sound and self._frames:
            self._salts = self._frames[0].salts
        own = [index for index, frame in enumerate(self._frames) if frame.salts == self._salts]
        self._frames = self._frames[: own[-1] + 1] if own else []

    is_whole = False
    _page_size = 0
    _salts = b""
    _header_is_sound = False
    _order = "<"
    _first: Sum = (0, 0)

    def _read_header(self, path: Path) -> None:
        magic, version, page_size = struct.unpack(">III", self._content[:12])
        stored = struct.unpack(">II", self._content[24:32])
        self._order = ">" if magic & 1 else "<"
        self._header_is_sound = magic | 1 == _MAGIC | 1 and self._sum(self._content[:24], (0, 0)) == stored
        if not self._header_is_sound:
            with path.open("rb") as database:
                page_size = int.from_bytes(database.read(18)[16:18], "big")
            page_size = 65536 if page_size == 1 else page_size
            self._order, version = "<", _VERSION
        self._page_size = page_size
        self._salts = bytes(self._content[16:24])
        self._first = stored if self._header_is_sound else (0, 0)
        self.is_whole = 512 <= page_size <= 65536 and page_size & (page_size - 1) == 0 and version == _VERSION

    def _frame(self, start: int) -> _Frame:
        head = self._content[start : start + _FRAME_HEADER]
        return _Frame(start, any(head[4:8]), bytes(head[8:16]), struct.unpack(">II", head[16:24]))

    def committed_upto(self) -> int:
        """The number of frames up to the last one that ends a transaction."""
        return max([0, *(index + 1 for index, frame in enumerate(self._frames) if frame.commits)])

    def is_last_transaction(self, index: int) -> bool:
        """Whether this frame belongs to the last transaction."""
        return sum(frame.commits for frame in self._frames[index : self.committed_upto()]) == 1

    def mended_from(self, good: int) -> tuple[bytes, int]:
        """The file with its frames made valid from the first bad one on, and the number of pages that could not be corrected."""
        if not self._header_is_sound:
            good = 0
            head = struct.pack(">IIII", _MAGIC, _VERSION, self._page_size, 0) + self._salts
            self._first = self._sum(head, (0, 0))
            self._content[:_HEADER] = head + struct.pack(">II", *self._first)
        last = self.committed_upto()
        # The checksum stored before it: the next frame was computed from that of a good header or frame.
        stored = self._frames[good - 1].stored if good else self._first if self._header_is_sound else None
        left = 0
        for index in range(good, last):
            frame = self._frames[index]
            if stored is not None:
                made = self._sum(self._covered(frame), stored)
                if made != frame.stored and not self._follows(index + 1, made):
                    left += not self._put_right(frame, made)
            elif index:  # nothing to compare with
                left += 1
            stored = frame.stored
        return self._sealed_from(good), left

    def _sealed_from(self, good: int) -> bytes:
        """The file up to its last transaction's end, with a checksum for each frame from the first bad one on."""
        last = self.committed_upto()
        good = good if self._header_is_sound else 0
        now = self._frames[good - 1].stored if good else self._first
        for frame in self._frames[good:last]:
            now = self._sum(self._covered(frame), now)
            at = frame.start
            self._content[at + 8 : at + _FRAME_HEADER] = self._salts + struct.pack(">II", *now)
        return bytes(self._content[: self._frames[last - 1].start + _FRAME_HEADER + self._page_size])

    def _covered(self, frame: _Frame) -> bytes:
        """The bytes that the frame's checksum covers."""
        page = frame.start + _FRAME_HEADER
        return bytes(self._content[frame.start : frame.start + 8] + self._content[page : page + self._page_size])

    def _follows(self, index: int, made: Sum) -> bool:
        """Whether the next frame was computed from this checksum: then only the stored checksum was damaged."""
        if index >= len(self._frames):
            return False
        return self._sum(self._covered(self._frames[index]), made) == self._frames[index].stored

    def _put_right(self, frame: _Frame, made: Sum) -> bool:
        """Correct the one byte that explains the checksum, if there is one. Several candidates are put in `choices`.

        The highest bytes of words that are 384 apart have the same weight.
        """
        found: list[tuple[int, bytes]] = []
        words = self._words(self._covered(frame))
        off = ((frame.stored[0] - made[0]) % _MOD, (frame.stored[1] - made[1]) % _MOD)
        for index, (first, second) in _weights(len(words)):
            odd, difference = (first, off[0]) if first & 1 else (second, off[1])
            by = difference * pow(odd, -1, _MOD) % _MOD
            if (first * by % _MOD, second * by % _MOD) != off:
                continue
            changed = words[index] ^ (words[index] + by) % _MOD
            if sum(bool(changed & byte) for byte in _BYTES) == 1:
                at = frame.start + 4 * index + (16 if index >= 2 else 0)  # two words come before the salts
                found.append((at, struct.pack(f"{self._order}I", (words[index] + by) % _MOD)))
        if len(found) == 1:
            self._change(*found[0])
        else:
            self.choices += found
        return len(found) == 1

    def _change(self, at: int, word: bytes) -> bytes:
        """Write a word. Returns the one that was there."""
        before = bytes(self._content[at : at + 4])
        self._content[at : at + 4] = word
        return before

    def chosen_from(self, good: int) -> Iterator[bytes]:
        """Variants of the file, one for each word that may be the damaged one."""
        for at, word in self.choices:
            before = self._change(at, word)
            yield self._sealed_from(good)
            self._change(at, before)

    def _words(self, content: bytes) -> tuple[int, ...]:
        return struct.unpack(f"{self._order}{len(content) // 4}I", content)

    def _sum(self, content: bytes | bytearray, before: Sum) -> Sum:
        words = self._words(bytes(content))
        first, second = before
        for even, odd in zip(words[::2], words[1::2], strict=True):
            first = (first + even + second) % _MOD
            second = (second + odd + first) % _MOD
        return first, second


def _weights(words: int) -> Sequence[tuple[int, Sum]]:
    """How much each word, counted from the last, adds to the two halves of a checksum: Fibonacci numbers."""
    found: list[tuple[int, Sum]] = []
    even, odd = (1, 1), (0, 1)
    for index in range(words - 2, -1, -2):
        found += [(index, even), (index + 1, odd)]
        even, odd = _next(even), _next(odd)
    return found


def _next(weight: Sum) -> Sum:
    first = (weight[0] + weight[1]) % _MOD
    return first, (weight[1] + first) % _MOD


def _good_frames(path: Path) -> int:
    """How many frames SQLite accepts. Changes neither file."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        with suppress(sqlite3.Error):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with suppress(OSError):
            index = path.with_name(path.name + "-shm").read_bytes()
            return int.from_bytes(index[_MXFRAME_AT : _MXFRAME_AT + 4], sys.byteorder)
    return 0


def _unreadable_chunks(path: Path, mended: bytes) -> int:
    """How many chunks of the log are damaged with this write-ahead file; _MANY if SQLite cannot tell."""
    trial = path.with_name(path.name + ".trial")
    files = [trial, *(trial.with_name(trial.name + suffix) for suffix in ("-wal", "-shm"))]
    for file in files:
        file.unlink(missing_ok=True)
    try:
        os.link(path, trial)
        _write(files[1], mended)
        with closing(sqlite3.connect(f"{trial.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                return _MANY
            rows = connection.execute("SELECT last, count, tail, payloads, spaced, kinds, checks FROM chunks")
            return sum(payloads_of(row, lambda _: True) is None for row in rows)
    except sqlite3.Error:
        return _MANY
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
