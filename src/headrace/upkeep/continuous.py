"""Exports what has arrived since the last round, as Parquet files below one folder or bucket. Knows no file system.

The path is project=…/mode=…/date=…/<from>-<upto>.parquet (hive partitions; the date is that of receipt). Where a file ends is
decided and noted before it is written, so a round that a crash cuts off writes the same file again, in the place of the first:
each event is in exactly one file.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import Tenant, received_at_ms
from headrace.model.exports import Mark, Place
from headrace.model.filters import Filters
from headrace.model.zones import DAY_MS
from headrace.pipeline.loop import Loop
from headrace.ports.control import ControlFailed
from headrace.ports.exports import ExportMarks, Exports, ExportTarget
from headrace.upkeep.columns import ParquetFile
from headrace.upkeep.exporting import Cutter

_log = structlog.get_logger("headrace.upkeep.continuous")
_EVENTS_PER_FILE = 100_000
_REST = 3  # rests this many times as long as a piece took: at most a quarter of a core


class ContinuousExport:
    """Works in a thread of its own, `loop`."""

    def __init__(
        self,
        exports: Exports,
        marks: ExportMarks,
        target: ExportTarget,
        *,
        every_s: float,
        visible: Callable[[], int],
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """visible: the position up to which the store has every event. on_step: called after each numbered step."""
        self._exports = exports
        self._marks = marks
        self._target = target
        self._visible = visible
        self._on_step = on_step
        self.loop = Loop("continuous-export", self.round, idle_s=every_s)

    def round(self) -> bool:
        """Export all that the store has by now; False, so that the loop rests.

        What fails for one project keeps no other from its turn. Raises ControlFailed, OSError, Unavailable, InvalidRequest.
        """
        upto = self._visible()
        failed: Exception | None = None
        for tenant in self._marks.tenants():
            try:
                while not self.loop.closing and self._file(tenant, self._marks.mark(tenant), upto):
                    pass
            except ControlFailed:
                raise
            except (OSError, InvalidRequest, Unavailable) as error:
                if self.loop.closing:
                    raise
                _log.warning("export_failed", project=tenant.project, mode=tenant.mode, why=str(error))
                failed = error
        if failed is not None:
            raise failed
        return False

    def _file(self, tenant: Tenant, mark: Mark, visible: int) -> bool:
        """Write the tenant's next file; False if there is nothing for one."""
        upto = mark.upto
        if upto is None:
            places = self._exports.places(tenant, Filters(), mark.done, visible, _EVENTS_PER_FILE)
            if not places:
                return False
            # 1. Decide where the file ends. A crash here costs nothing.
            upto = _end_of(places)
            self._marks.intend(tenant, upto)
            self._on_step("intend")
        # 2. Write it. After a crash here it is written again, under the same name, with the same events but those erased since.
        cutter = Cutter(self._exports, tenant, Filters(), mark.done, upto)
        if cutter.left:  # else all of them have been erased
            self._target.put(_path_of(tenant, mark.done, upto), lambda write: self._write(cutter, write))
        self._on_step("write")
        # 3. Note that it is there. After a crash before this, the next round finds it noted as decided.
        self._marks.done(tenant, upto)
        self._on_step("done")
        _log.info("exported", project=tenant.project, mode=tenant.mode, events=cutter.left)
        return True

    def _write(self, cutter: Cutter, write: Callable[[bytes], object]) -> None:
        file = ParquetFile()
        began = time.perf_counter()
        while (piece := cutter.columns()) is not None:
            write(file.add(piece))
            self.loop.rest(_REST * (time.perf_counter() - began))
            if self.loop.closing:
                raise Unavailable("The server is shutting down.")
            began = time.perf_counter()
        write(file.end())


def _end_of(places: Sequence[Place]) -> int:
    """The last position of the same day as the first."""
    day = received_at_ms(places[0].position) // DAY_MS
    return max(each.position for each in places if received_at_ms(each.position) // DAY_MS == day)


def _path_of(tenant: Tenant, after: int, upto: int) -> str:
    """Names escaped as hive does: https://duckdb.org/docs/stable/data/partitioning/hive_partitioning"""
    date = datetime.fromtimestamp(received_at_ms(upto) / 1000, UTC).strftime("%Y-%m-%d")
    return f"project={quote(tenant.project, safe='')}/mode={tenant.mode}/date={date}/{after:016x}-{upto:016x}.parquet"
