"""Gives tags and properties that queries ask for columns of their own, and takes them away again. Decides nothing about answers.

One thing at a time, each of which may be cut off anywhere: what has been done is read from the table itself at the next look.
See docs/decisions/0157-columns-that-come-by-themselves.md.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import structlog

from headrace.model.own_columns import Budget, CountedBy, OwnColumn, are_worth_counting, unused, wanted
from headrace.pipeline.loop import Loop
from headrace.ports.own_columns import OwnColumnStore
from headrace.ports.store import StoreFailed

_log = structlog.get_logger("headrace.own_columns")
_LOOK_EVERY_S = 60.0
_LOOK_ANYWAY_S = 3600.0  # although nobody has asked: what nobody asks for has to go some time
_MOST_YIELDED = 10  # looks in a row: a server that is never idle learns as well
_MOST_ESTIMATED = 5  # keys at each look, since an estimate reads events
_POLL_S = 0.25
_DENSE_FOR_MS = 86_400_000  # after which a column that is not worth counting is looked at again
_FREE_SHARE = 4  # a column may take at most this part of what the disk has left, since filling it needs room beside


class ListedColumn(msgspec.Struct, frozen=True):
    """A column as `headrace store columns` lists it. uses, seconds: of queries within the time that an unused column stays.

    counts: their state, or "none".
    """

    kind: str
    path: Sequence[str]
    state: str
    counts: str
    uses: int
    seconds: float
    last_used_ms: int | None
    bytes: int
    project: str
    since_ms: int | None
    name: str


class ColumnKeeper:
    """The loop steps in its own thread; any thread may read the figures."""

    def __init__(
        self,
        store: OwnColumnStore,
        budget: Budget,
        *,
        query_timeout_s: float,
        clock_ms: Callable[[], int],
        is_pressed: Callable[[], bool] = lambda: False,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """is_pressed: whether events or queries have to wait at this moment, and so the next column should wait."""
        self.columns: Sequence[OwnColumn] = ()  # as of the last look
        self.given = 0
        self.dropped = 0
        self._store = store
        self._budget = budget
        self._query_timeout_s = query_timeout_s
        self._clock_ms = clock_ms
        self._is_pressed = is_pressed
        self._yielded = 0  # looks in a row
        self._dense: dict[tuple[str, CountedBy], int] = {}  # until when what is not worth counting is not looked at
        self._on_step = on_step
        self._kept_at = self._looked_at = -_LOOK_ANYWAY_S
        self._is_due = True
        self._loop = Loop("own columns", self.step, idle_s=_LOOK_EVERY_S)

    @property
    def failing(self) -> str:
        """The error that it is stuck at, or ""."""
        return self._loop.failing

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        with suppress(StoreFailed):
            self._store.keep_uses()

    def step(self) -> bool:
        """Do the first thing that is to be done; whether there was one. Raises StoreFailed.

        1. Write down what was asked for. A crash before loses a minute's uses.
        2. Wait for what is being filled: the engine goes on with that by itself, also after a crash.
        3. Drop a column that nobody asks for. A crash between leaves it as it was, or gone.
        4. Fill the next partition of the columns that lack it. Until a column is complete, queries do without it. Then counts.
        5. Declare the next column. A crash after leaves it to be filled.
        6. Declare the counts of a complete column whose values repeat. A crash after leaves them to be filled.

        While events or queries have to wait, 4 to 6 are left for the next look.
        """
        now_ms, now = self._clock_ms(), time.monotonic()
        if now - self._kept_at >= _LOOK_EVERY_S:
            self._kept_at = now
            self._is_due |= self._store.keep_uses()
        if not self._is_due and now - self._looked_at < _LOOK_ANYWAY_S:
            return False
        self._looked_at = now
        worked = self._look(now_ms)
        self._is_due = worked or self._yielded > 0
        return worked

    def _look(self, now_ms: int) -> bool:
        if reasons := self._store.filling():
            return self._wait(reasons)
        columns = self.columns = self._store.own_columns()
        uses = self._store.uses(now_ms - self._budget.keep_ms)
        for column in columns:
            if not column.since_ms and not column.is_hinted:
                self._store.adopt(column, now_ms)
                return True
        for column in unused(columns, {use.key: use.last_ms for use in reversed(uses)}, now_ms, self._budget):
            return self._drop(column)
        if self._gives_way():
            return False
        for partition in sorted({each for column in columns for each in column.filling}):
            lacking = [column for column in columns if partition in column.filling]
            self._store.fill(lacking, partition)
            self._on_step("column_filling")
            return True
        uncounted = {
            (each, column.name) for column in columns for lacking in column.counting.values() for each in lacking
        }
        for partition in sorted({each for each, _ in uncounted}):
            self._store.fill_counts([each for each in columns if (partition, each.name) in uncounted], partition)
            self._on_step("counts_filling")
            return True
        for key, project in wanted(uses, columns, self._budget)[:_MOST_ESTIMATED]:
            size, free = self._store.estimate(key)
            if size + sum(column.bytes for column in columns) > self._budget.bytes or size > free // _FREE_SHARE:
                continue
            self._store.add(key, project, now_ms)
            self._on_step("column_added")
            self.given += 1
            _log.info("column_added", kind=key.kind, path=key.path, asked_for_by=project)
            return True
        return any(self._counts(column, now_ms) for column in columns)

    def _counts(self, column: OwnColumn, now_ms: int) -> bool:
        """Whether it has declared counts of a column: those that are worth it, so that they are filled together."""
        if sum(each.bytes for each in self.columns) > self._budget.bytes:
            return False
        worth: list[CountedBy] = []
        for by in column.uncounted:
            if now_ms < self._dense.get((column.name, by), 0):
                continue
            groups, events = self._store.groups(column, by)
            if are_worth_counting(groups, events):
                worth.append(by)
            elif events:  # a store that is still empty says nothing of its events
                self._dense[column.name, by] = now_ms + _DENSE_FOR_MS
        for by in worth:
            self._store.count(column, by)
            self._on_step("counts_added")
            _log.info("counts_added", kind=column.key.kind, path=column.key.path, by=by)
        return bool(worth)

    def _gives_way(self) -> bool:
        """Whether to leave the machine to events and queries for now: filling reads every event that there is."""
        if self._yielded < _MOST_YIELDED and self._is_pressed():
            self._yielded += 1
            return True
        self._yielded = 0
        return False

    def listed(self) -> list[ListedColumn]:
        """Every column, the most asked for first, as of now; has the loop look, too. For any thread. Raises StoreFailed."""
        self._store.keep_uses()
        of_key: dict[object, tuple[int, float, int]] = {}
        for use in self._store.uses(self._clock_ms() - self._budget.keep_ms):
            times, seconds, last_ms = of_key.get(use.key, (0, 0.0, 0))
            of_key[use.key] = times + use.uses, seconds + use.seconds, max(last_ms, use.last_ms)
        found = [_listed(column, *of_key.get(column.key, (0, 0.0, 0))) for column in self._store.own_columns()]
        self._is_due = True
        self._loop.wake()
        return sorted(found, key=lambda each: (-each.uses, each.kind, each.path))

    def _wait(self, reasons: Sequence[str]) -> bool:
        if failed := [reason for reason in reasons if reason]:
            raise StoreFailed(f"A column cannot be filled: {failed[0]}")
        self._loop.rest(_POLL_S)
        if not self._store.filling():
            self._on_step("column_filled")
        return True

    def _drop(self, column: OwnColumn) -> bool:
        self._store.retire(column)
        self._on_step("column_retired")
        self._loop.rest(2 * self._query_timeout_s)  # queries that use it have ended by then
        if self._loop.closing:
            return False
        self._store.drop(column)
        self._on_step("column_dropped")
        self.dropped += 1
        _log.info("column_dropped", kind=column.key.kind, path=column.key.path)
        return True


def _listed(column: OwnColumn, uses: int, seconds: float, last_ms: int) -> ListedColumn:
    return ListedColumn(
        kind=column.key.kind,
        path=column.key.path,
        state="complete" if column.is_complete else "filling",
        counts="none" if not column.counting else "filling" if any(column.counting.values()) else "complete",
        uses=uses,
        seconds=round(seconds, 3),
        last_used_ms=last_ms or None,
        bytes=column.bytes,
        project=column.project,
        since_ms=column.since_ms or None,
        name=column.name,
    )
