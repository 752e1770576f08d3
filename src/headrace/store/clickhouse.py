"""The store: ClickHouse through clickhouse-connect, in this process (`chdb://`) or over HTTP. Runs SQL; builds none.

Two rules of chDB's shape this file. A handle that has raised may hold the rows of the query that failed and give them to
the next one, so it is dropped. And one handle runs one query at a time, so there is a pool of them.
"""

import re
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from importlib import resources
from typing import Any, TypeAlias

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.errors import InvalidRequest, Unavailable
from headrace.event import MAX_TAIL, Event, Mode, StoredEvent, Tenant, event_id
from headrace.filters import (
    MAX_BUCKETS,
    MAX_CATALOG_PROPERTIES,
    MAX_GROUPS,
    MAX_PROPERTY_CHARS,
    PROPERTY_TYPES,
    Catalog,
    CatalogEntry,
    CatalogPage,
    Counts,
    Dimension,
    Events,
    Filters,
    Observed,
    Page,
    PropertyType,
    Stats,
)
from headrace.measures import MAX_POINTS, Bucket, Figures, Group, Measured, Metric, Question
from headrace.ports import MessageId, Record, StoreFailed
from headrace.store import queries
from headrace.store.queries import Hint, Query
from headrace.zones import UTC_ZONE, WIDTH_MS, Interval, Zone, first_day_of

_GET_AT_ONCE = 1000
_ROWS_AT_ONCE = 100  # an event has at most 256 KiB, unless a setting says otherwise
_SMALL_ROW_BYTES, _SMALL_ROWS_AT_ONCE = 4096, 500
_MAX_PAGE_BYTES = 64 * 1024 * 1024
_MOST_HINTED = 5000
_WIDER = 200
_ERROR_CODE = re.compile(r"Code: (\d+)")
# Source: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_TIMED_OUT = {"159", "160"}
_OUT_OF_MEMORY = {"241"}
_BAD_VALUE = {"457"}  # a number that its placeholder's type cannot hold, such as a cursor's below zero

_INSERT_SETTINGS: dict[str, object] = {
    # One block, so that one insert is one part: atomic.
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 1 << 32,
    "input_format_parallel_parsing": 0,
    # Records of two months would be two parts, and a crash could store one without the other.
    "max_partitions_per_insert_block": 1,
    "precise_float_parsing": 1,
}


class _Row(Event, frozen=True, kw_only=True, gc=False):
    """A row as the store prints it."""

    position: int
    tail: int


_rows_decoder = msgspec.json.Decoder(list[Any])
_row_decoder = msgspec.json.Decoder(_Row)
_message_id_decoder = msgspec.json.Decoder(tuple[str, Mode, str, str, int, int], strict=False)
# ClickHouse prints the double 2**60 as 1152921504606847000, which is right for a double and wrong for an integer.
_Figure: TypeAlias = float | None
_FigureRow: TypeAlias = tuple[Any, Any, int, Figures]
_figures_decoder = msgspec.json.Decoder(tuple[int | None, str | None, int, list[_Figure]])
_ZERO_OF_NONE = ("count", "sum", "cardinality")
_stats_decoder = msgspec.json.Decoder(tuple[int, _Figure, _Figure, _Figure, _Figure, list[_Figure]])
_exact_stats_decoder = msgspec.json.Decoder(tuple[int, float, float, list[_Figure], list[tuple[int, str]]])


class _Handles:
    """Clients of one database: lent to one user at a time, and dropped once they have raised."""

    def __init__(self, dsn: str, settings: dict[str, object]) -> None:
        self._dsn = dsn
        self._settings = settings  # given once a handle: over chDB, giving them with a query costs four times the query
        self._idle: list[Client] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Generator[Client]:
        with self._lock:
            client = self._idle.pop() if self._idle else None
        client = client or clickhouse_connect.get_client(dsn=self._dsn, settings=dict(self._settings))
        try:
            yield client
        except BaseException:
            client.close()  # not back to the pool: it may hold rows of the query that failed
            raise
        with self._lock:
            self._idle.append(client)

    def close(self) -> None:
        with self._lock:
            for client in self._idle:
                client.close()
            self._idle.clear()


class ClickHouseStore:
    """Fits the Store and the Reader port."""

    def __init__(
        self,
        dsn: str,
        *,
        query_timeout_s: float = 30.0,
        query_max_memory_bytes: int = 1 << 29,
        hot_tags: Sequence[str] = (),
    ) -> None:
        """Connect and bring the schema up to date. Raises StoreFailed.

        hot_tags: which tags get a column of their own; it changes what queries cost, and no answer.
        """
        self._query_timeout_s = query_timeout_s
        self._writers = _Handles(dsn, {})
        self._readers = _Handles(
            dsn,
            {
                "max_execution_time": query_timeout_s,
                "max_memory_usage": query_max_memory_bytes,
                "output_format_json_escape_forward_slashes": 0,
                "output_format_json_quote_64bit_integers": 0,
            },
        )
        try:
            self._migrate()
            self._hot = self._heat(hot_tags)
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def _migrate(self) -> None:
        """Run the schema files not yet recorded, in order; each may be run again after a crash before its record."""
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

    def _heat(self, tags: Sequence[str]) -> queries.Hot:
        """Give tags their columns. Parts from before have it computed, at once as they are read, and once and for all behind."""
        columns = {key: queries.hot_column(key) for key in tags}
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
                    "events", queries.INPUT_COLUMNS, insert_block=rows, fmt="JSONEachRow", settings=_INSERT_SETTINGS
                )
        except (ClickHouseError, OSError) as error:  # over chDB the rows pass through a temporary file
            raise StoreFailed(str(error)) from error

    def present(self, after: int, upto: int, /) -> set[str]:
        """See the Store port."""
        rows = self._tell(queries.present(after, upto)).splitlines()
        return {event_id(*map(int, row.split("\t"))) for row in rows}

    def last(self, after: int, /) -> int:
        """See the Store port."""
        return max(after, int(self._tell(queries.last(after))))

    def held(self, after: int, upto: int, /) -> int:
        """See the Store port."""
        return int(self._tell(queries.held(after, upto)))

    def message_ids(self, after: int, upto: int, /) -> list[MessageId]:
        """The events between two positions that carry a message id, youngest first. Raises StoreFailed."""
        query = queries.message_ids(after, upto)
        try:
            with self._writers.lend() as client:
                lines = client.raw_query(query.sql, query.params, fmt="JSONCompactEachRow").splitlines()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error
        rows = [_message_id_decoder.decode(line) for line in lines]
        return [
            MessageId(position, tail, Tenant(project, mode), source, text)
            for project, mode, source, text, position, tail in rows
        ]

    def _tell(self, query: Query) -> str:
        """What the worker asks, which no reader's limits apply to."""
        try:
            with self._writers.lend() as client:
                return client.raw_query(query.sql, query.params, fmt="TabSeparated").decode()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def events(self, tenant: Tenant, filters: Filters, page: Page, /) -> Events:
        """See the Reader port."""
        total = self._rows(queries.total(tenant, filters, self._hot))[0][0]
        if page.offset >= total:  # nothing to sort, however large the offset
            return Events(total, [], more=False)
        keys = self._keys(tenant, filters, page)
        events = self._of_keys(tenant, keys[: page.limit])
        # Between the questions events may have arrived; what the page shows, the total counts.
        return Events(max(total, page.offset + len(keys)), events, more=len(keys) > page.limit)

    def _keys(self, tenant: Tenant, filters: Filters, page: Page) -> list[tuple[str, int, int]]:
        """The page's events as (name, millisecond, position), and one more if there are more: cheap hints first.

        A hint is exact or seen to be too narrow: then the next one is wider, and the last one is none.
        """
        wanted = page.offset + page.limit + 1
        hints = [Hint()]
        if not page.oldest_first and wanted <= _MOST_HINTED:
            if filters.user_id is not None:
                asked = queries.newest_of_user(tenant, filters, page, self._hot)
                moments = [(name, moment) for name, moment in self._rows(asked)]
                if not moments:
                    return []
                if len(moments) <= _MOST_HINTED:
                    # Those at the cursor's own time may lie before it, so a full list may still be too short.
                    hints = [Hint(moments=moments), *([Hint()] if len(moments) >= wanted else [])]
            else:
                found = self._rows(queries.floors(tenant, filters, page, (wanted, wanted * _WIDER)))
                floors: list[int] = found[0][0] if found else []
                hints = [*(Hint(floor_ms=floor) for floor in floors if floor), Hint()]
        keys: list[tuple[str, int, int]] = []
        for hint in hints:
            rows = self._rows(queries.keys(tenant, filters, page, hint, self._hot))
            keys = [(name, moment, position) for name, moment, position in rows]
            if len(keys) > page.limit:
                break
        return keys

    def _of_keys(self, tenant: Tenant, keys: list[tuple[str, int, int]]) -> list[StoredEvent]:
        """Whole events in the order of their keys, read a few at a time, so that their number bounds no query's memory."""
        found: dict[int, StoredEvent] = {}
        size, start, at_once = 0, 0, _ROWS_AT_ONCE
        while start < len(keys):
            lines = self._ask(queries.rows(tenant, keys[start : start + at_once]), "JSONEachRow")
            size += len(lines)
            start += at_once
            if (
                len(lines) < at_once * _SMALL_ROW_BYTES
            ):  # a question takes tens of milliseconds, however few rows it is for
                at_once = _SMALL_ROWS_AT_ONCE
            if size > _MAX_PAGE_BYTES:
                raise InvalidRequest(
                    f"The page has more than {_MAX_PAGE_BYTES >> 20} MiB of events: use a smaller 'limit'."
                )
            found |= {event.position: event for event in map(_stored, map(_row_decoder.decode, lines.splitlines()))}
        return [found[position] for _, _, position in keys]

    def get(self, tenant: Tenant, ids: Sequence[str], /) -> list[StoredEvent]:
        """See the Reader port."""
        ids = list(dict.fromkeys(ids))
        found = [
            event
            for start in range(0, len(ids), _GET_AT_ONCE)
            for event in self._events(queries.get(tenant, ids[start : start + _GET_AT_ONCE]))
        ]
        return sorted(found, key=lambda event: (event.timestamp_ms, event.position))

    def count(
        self,
        tenant: Tenant,
        filters: Filters,
        /,
        interval: Interval | None = None,
        group_by: Dimension | None = None,
        zone: Zone = UTC_ZONE,
    ) -> Counts:
        """See the Reader port."""
        series = None if interval is None else self._series(tenant, filters, interval, zone)
        if group_by is None:
            total = self._rows(queries.total(tenant, filters, self._hot))[0][0] if series is None else _sum(series)
            return Counts(total, series)
        rows = self._rows(queries.groups(tenant, filters, group_by, self._hot))
        groups = [(key, hits) for key, hits, _ in rows if key is not None]
        total = rows[0][2] if rows else 0
        return Counts(total, series, groups[:MAX_GROUPS], truncated=len(groups) > MAX_GROUPS)

    def _series(self, tenant: Tenant, filters: Filters, interval: Interval, zone: Zone) -> list[tuple[int, int]]:
        found = [
            (bucket, count) for bucket, count in self._rows(queries.series(tenant, filters, interval, zone, self._hot))
        ]
        if interval not in WIDTH_MS:
            first_days: dict[int, int] = {}
            for day, count in found:
                first = first_day_of(day, interval)
                first_days[first] = first_days.get(first, 0) + count
            found = [(zone.first_of_day(day), count) for day, count in first_days.items()]
        if len(found) > MAX_BUCKETS:
            raise InvalidRequest(
                f"The series would have more than {MAX_BUCKETS} buckets: narrow 'from' and 'to', or widen 'interval'."
            )
        return found

    def stats(self, tenant: Tenant, filters: Filters, field: Dimension, /) -> Stats:
        """See the Reader port."""
        count, total, size, least, most, percentiles = _stats_decoder.decode(
            self._ask(queries.stats(tenant, filters, field, self._hot), "JSONCompactEachRow")
        )
        if not count:
            return Stats(0)
        if total is not None and size is not None and size <= 2 * abs(total):
            return Stats(count, total, total / count, least, most, *percentiles)
        # Values of both signs cancel, and more digits go than a double has to spare; or the sum overflowed.
        count, least, most, percentiles, parts = _exact_stats_decoder.decode(
            self._ask(queries.stats_exactly(tenant, filters, field, self._hot), "JSONCompactEachRow")
        )
        exact = sum((int(mantissa) * _power_of_two(exponent) for exponent, mantissa in parts), Fraction())
        return Stats(count, _double(exact), _double(exact / count), least, most, *percentiles)

    def observed(self, tenant: Tenant, column: str, /) -> list[Observed]:
        """See the Reader port."""
        return [Observed(*row) for row in self._rows(queries.observed(tenant, column))]

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        """See the Reader port."""
        rows = self._rows(queries.names(tenant, page))
        if not rows:  # past the last name, the page itself cannot tell how many there are
            first = self._rows(queries.names(tenant, msgspec.structs.replace(page, after=None))) if page.after else []
            return Catalog(first[0][4] if first else 0, [], more=False)
        total, found = rows[0][4], rows[: page.limit]
        types = {
            name: _types(*kept) for name, *kept in self._rows(queries.properties(tenant, [row[0] for row in found]))
        }
        examples = self._events(queries.latest(tenant, [(name, last) for name, _, _, last, _ in found]))
        example_of = {event.name: event for event in examples}
        return Catalog(
            total,
            [
                CatalogEntry(name, count, first, last, *types[name], example_of.get(name))
                for name, count, first, last, _ in found
            ],
            more=len(rows) > page.limit,
        )

    def metrics(self, tenant: Tenant, /, name: str | None = None) -> list[Metric]:
        """See the MetricReader port."""
        found = [Metric(*row) for row in self._rows(queries.metrics(tenant.metrics, name))]
        if name is None:
            return found
        return [
            msgspec.structs.replace(each, tags=self._rows(queries.tag_keys(tenant.metrics, name, each.type))[0][0])
            for each in found
        ]

    def measure(self, tenant: Tenant, question: Question, /) -> Measured:
        """See the MetricReader port."""
        rows = self._figures(queries.figures(tenant.metrics, question))
        whole = rows[0][3] if rows else [0.0 if each in _ZERO_OF_NONE else None for each in question.aggregations]
        series = None
        if question.interval is not None:
            series = [Bucket(start, each) for start, _, _, each in self._buckets(tenant, question, None)]
        if not question.group_by:
            return Measured(whole, series)
        found = self._figures(queries.figures(tenant.metrics, question, groups=()))
        keys = [key for _, key, _, _ in found[:MAX_GROUPS]]
        if question.interval is None or not keys:
            groups = [Group(key, each) for _, key, _, each in found[:MAX_GROUPS]]
        else:
            by_key: dict[str, list[Bucket]] = {key: [] for key in keys}
            for start, key, _, each in self._buckets(tenant, question, keys):
                by_key[key].append(Bucket(start, each))
            groups = [Group(key, each, by_key[key]) for _, key, _, each in found[:MAX_GROUPS]]
        return Measured(whole, series, groups, truncated=len(found) > MAX_GROUPS)

    def _buckets(self, tenant: Tenant, question: Question, keys: list[str] | None) -> list[_FigureRow]:
        rows = self._figures(queries.figures(tenant.metrics, question, by_bucket=True, groups=keys))
        if len(rows) > MAX_POINTS:
            raise InvalidRequest(
                f"The series would have more than {MAX_POINTS} buckets: narrow 'from' and 'to', or widen 'interval'."
            )
        return rows

    def _figures(self, query: Query) -> list[_FigureRow]:
        return [_figures_decoder.decode(line) for line in self._ask(query, "JSONCompactEachRow").splitlines()]

    def close(self) -> None:
        """Close every handle that is not lent."""
        self._readers.close()
        self._writers.close()

    def _rows(self, query: Query) -> list[list[Any]]:
        return [_rows_decoder.decode(line) for line in self._ask(query, "JSONCompactEachRow").splitlines()]

    def _events(self, query: Query) -> list[StoredEvent]:
        rows = [_row_decoder.decode(line) for line in self._ask(query, "JSONEachRow").splitlines()]
        return [_stored(row) for row in rows]

    def _ask(self, query: Query, fmt: str) -> bytes:
        try:
            with self._readers.lend() as client:
                return client.raw_query(query.sql, query.params, fmt=fmt)
        except ClickHouseError as error:
            raise self._refused(error) from error

    def _refused(self, error: ClickHouseError) -> InvalidRequest | Unavailable:
        found = _ERROR_CODE.search(str(error))
        code = found[1] if found else ""
        if code in _TIMED_OUT:
            return Unavailable(
                f"The query took longer than {self._query_timeout_s:g} s: narrow the time range or name an event.",
                retry_after_s=5,
            )
        if code in _OUT_OF_MEMORY:
            return InvalidRequest(
                "The query needs more memory than one query may take: narrow the time range, name an event, "
                "or use a smaller limit or offset."
            )
        if code in _BAD_VALUE:
            return InvalidRequest("A number in the query is out of range.")
        return Unavailable("The store did not answer.")


def _types(
    strings: list[str], numbers: list[str], others: list[str]
) -> tuple[list[tuple[str, list[PropertyType]]], bool]:
    """Each key with its types, by key, and whether there are more than are kept."""
    found: dict[str, set[PropertyType]] = {}
    for letter, keys in (("s", strings), ("i", numbers)):
        for key in keys:
            found.setdefault(key[:MAX_PROPERTY_CHARS], set()).add(queries.PROPERTY_LETTERS[letter])
    for other in others:
        found.setdefault(other[1:][:MAX_PROPERTY_CHARS], set()).add(queries.PROPERTY_LETTERS[other[0]])
    truncated = max(len(found), len(strings), len(numbers), len(others)) > MAX_CATALOG_PROPERTIES
    keys = sorted(found)[:MAX_CATALOG_PROPERTIES]
    return [(key, [kind for kind in PROPERTY_TYPES if kind in found[key]]) for key in keys], truncated


def _stored(row: _Row) -> StoredEvent:
    values = [getattr(row, field) for field in Event.__struct_fields__]
    fields = dict(zip(Event.__struct_fields__, values, strict=True))
    return StoredEvent(**fields, id=event_id(row.position, row.tail), position=row.position)


def _sum(series: list[tuple[int, int]]) -> int:
    return sum(count for _, count in series)


def _power_of_two(exponent: int) -> Fraction:
    """What the last bit of a double's mantissa is worth, from the double's exponent bits (IEEE 754 §3.4)."""
    power = max(exponent, 1) - 1075
    return Fraction(2**power) if power >= 0 else Fraction(1, 2**-power)


def _double(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None
