"""Writes events into the store, and erases them."""

import threading
import traceback
from collections.abc import Sequence
from io import BytesIO

from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.model.entries import Record
from headrace.model.event import MAX_TAIL, Tenant, position_of, tail_of
from headrace.ports.store import StoreFailed, StoreRefused
from headrace.store.engine import ERROR_CODE, Engine
from headrace.store.fence import InsertFence
from headrace.store.queries import upkeep
from headrace.store.queries.events import INPUT_COLUMNS
from headrace.store.upkeep import UpkeepReader

INSERT_SETTINGS: dict[str, object] = {
    # One block, so that one insert is one part: atomic.
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 1 << 32,
    "input_format_parallel_parsing": 0,
    # Records of two months would be two parts, of which a crash could store only one.
    "max_partitions_per_insert_block": 1,
    "precise_float_parsing": 1,
}

_ERASED_AT_ONCE = 1000  # on a cluster, whose nodes are sent the ids as text

# Errors of the row itself: text, numbers or times that cannot be parsed, or do not fit their column.
_REFUSED = {"6", "25", "26", "27", "38", "41", "53", "69", "70", "72", "117", "321", "691"}


class EventWriter:
    """What the Store, ErasableStore and AgingStore ports change."""

    def __init__(self, engine: Engine, fence: InsertFence | None = None) -> None:
        """fence: of a store on a network; its inserts go through the fence's table."""
        self._engine = engine
        self._fence = fence
        self._erasing = threading.Lock()  # the table `erasing` belongs to one erasure at a time

    def insert(self, records: Sequence[Record], /) -> None:
        """See the Store port."""
        if not records:
            return
        fence, table, columns, settings = b"", "arriving", INPUT_COLUMNS, INSERT_SETTINGS
        if self._fence is not None:
            fence, table, columns = b'"fence":%d,' % self._fence.current, self._fence.table, (*INPUT_COLUMNS, "fence")
            settings = INSERT_SETTINGS | {"log_comment": self._fence.mark()}
        rows = b"\n".join(
            [
                b'{%b"position":%d,"tail":%d,%b' % (fence, each.position, each.tail & MAX_TAIL, each.payload[1:])
                for each in records
            ]
        )
        # Bytes would be sent again by clickhouse-connect when the server closes without a reply, and perhaps be there twice.
        block = rows if self._fence is None else BytesIO(rows)
        if self._engine.place.cluster:
            settings = settings | self._engine.inserting()
        try:
            with self._engine.writers.lend() as client:
                client.raw_insert(table, columns, insert_block=block, fmt="JSONEachRow", settings=settings)
        except (ClickHouseError, OSError) as error:  # with chDB the rows pass through a temporary file
            _free_file_of(error)
            found = ERROR_CODE.search(str(error))
            raise (StoreRefused if found and found[1] in _REFUSED else StoreFailed)(str(error)) from error
        finally:  # after a failure too: they may be stored
            if self._engine.answers is not None:
                self._engine.answers.added(each.payload for each in records)

    def probe(self) -> None:
        """Insert a row into a separate table, and remove it. Raises StoreFailed if that fails."""
        try:
            with self._erasing, self._engine.writers.lend() as client:
                client.raw_insert("erasing", ("position", "tail"), insert_block=b"0\t0", fmt="TabSeparated")
                client.command(upkeep.forget_erased(self._engine.place))
        except (ClickHouseError, OSError) as error:
            _free_file_of(error)
            raise StoreFailed(str(error)) from error

    def prune(self, tenant: Tenant, before_ms: int, upto: int, /) -> None:
        """See the AgingStore port. ClickHouse unlinks the files of a rewritten part some minutes later."""
        try:
            self._engine.command(upkeep.prune(tenant, before_ms, upto, self._engine.place))
        finally:
            if self._engine.answers is not None:
                self._engine.answers.changed(tenant)

    def erase(self, ids: Sequence[str], /) -> None:
        """See the ErasableStore port. ClickHouse unlinks the files of a rewritten part some minutes later."""
        if not ids:
            return
        if self._engine.place.cluster:
            self._erase_on_cluster(ids)
            return
        rows = "\n".join([f"{position_of(each)}\t{tail_of(each)}" for each in ids])
        try:
            with self._erasing, self._engine.writers.lend() as client:
                client.raw_insert("erasing", ("position", "tail"), insert_block=rows.encode(), fmt="TabSeparated")
                # A crash from here on leaves the ids in place; erasing the same events again finishes it.
                client.command(upkeep.ERASE)
                client.command(upkeep.forget_erased(self._engine.place))
        except (ClickHouseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        finally:
            if self._engine.answers is not None:
                self._engine.answers.forget()
        # A worker that was taken over from may have emptied the table with the ids.
        if self._fence is not None and UpkeepReader(self._engine).stored(ids):
            raise StoreFailed("Events are still there after they were erased: another worker was erasing as well.")

    def _erase_on_cluster(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _ERASED_AT_ONCE):
            some = ids[start : start + _ERASED_AT_ONCE]
            erase = upkeep.erase(self._engine.place, list(map(position_of, some)), list(map(tail_of, some)))
            self._engine.command(erase)


def _free_file_of(error: BaseException) -> None:
    """Close the temporary file of a failed insert: otherwise it takes up room on a full disk as long as the error lives."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
