"""Moves every event of one store into another one, by days of receipt, and compares them. Knows neither log nor control.

A run that was killed is gone on with: whatever differs is moved again. What an insert of that run still does is kept out by a
fence, as the worker's inserts are (fence.py).
"""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.model.event import first_position
from headrace.model.moving import Day, Summary
from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries import fence
from headrace.store.queries import moving as queries
from headrace.store.queries.conditions import Query
from headrace.store.writer import INSERT_SETTINGS

_LOT, _LOT_BYTES = 50_000, 32 << 20
_SETTLE_TIMEOUT_S, _LOOK_EVERY_S = 60.0, 0.05


class MovedEvents:
    """Fits the MoveSource port: one of the two stores. Every method raises StoreFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def days(self) -> list[Day]:
        """Every day on which events were received that the store has, oldest first."""
        rows = (row.split("\t") for row in _lines(self._engine.tell(queries.days())))
        return [_day(date.fromisoformat(day), int(events)) for day, events in rows]

    def summary(self, columns: Sequence[str], after: int, upto: int, /) -> Summary:
        """By project and mode: how many events, and sums over their ids and over all they hold, with after < position <= upto."""
        found = (row.split("\t") for row in _lines(self._engine.tell(queries.summary(columns, after, upto))))
        return {(project, mode): (int(count), ids, whole) for project, mode, count, ids, whole in found}

    def columns(self) -> list[str]:
        """What an event is made of."""
        return [name for name, _ in self._declared()]

    def last(self, after: int, upto: int, /) -> int:
        return max(after, int(self._engine.tell(queries.last(after, upto))))

    def lot(self, after: int, upto: int, /) -> tuple[int, int]:
        """The last position and the number of the events that are moved next; (0, 0) for none."""
        position, events = self._engine.tell(queries.lot(after, upto, _LOT, _LOT_BYTES)).split(b"\t")
        return int(position), int(events)

    def rows(self, columns: Sequence[str], fence: int, after: int, upto: int, /) -> bytes:
        return self._engine.tell(queries.rows(columns, fence, after, upto), "RowBinary")

    def _declared(self) -> list[tuple[str, str]]:
        rows = self._engine.tell(queries.columns(), "JSONCompactEachRow").splitlines()
        return [msgspec.json.decode(row, type=tuple[str, str]) for row in rows]


class MoveTarget(MovedEvents):
    """Fits the MoveTarget port: the store that events are moved into, and its record of the runs that do so."""

    fence = 0

    def runs(self) -> list[tuple[str, str]]:
        """Server and step of each run; none where no move is under way."""
        if self._engine.tell(queries.ARE_MOVING).strip() != b"1":
            return []
        rows = (row.split("\t") for row in _lines(self._engine.tell(queries.READ_RUNS)))
        return [(server, step) for server, _fence, step in rows]

    def begin(self, server: str, /) -> None:
        """Begin a run: nothing that an earlier one has begun to insert is stored from now on."""
        place = self._engine.place
        self._engine.command(Query(queries.runs(place), {}))
        self.note(server, "begun")
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        while not self._is_known() or int(self._engine.tell(queries.running(self.fence, place))):
            if time.monotonic() > until:
                raise StoreFailed("an insert of an earlier run has not ended yet")
            time.sleep(_LOOK_EVERY_S)
        if place.cluster:
            self._engine.command(fence.caught_up(place))
        for sql in queries.entrance(self._declared(), place):
            self._engine.command(Query(sql, {}))

    def note(self, server: str, step: str, /) -> None:
        """Keep what has been done."""
        self.fence = len(self.runs()) + 1
        self._engine.command(queries.begin(server, self.fence, step, self._engine.place))

    def insert(self, columns: Sequence[str], rows: bytes, /) -> None:
        """Insert a lot's rows, all or none."""
        settings = INSERT_SETTINGS | {"log_comment": f"{queries.MARK}/{self.fence}"} | self._engine.inserting()
        try:
            with self._engine.writers.lend() as client:
                # Bytes would be sent again by clickhouse-connect when the server closes without a reply.
                client.raw_insert(
                    "moving", ("fence", *columns), insert_block=BytesIO(rows), fmt="RowBinary", settings=settings
                )
        except (ClickHouseError, OSError) as error:
            raise StoreFailed(str(error)) from error

    def remove(self, after: int, upto: int, /) -> None:
        self._engine.command(queries.remove(after, upto, self._engine.place))

    def end(self) -> None:
        """Remove everything that is there for the move alone."""
        for sql in queries.end(self._engine.place):
            self._engine.command(Query(sql, {}))

    def _is_known(self) -> bool:
        """Whether every node that may take an insert knows of this run."""
        place = self._engine.place
        if not place.cluster:
            return True
        return int(self._engine.tell(queries.known(self.fence, place))) == self._engine.shape().nodes


def is_being_filled(engine: Engine, /) -> bool:
    """Whether a move into the store has not ended. Raises StoreFailed."""
    return engine.tell(queries.ARE_MOVING).strip() == b"1"


def _lines(answer: bytes) -> list[str]:
    return [line.decode(errors="replace") for line in answer.splitlines()]


def _day(day: date, events: int) -> Day:
    begins, ends = (
        first_position(int(datetime(each.year, each.month, each.day, tzinfo=UTC).timestamp() * 1000))
        for each in (day, day + timedelta(days=1))
    )
    return Day(day.isoformat(), begins - 1, ends - 1, events)
