"""Copies of the store's rows, for backups of a store whose files are out of reach, and for filling an empty store."""

import sys
from array import array
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO, cast

from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.ports.copies import Figures
from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries import copies as queries
from headrace.store.queries.events import INPUT_COLUMNS

_FORMAT = "JSONEachRow"
FILLING = "headrace-restore"  # what tells its inserts from others while they run
_INSERT_SETTINGS: dict[str, object] = {"async_insert": 0, "precise_float_parsing": 1, "log_comment": FILLING}


class RowCopies:
    """Fits the CopiedRows port. Any thread may call it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def minutes(self, upto: int, /) -> "array[int]":
        """See the CopiedRows port."""
        found = array("Q")
        found.frombytes(self._engine.tell(queries.minutes(upto), "RowBinary"))
        if sys.byteorder == "big":
            found.byteswap()
        return found

    def figures(self, after: int, upto: int, /) -> Figures:
        """See the CopiedRows port."""
        return Figures(*map(int, self._engine.tell(queries.figures(after, upto)).split()))

    @contextmanager
    def rows(self, after: int, upto: int, /) -> Generator[BinaryIO]:
        """See the CopiedRows port."""
        query = queries.rows(after, upto)
        try:
            with self._engine.writers.lend() as client:
                stream = cast("BinaryIO", client.raw_stream(query.sql, query.params, fmt=_FORMAT))
                try:
                    yield stream
                finally:
                    stream.close()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def add_rows(self, rows: BinaryIO, /) -> None:
        """See the CopiedRows port."""
        settings = _INSERT_SETTINGS | self._engine.inserting()
        try:
            with self._engine.writers.lend() as client:
                client.raw_insert("arriving", INPUT_COLUMNS, insert_block=rows, fmt=_FORMAT, settings=settings)
        except (ClickHouseError, OSError) as error:
            raise StoreFailed(str(error)) from error
