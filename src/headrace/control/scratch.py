"""Scratch space for work that has to remember more than fits into memory: a nameless SQLite file in the data folder."""

import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from headrace.control.participants import in_slices
from headrace.ports.control import ControlFailed
from headrace.ports.scratch import ScratchTable

_CACHE_KIB = 8 * 1024


class ScratchFile:
    """Fits the Scratch port. Its file has no name any more once it is open, so that not even a kill leaves it behind."""

    def __init__(self, folder: Path) -> None:
        """Raises ControlFailed."""
        with _failing():
            number, name = mkstemp(prefix="scratch-", dir=folder)
            os.close(number)
            try:
                # One thread at a time: the caller's. Nothing is ever recovered, so nothing is synced or journalled.
                self._file = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
                for pragma in (
                    "journal_mode=OFF",
                    "synchronous=OFF",
                    "locking_mode=EXCLUSIVE",
                    f"cache_size=-{_CACHE_KIB}",
                ):
                    self._file.execute(f"PRAGMA {pragma}")
                for table in ("states", "changes"):
                    self._file.execute(f"CREATE TABLE {table} (name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            finally:
                os.unlink(name)  # noqa: PTH108  it goes on without its name

    def get(self, table: ScratchTable, names: Sequence[str], /) -> dict[str, bytes]:
        """See the Scratch port."""
        found: dict[str, bytes] = {}
        with _failing():
            for some in in_slices(names):
                asked = f"SELECT name, value FROM {table} WHERE name IN ({','.join('?' * len(some))})"  # noqa: S608
                rows = self._file.execute(asked, [name.encode() for name in some])
                found.update((name.decode(), value) for name, value in rows)
        return found

    def put(self, table: ScratchTable, values: Mapping[str, bytes], /) -> None:
        """See the Scratch port."""
        rows = [(name.encode(), value) for name, value in sorted(values.items())]
        with _failing():
            self._file.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)  # noqa: S608

    def take(self, table: ScratchTable, names: Sequence[str], /) -> dict[str, bytes]:
        """See the Scratch port."""
        found = self.get(table, names)
        with _failing():
            self._file.executemany(f"DELETE FROM {table} WHERE name = ?", [(name.encode(),) for name in found])  # noqa: S608
        return found

    def items(self, table: ScratchTable, /) -> Iterator[tuple[str, bytes]]:
        """See the Scratch port."""
        with _failing():
            for name, value in self._file.execute(f"SELECT name, value FROM {table} ORDER BY name"):  # noqa: S608
                yield name.decode(), value

    def close(self) -> None:
        self._file.close()


@contextmanager
def _failing() -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ControlFailed(f"There is no room to work in the data folder: {error}") from error
