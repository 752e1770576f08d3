"""The store: ClickHouse through clickhouse-connect. Migrates the schema and writes; its base classes answer queries."""

import threading
import traceback
from collections.abc import Sequence
from importlib import resources

from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.model.entries import Keyed, Record
from headrace.model.event import MAX_TAIL, Tenant, event_id, position_of, tail_of
from headrace.ports.store import StoreFailed, StoreRefused
from headrace.store.copies import CopiedStore
from headrace.store.engine import ERROR_CODE, let_merges_give_way
from headrace.store.exports import ExportReader
from headrace.store.funnels import FunnelReader
from headrace.store.keyed import keyed_in
from headrace.store.metrics import MetricsReader
from headrace.store.people import PersonReader
from headrace.store.queries import conditions, upkeep
from headrace.store.queries.conditions import Hot, Query
from headrace.store.queries.events import INPUT_COLUMNS
from headrace.store.stderr import stderr_logged

_INSERT_SETTINGS: dict[str, object] = {
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

_POSITIONS_AT_ONCE = 1000
# Errors of the row itself: text, numbers or times that cannot be parsed, or do not fit their column.
_REFUSED = {"6", "25", "26", "27", "38", "41", "53", "69", "70", "72", "117", "321", "691"}


class ClickHouseStore(ExportReader, FunnelReader, CopiedStore, MetricsReader, PersonReader):
    """Fits the ErasableStore, CancellableReader, EventsInOrder, Exports, StoredTwins and FrozenParts ports."""

    def __init__(
        self,
        dsn: str,
        *,
        query_timeout_s: float = 30.0,
        query_max_memory_bytes: int = 1 << 29,
        hot_tags: Sequence[str] = (),
        max_page_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        """Connect and bring the schema up to date. Raises StoreFailed.

        hot_tags: tags that get their own column, which makes queries cheaper and changes no answer.
        """
        super().__init__(dsn, query_timeout_s=query_timeout_s, query_max_memory_bytes=query_max_memory_bytes)
        self._max_page_bytes = max_page_bytes
        self._erasing = threading.Lock()  # the table `erasing` belongs to one erasure at a time
        try:
            with stderr_logged():
                self._migrate()
                self._hot = self._heat(hot_tags)
            let_merges_give_way()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def _migrate(self) -> None:
        """Run the schema files not yet recorded, in order. A file may run again after a crash before it was recorded."""
        with self._writers.lend() as client:
            client.command(
                "CREATE TABLE IF NOT EXISTS headrace_schema (file String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
                "ENGINE = MergeTree ORDER BY file SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
            )
            applied = client.raw_query("SELECT file FROM headrace_schema", fmt="TabSeparated").decode().split()
            folder = resources.files("headrace.store") / "schema"
            for file in sorted(folder.iterdir(), key=lambda file: file.name):
                if file.name.endswith(".sql") and file.name not in applied:
                    for statement in file.read_text().split(";\n"):
                        if statement.strip():
                            client.command(statement)
                    client.command("INSERT INTO headrace_schema (file) VALUES ({file:String})", {"file": file.name})

    def _heat(self, tags: Sequence[str]) -> Hot:
        """Give tags their columns. Older parts compute them when they are read, until a background mutation has stored them."""
        columns = {key: conditions.hot_column(key) for key in tags}
        with self._writers.lend() as client:
            known = client.raw_query("DESCRIBE TABLE events", fmt="TabSeparated").decode()
            for name, declared in columns.values():
                if f"{name}\t" not in known:
                    client.command(f"ALTER TABLE events ADD COLUMN IF NOT EXISTS {declared}")
                    client.command(f"ALTER TABLE events MATERIALIZE COLUMN {name} SETTINGS mutations_sync = 0")
        return {key: name for key, (name, _) in columns.items()}

    def insert(self, records: Sequence[Record], /) -> None:
        """See the Store port."""
        rows = b"\n".join(
            [
                b'{"position":%d,"tail":%d,%b' % (each.position, each.tail & MAX_TAIL, each.payload[1:])
                for each in records
            ]
        )
        try:
            with self._writers.lend() as client:
                client.raw_insert(
                    "arriving", INPUT_COLUMNS, insert_block=rows, fmt="JSONEachRow", settings=_INSERT_SETTINGS
                )
        except (ClickHouseError, OSError) as error:  # with chDB the rows pass through a temporary file
            _let_go(error)
            found = ERROR_CODE.search(str(error))
            raise (StoreRefused if found and found[1] in _REFUSED else StoreFailed)(str(error)) from error

    def probe(self) -> None:
        """Insert a row into a separate table, and remove it. Raises StoreFailed if that fails."""
        try:
            with self._erasing, self._writers.lend() as client:
                client.raw_insert("erasing", ("position", "tail"), insert_block=b"0\t0", fmt="TabSeparated")
                client.command(upkeep.FORGET_ERASED)
        except (ClickHouseError, OSError) as error:
            _let_go(error)
            raise StoreFailed(str(error)) from error

    def present(self, after: int, upto: int, /) -> set[str]:
        """See the Store port."""
        return set(map(_id, self._tell(upkeep.present(after, upto)).splitlines()))

    def last(self, after: int, /) -> int:
        """See the Store port."""
        return max(after, int(self._tell(upkeep.last(after))))

    def held(self, after: int, upto: int, /) -> int:
        """See the Store port."""
        return int(self._tell(upkeep.held(after, upto)))

    def damaged(self) -> list[str]:
        """See the Store port."""
        parts = (row.split("\t", 2) for row in self._tell(upkeep.sound_parts()).splitlines())
        return [f"The store's part {name} cannot be read: {message}" for name, sound, message in parts if sound != "1"]

    def keyed(self, after: int, upto: int, /, limit: int) -> list[Keyed]:
        """The newest `limit` events with a dedup key between two positions. Raises StoreFailed."""
        return self._keyed(upkeep.keyed(after, upto, limit))

    def keyed_at(self, positions: Sequence[int], /) -> list[Keyed]:
        """The events at some thousand positions, whether or not they have a dedup key. Raises StoreFailed."""
        return [
            row
            for start in range(0, len(positions), _POSITIONS_AT_ONCE)
            for row in self._keyed(upkeep.keyed_at(positions[start : start + _POSITIONS_AT_ONCE]))
        ]

    def owned(self, tenant: Tenant, ids: Sequence[str], after: int, upto: int, limit: int, /) -> list[Keyed]:
        """So many of the tenant's events of some owners with `after` < position <= `upto`, oldest first. Raises StoreFailed."""
        return self._keyed(upkeep.owned(tenant, ids, after, upto, limit))

    def old(self, tenant: Tenant, before_ms: int, after: int, upto: int, /) -> int:
        """See the AgingStore port."""
        return int(self._tell(upkeep.old(tenant, before_ms, after, upto)))

    def prune(self, tenant: Tenant, before_ms: int, upto: int, /) -> None:
        """See the AgingStore port. ClickHouse unlinks the files of a rewritten part some minutes later."""
        query = upkeep.prune(tenant, before_ms, upto)
        try:
            with self._writers.lend() as client:
                client.command(query.sql, query.params)
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def stored(self, ids: Sequence[str], /) -> set[str]:
        """See the ErasableStore port."""
        positions = list(map(position_of, ids))
        answers = [
            self._tell(upkeep.stored_at(positions[start : start + _POSITIONS_AT_ONCE]))
            for start in range(0, len(positions), _POSITIONS_AT_ONCE)
        ]
        return {_id(row) for answer in answers for row in answer.splitlines()}.intersection(ids)

    def erase(self, ids: Sequence[str], /) -> None:
        """See the ErasableStore port. ClickHouse unlinks the files of a rewritten part some minutes later."""
        if not ids:
            return
        rows = "\n".join([f"{position_of(each)}\t{tail_of(each)}" for each in ids])
        try:
            with self._erasing, self._writers.lend() as client:
                client.raw_insert("erasing", ("position", "tail"), insert_block=rows.encode(), fmt="TabSeparated")
                # A crash from here on leaves the ids in place; erasing the same events again finishes it.
                client.command(upkeep.ERASE)
                client.command(upkeep.FORGET_ERASED)
        except (ClickHouseError, OSError) as error:
            raise StoreFailed(str(error)) from error

    def _keyed(self, query: Query) -> list[Keyed]:
        try:
            with self._writers.lend() as client:
                lines = client.raw_query(query.sql, query.params, fmt="JSONCompactEachRow").splitlines()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error
        return list(map(keyed_in, lines))

    def _tell(self, query: Query) -> str:
        """Run a query for the worker, without the limits of readers."""
        try:
            with self._writers.lend() as client:
                return client.raw_query(query.sql, query.params, fmt="TabSeparated").decode()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error


def _let_go(error: BaseException) -> None:
    """Close the temporary file of a failed insert: otherwise it takes up room on a full disk as long as the error lives."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def _id(row: str) -> str:
    position, tail = row.split("\t")
    return event_id(int(position), int(tail))
