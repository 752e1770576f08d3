"""The keys that the log has seen within the dedup window, each with the position it was first given. Holds no entries.

This is an index, not a record. Every key is durable in the log's own chunk before it gets here, so the index needs no log of its
own: after a crash, it gets again what its last flush did not contain. That makes it fast: a random key costs a hash and a memory
write, where a B-tree costs a page of disk.

There are two generations: both are searched, and the younger is written. Once the younger is as old as the window, or holds half
the byte budget, it becomes the older one, and the previous older one is deleted whole. So expiry costs a few unlinks, and no key
is forgotten before its window has passed unless the budget is exceeded. RocksDB's own expiry by age is not used: it merges files
and drops a merged file when its oldest key is due, along with the young ones.

Source: https://github.com/facebook/rocksdb/wiki/FIFO-compaction-style
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    DBCompressionType,
    FifoCompactOptions,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

_log = structlog.get_logger("headrace.log")

BYTES_PER_KEY = 43  # in a file, measured with 2 M random keys
_LAST, _VOIDS = b"last", b"voids"  # shorter than any key
_MOST_VOIDS = 1000
_POSITION_BYTES, _TAIL_BYTES = 8, 7
_TAIL_BITS = 8 * _TAIL_BYTES
_BLOOM_BITS = 14  # one look-up in a thousand reads a file without the key
_CACHE_BYTES = 64 << 20
_FILE_BYTES = 64 << 20
_MERGED_FILES = 8  # this many are merged into one, since a look-up asks each
_MEMORY_BLOOM_SHARE = 0.05  # for keys in memory: rules an unknown key out at a fifth of the cost of searching
_NO_LIMIT = 1 << 62


class _Generation:
    """The keys of a period: a folder, named by its number and its first millisecond."""

    def __init__(self, path: Path, max_bytes: int, cache: Cache) -> None:
        self.path = path
        number, began_ms = path.name.split("-")
        self.number = int(number)
        self.began_s = int(began_ms) / 1000
        path.mkdir(mode=0o700, exist_ok=True)
        options = _options(max_bytes, cache)
        # Passed explicitly: for an existing folder, options alone would apply in part, and no filter would be read or written.
        # Source: https://github.com/quixio/quix-streams/issues/1136
        self.files = Rdict(str(path), options, column_families={"default": options})
        self.unsynced = WriteOptions()
        self.unsynced.disable_wal = True  # pyright: ignore[reportAttributeAccessIssue]  its stub says method
        self.files.set_write_options(self.unsynced)
        # Merges small files. Without a ttl of 0, files would be deleted after 30 days.
        fifo = f"{{max_table_files_size={_NO_LIMIT};allow_compaction=true}}"
        self.files.set_options({"ttl": "0", "compaction_options_fifo": fifo})
        self.bytes = sum(file["size"] for file in self.files.live_files())

    def last(self) -> int:
        value: bytes | None = self.files.get(_LAST)
        return 0 if value is None else int.from_bytes(value, "big")

    def voids(self) -> list[tuple[int, int]]:
        value: bytes = self.files.get(_VOIDS) or b""
        ends = [
            int.from_bytes(value[start : start + _POSITION_BYTES], "big")
            for start in range(0, len(value), _POSITION_BYTES)
        ]
        return list(zip(ends[::2], ends[1::2], strict=True))

    def write_voids(self, voids: Sequence[tuple[int, int]]) -> None:
        self.files.put(_VOIDS, b"".join(each.to_bytes(_POSITION_BYTES, "big") for pair in voids for each in pair))


class KnownKeys:
    """For one thread at a time. Raises rocksdict's DbClosedError or Exception if its files cannot be used."""

    def __init__(
        self,
        path: Path,
        *,
        window_s: float,
        max_bytes: int,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._clock_ms = clock_ms
        self._path = path
        self._window_s = window_s
        self._max_bytes = max_bytes
        self._cache = Cache(_CACHE_BYTES)
        path.mkdir(mode=0o700, exist_ok=True)
        folders = sorted(
            (each for each in path.iterdir() if each.is_dir()), key=lambda each: int(each.name.split("-")[0])
        )
        for left in folders[:-2]:  # left by a crash between creating one and deleting another
            shutil.rmtree(left)
        generations = [self._open(folder) for folder in folders[-2:]]
        self._current = generations.pop() if generations else self._begin(0)
        self._older = generations.pop() if generations else None
        self._last = self._flushed = max(each.last() for each in self._generations())
        self._voids = list(dict.fromkeys(void for each in self._generations() for void in each.voids()))

    def _open(self, folder: Path) -> _Generation:
        return _Generation(folder, self._max_bytes, self._cache)

    def _begin(self, number: int) -> _Generation:
        return self._open(self._path / f"{number}-{self._clock_ms()}")

    def _generations(self) -> list[_Generation]:
        return [self._current, self._older] if self._older else [self._current]

    def find(self, keys: Sequence[bytes], /) -> dict[bytes, tuple[int, int]]:
        """The position and tail that each key was first given, without unknown keys."""
        wanted: list[Any] = list(keys)
        given: dict[bytes, tuple[int, int]] = {}
        # The younger first: it has the keys that were given again after their window.
        for generation in self._generations():
            found: list[bytes | None] = generation.files.get(wanted) or []
            for key, value in zip(wanted, found, strict=True):
                if value is not None and key not in given:
                    position = int.from_bytes(value[:_POSITION_BYTES], "big")
                    given[key] = (position, int.from_bytes(value[_POSITION_BYTES:], "big"))
        if given and self._voids:
            return {key: each for key, each in given.items() if not self._is_void(each[0])}
        return given

    def add(self, given: Mapping[bytes, tuple[int, int]], last: int, /) -> None:
        """Add keys, and note that the log is indexed up to the position `last`. Lost in a crash until flushed."""
        current = self._current
        if self._age_s(current) > self._window_s or current.bytes >= self._max_bytes // 2:
            current = self._turn()
        batch = WriteBatch(raw_mode=True)
        for key, (position, tail) in given.items():
            batch.put(key, (position << _TAIL_BITS | tail).to_bytes(_POSITION_BYTES + _TAIL_BYTES, "big"))
        last = max(self._last, last)
        batch.put(_LAST, last.to_bytes(_POSITION_BYTES, "big"))
        current.files.write(batch, current.unsynced)
        self._last = last  # only now: if the write failed, they are still to be indexed
        current.bytes += len(given) * BYTES_PER_KEY

    def _turn(self) -> _Generation:
        """Begin a generation, after writing out what it needs of the previous one, so that a crash here loses nothing."""
        self.flush()
        gone, self._older = self._older, self._current
        self._current = self._begin(self._older.number + 1)
        if self._voids:
            self._current.write_voids(self._voids)
        if gone:
            gone.files.close()
            shutil.rmtree(gone.path)
        _log.info("known_keys_turned", known_since_s=round(self._age_s(self._older)))
        return self._current

    def void(self, after: int, upto: int, /) -> None:
        """Forget keys with `after` < position <= `upto`: the entries there are lost.

        Durable on return. Notes the range, because finding the keys themselves would mean reading all of them.
        """
        self._voids = [*self._voids[-_MOST_VOIDS:], (after, upto)]
        self._current.write_voids(self._voids)
        self._current.files.flush()

    def _is_void(self, position: int) -> bool:
        return any(after < position <= upto for after, upto in self._voids)

    def last(self) -> int:
        """The position up to which the log is indexed."""
        return self._last

    def flush(self) -> None:
        """Write what is known to disk and sync it. Another thread may add keys meanwhile; those may miss this flush."""
        # In this order: if a generation begins in between, it has written out everything known by then.
        last, current = self._last, self._current
        if last > self._flushed:
            current.files.flush()
            self._flushed = last

    def window_s(self) -> float:
        """How far back keys are known: less than the setting once the byte budget has dropped a generation early."""
        oldest = self._older or self._current
        return self._window_s if oldest.number == 0 else min(self._window_s, max(0.0, self._age_s(oldest)))

    def _age_s(self, generation: _Generation) -> float:
        return self._clock_ms() / 1000 - generation.began_s

    def close(self) -> None:
        try:
            self.flush()
        finally:
            for generation in self._generations():
                generation.files.close()


def _file_bytes(max_bytes: int) -> int:
    """The size of a file: large enough that few files must be searched, small enough that few keys wait in memory."""
    return max(64 << 10, min(_FILE_BYTES, max_bytes // 16))


def _options(max_bytes: int, cache: Cache) -> Options:
    table = BlockBasedOptions()
    table.set_bloom_filter(_BLOOM_BITS, block_based=False)
    table.set_block_cache(cache)
    keep_all = FifoCompactOptions()
    keep_all.max_table_files_size = _NO_LIMIT
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compaction_style(DBCompactionStyle.fifo())
    options.set_fifo_compaction_options(keep_all)
    options.set_compression_type(DBCompressionType.none())  # hashes do not compress
    options.set_write_buffer_size(_file_bytes(max_bytes))
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(_MEMORY_BLOOM_SHARE)
    options.set_level_zero_file_num_compaction_trigger(_MERGED_FILES)
    options.set_max_write_buffer_number(4)  # so that an append need not wait for a file to be written
    options.set_max_background_jobs(2)
    options.set_max_open_files(-1)  # keeps every file's filter in memory
    options.set_keep_log_file_num(2)
    return options
