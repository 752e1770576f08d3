"""The keys that the log has seen within the dedup window: which position each was first given. Holds no entries.

An index and not a record: each key is durable in the log's own chunk before it comes here, so this one is written
without a log of its own, and after a crash it is given again what its last flush did not hold. That is what makes it
fast: a random key costs a hash and a memory write, where a B-tree costs a page of disk. Files are written once and
dropped whole, oldest first, by age or by the byte budget; so expiry never stalls a writer.

Source: https://github.com/facebook/rocksdb/wiki/FIFO-compaction-style
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

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

BYTES_PER_KEY = 43  # of a file, measured with 2 M random keys
_LAST = b"last"  # shorter than any key
_POSITION_BYTES, _TAIL_BYTES = 8, 7
_BLOOM_BITS = 14  # one look-up in a thousand reads a file that does not have the key
_CACHE_BYTES = 64 << 20
_FILE_BYTES = 64 << 20


class KnownKeys:
    """Fed and asked by one thread at a time. Raises rocksdict's DbClosedError or Exception when its files cannot be used."""

    def __init__(self, path: Path, *, window_s: float, max_bytes: int) -> None:
        self._path = path
        self._window_s = window_s
        self._max_bytes = max_bytes
        path.mkdir(mode=0o700, exist_ok=True)
        self._files = Rdict(str(path), _options(max_bytes))
        self._unsynced = WriteOptions()
        self._unsynced.disable_wal = True  # pyright: ignore[reportAttributeAccessIssue]  its stub says method
        self._files.set_write_options(self._unsynced)
        # A file goes when the youngest of its keys is past the window; small ones become one, since a look-up asks each.
        self._files.set_options(
            {
                "ttl": str(max(60, int(window_s))),
                "compaction_options_fifo": f"{{max_table_files_size={max_bytes};allow_compaction=true}}",
            }
        )
        self._last = self._flushed = self._stored_last()

    def find(self, keys: Sequence[bytes], /) -> dict[bytes, tuple[int, int]]:
        """The position and tail that each known key was first given; unknown keys are left out."""
        found: list[bytes | None] = self._files.get(list(keys)) or []
        return {
            key: (int.from_bytes(value[:_POSITION_BYTES], "big"), int.from_bytes(value[_POSITION_BYTES:], "big"))
            for key, value in zip(keys, found, strict=True)
            if value is not None
        }

    def add(self, given: Mapping[bytes, tuple[int, int]], last: int, /) -> None:
        """Know these keys, and that the log was indexed up to the position `last`. Lost in a crash until flushed."""
        batch = WriteBatch(raw_mode=True)
        for key, (position, tail) in given.items():
            batch.put(key, position.to_bytes(_POSITION_BYTES, "big") + tail.to_bytes(_TAIL_BYTES, "big"))
        batch.put(_LAST, last.to_bytes(_POSITION_BYTES, "big"))
        self._files.write(batch, self._unsynced)
        self._last = last

    def last(self) -> int:
        """The position up to which the log is indexed."""
        return self._last

    def flush(self) -> None:
        """Write down, synced, what is known. May be called while another thread adds; what it adds may miss this flush."""
        last = self._last
        if last > self._flushed:
            self._files.flush()
            self._flushed = last

    def window_s(self) -> float:
        """How far back keys are known: less than the setting once the byte budget has dropped younger files."""
        files = self._files.live_files()
        if sum(file["size"] for file in files) < self._max_bytes - 2 * _file_bytes(self._max_bytes):
            return self._window_s
        oldest = time.time()
        for file in files:
            with suppress(FileNotFoundError):  # dropped just now
                oldest = min(oldest, (self._path / file["name"].lstrip("/")).stat().st_mtime)
        return min(self._window_s, time.time() - oldest)

    def close(self) -> None:
        self.flush()
        self._files.close()

    def _stored_last(self) -> int:
        value = self._files.get(_LAST)
        return 0 if value is None else int.from_bytes(value, "big")


def _file_bytes(max_bytes: int) -> int:
    """So large that there are few files to look into, and so small that dropping one is a small part of the budget."""
    return max(64 << 10, min(_FILE_BYTES, max_bytes // 16))


def _options(max_bytes: int) -> Options:
    table = BlockBasedOptions()
    table.set_bloom_filter(_BLOOM_BITS, block_based=False)
    table.set_block_cache(Cache(_CACHE_BYTES))
    drop_oldest = FifoCompactOptions()
    drop_oldest.max_table_files_size = max_bytes
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compaction_style(DBCompactionStyle.fifo())
    options.set_fifo_compaction_options(drop_oldest)
    options.set_compression_type(DBCompressionType.none())  # hashes do not compress
    options.set_write_buffer_size(_file_bytes(max_bytes))
    options.set_max_write_buffer_number(4)  # so that an append need not wait for a file to be written
    options.set_max_background_jobs(2)
    options.set_max_open_files(-1)  # keeps every file's filter at hand
    options.set_keep_log_file_num(2)
    return options
