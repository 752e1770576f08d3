"""The columns of tags and properties: looks them up for queries, notes what is asked for, gives them and drops them.

What columns there are, what they hold and which parts have them is read from the table itself, never kept beside it. The
decisions are made elsewhere: upkeep/own_columns.py.
"""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.model.own_columns import COUNTED_BY, ColumnKey, ColumnKind, CountedBy, OwnColumn, Use
from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries import own_columns as queries
from headrace.store.queries.conditions import Query
from headrace.store.queries.fields import Hot

_LACKING_AT_MOST = (
    0.01  # of a partition: so many events may compute a column as they are read before it is filled again
)
_MOST_NOTED = 1000  # keys between two times that they are taken: clients choose them

_encoder = msgspec.json.Encoder()


class _Noted(threading.local):
    """What a thread has looked up since its last query."""

    def __init__(self) -> None:
        self.keys: set[ColumnKey] = set()


class OwnColumns(Hot):
    """Any thread may look columns up; one thread gives and drops them.

    Fits the OwnColumnStore port.
    """

    def __init__(self, engine: Engine, hints: Collection[str], /, *, are_used: bool = True) -> None:
        """hints: tags that have a column whatever is asked for. are_used: otherwise queries do without. Raises StoreFailed."""
        super().__init__()
        self._engine = engine
        self._hints = frozenset(hints)
        self._used: Mapping[ColumnKey, str] = {}
        self._retired: set[str] = set()  # names of columns that are about to be dropped
        self._noted = _Noted()
        self._uses: dict[tuple[str, ColumnKey], Use] = {}
        self._lock = threading.Lock()
        if are_used:
            self._give_hints()
            self.own_columns()

    def of(self, kind: ColumnKind, path: tuple[str, ...], /) -> str | None:
        """The name of a column to use, if there is one. Notes that somebody asked."""
        key = ColumnKey(kind, path)
        self._noted.keys.add(key)
        return self._used.get(key)

    def on_asked(self, query: Query, seconds: float, /) -> None:
        """A query of this thread took so long. What it has looked up since the last one, it looked up for this one."""
        keys = self._noted.keys
        if not keys:
            return
        self._noted.keys = set()
        project, now_ms = str(query.params.get("project", "")), time.time_ns() // 1_000_000
        with self._lock:
            for key in keys:
                if not key.is_learnable:
                    continue
                known = self._uses.get((project, key)) or Use(project, key, 0, 0.0, 0)
                if known.uses or len(self._uses) < _MOST_NOTED:
                    self._uses[project, key] = Use(project, key, known.uses + 1, known.seconds + seconds, now_ms)

    def keep_uses(self) -> bool:
        """See the UsedKeys port."""
        with self._lock:
            uses, self._uses = self._uses, {}
        if not uses:
            return False
        rows = b"\n".join(
            _encoder.encode(
                (
                    _day_of(each.last_ms),
                    each.project,
                    each.key.kind,
                    each.key.path,
                    each.uses,
                    each.seconds,
                    each.last_ms,
                )
            )
            for each in uses.values()
        )
        try:
            with self._engine.writers.lend() as client:
                client.raw_insert(
                    "asked",
                    queries.ASKED_COLUMNS,
                    insert_block=rows,
                    fmt="JSONCompactEachRow",
                    settings=self._engine.inserting(),
                )
        except (ClickHouseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        return True

    def uses(self, since_ms: int, /) -> list[Use]:
        """See the UsedKeys port."""
        return [
            Use(project, ColumnKey(kind, tuple(path)), int(times), seconds, int(last_ms))
            for project, kind, path, times, seconds, last_ms in self._rows(queries.uses(since_ms))
        ]

    def own_columns(self) -> list[OwnColumn]:
        """See the OwnColumnStore port."""
        declared = self._rows(queries.declared())
        if not declared:
            self._used, self._counts = {}, {}
            return []
        events = {partition: int(count) for partition, count in self._rows(queries.partitions(self._engine.place))}
        held: dict[str, dict[str, int]] = {}
        sizes: dict[str, int] = {}
        for name, partition, count, size in self._rows(queries.held(self._engine.place)):
            held.setdefault(name, {})[partition] = int(count)
            sizes[name] = sizes.get(name, 0) + int(size)
        counts = self._counting(events)
        found: list[OwnColumn] = []
        for name, comment in sorted(declared):
            known = self._known(name, comment)
            if known is None:
                continue
            has = held.get(name, {})
            filling = [
                partition
                for partition, count in sorted(events.items())
                if count - has.get(partition, 0) > count * _LACKING_AT_MOST
            ]
            has_counts = {
                by: counts[queries.counts_of(name, by)] for by in COUNTED_BY if queries.counts_of(name, by) in counts
            }
            size = sizes.get(name, 0) + sum(size for _, size in has_counts.values())
            counting = {by: lacking for by, (lacking, _) in has_counts.items()}
            found.append(msgspec.structs.replace(known, bytes=size, filling=filling, counting=counting))
        # One that the settings name is used at once: it answers the same, and whoever named it need not wait.
        self._used = {
            each.key: each.name
            for each in found
            if (each.is_complete or each.is_hinted) and each.name not in self._retired
        }
        self._counts = {
            (each.name, by): queries.counts_of(each.name, by)
            for each in found
            for by, lacking in each.counting.items()
            if not lacking and each.name not in self._retired
        }
        return found

    def _counting(self, events: Mapping[str, int]) -> dict[str, tuple[list[str], int]]:
        """By the name of the projection: the partitions that lack it, and its bytes."""
        declared = self._rows(queries.counted(self._engine.place))
        parts = self._rows(queries.parts_to_count(self._engine.place)) if declared else []
        found: dict[str, tuple[list[str], int]] = {}
        for name, having, size in declared:
            lacking: dict[str, int] = {}
            for partition, part, rows in parts:
                lacking[partition] = lacking.get(partition, 0) + (0 if part in having else int(rows))
            too_many = [each for each, rows in sorted(lacking.items()) if rows > events.get(each, 0) * _LACKING_AT_MOST]
            found[name] = too_many, int(size)
        return found

    def estimate(self, key: ColumnKey, /) -> tuple[int, int]:
        """See the OwnColumnStore port."""
        [(an_event, free)] = self._rows(queries.estimate(key, self._engine.place))
        events = sum(int(count) for _, count in self._rows(queries.partitions(self._engine.place)))
        return int((an_event or 0) * events), int(free)

    def add(self, key: ColumnKey, project: str, now_ms: int, /) -> None:
        """See the OwnColumnStore port."""
        self._do(*queries.add(key, project, now_ms, self._engine.place))

    def adopt(self, column: OwnColumn, now_ms: int, /) -> None:
        """See the OwnColumnStore port."""
        self._do(*queries.adopt(column.name, column.key, now_ms, self._engine.place))

    def fill(self, columns: Sequence[OwnColumn], partition: str, /) -> None:
        """See the OwnColumnStore port."""
        self._do(queries.fill([each.name for each in columns], partition, self._engine.place))

    def groups(self, column: OwnColumn, by: CountedBy, /) -> tuple[int, int]:
        """See the NewCounts port. Looks at the largest partition."""
        sizes = [(int(count), partition) for partition, count in self._rows(queries.partitions(self._engine.place))]
        if not sizes:
            return 0, 0
        [(groups, events)] = self._rows(queries.groups(column.name, by, max(sizes)[1]))
        return int(groups), int(events)

    def count(self, column: OwnColumn, by: CountedBy, /) -> None:
        """See the NewCounts port."""
        self._do(queries.count(column.name, by, self._engine.place))

    def fill_counts(self, columns: Sequence[OwnColumn], partition: str, /) -> None:
        """See the NewCounts port."""
        lacking = [
            queries.counts_of(column.name, by)
            for column in columns
            for by, partitions in column.counting.items()
            if partition in partitions
        ]
        self._do(queries.fill_counts(lacking, partition, self._engine.place))

    def filling(self) -> list[str]:
        """See the OwnColumnStore port."""
        return [reason for (reason,) in self._rows(queries.filling(self._engine.place))]

    def retire(self, column: OwnColumn, /) -> None:
        """See the OwnColumnStore port."""
        self._retired.add(column.name)
        self._counts = {key: counts for key, counts in self._counts.items() if key[0] != column.name}
        self._used = {key: name for key, name in self._used.items() if key != column.key}

    def drop(self, column: OwnColumn, /) -> None:
        """See the OwnColumnStore port."""
        self._do(*queries.drop(column.name, self._engine.place))
        self._retired.discard(column.name)

    def _known(self, name: str, comment: str) -> OwnColumn | None:
        with suppress(msgspec.DecodeError, ValueError):
            if comment:
                told = msgspec.json.decode(comment, type=queries.Comment)
                key = ColumnKey(told.kind, told.path)
            else:
                told = None
                key = ColumnKey("tag", (bytes.fromhex(name.removeprefix(queries.OF_HINTS)).decode(),))
            is_hinted = key.kind == "tag" and key.path[0] in self._hints
            return OwnColumn(
                key, name, told.project if told else "", told.since_ms if told else 0, is_hinted, bytes=0, filling=()
            )
        return None  # not one of ours

    def _give_hints(self) -> None:
        """Older parts compute a tag that the settings name when they are read, until they have been filled behind."""
        have = {known.key for row in self._rows(queries.declared()) if (known := self._known(*row))}
        for tag in sorted(self._hints):
            if ColumnKey("tag", (tag,)) not in have:
                place = self._engine.place
                self._do(*queries.add_hint(tag, place), queries.fill_hint(tag, place))

    def _rows(self, query: Query) -> list[list[Any]]:
        return [msgspec.json.decode(line) for line in self._engine.tell(query, "JSONCompactEachRow").splitlines()]

    def _do(self, *statements: str) -> None:
        try:
            with self._engine.writers.lend() as client:
                for sql in statements:
                    client.command(sql)
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error


def _day_of(moment_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment_ms / 1000))
