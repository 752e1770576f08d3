"""Keeps late inserts out of a store on a network: each insert says its fence, and one with an old fence stores nothing.

A check before an insert proves nothing, because the insert may be queued, or its sender suspended, after it. So the check is in
the view through which every row goes. Whoever does not know what became of an insert calls `settle`, and only then asks what the
store has.
See docs/decisions/0162-a-fence-inside-the-insert.md.
"""

import time
from collections.abc import Callable

from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries.conditions import Query

_MARK = "headrace-insert"
_SETTLE_TIMEOUT_S, _LOOK_EVERY_S = 60.0, 0.05
_FENCES = (
    "CREATE TABLE IF NOT EXISTS fences (partition UInt8, fence UInt64) ENGINE = MergeTree ORDER BY (partition, fence) "
    "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
_VIEW = """
CREATE MATERIALIZED VIEW {table}_to_arriving TO arriving AS
SELECT * EXCEPT (fence) FROM {table}
WHERE NOT throwIf(fence < (SELECT max(fence) FROM fences WHERE partition = {number}), 'another worker has taken over')
"""


class InsertFence:
    """For the worker's thread. current: the fence that its inserts carry. table: where they go."""

    def __init__(self, engine: Engine, raise_: Callable[[], int], number: int = 0) -> None:
        """raise_: raises the fence in control and returns it.

        number: of the fence, for whoever stores beside others: each has fences, a table and a view of its own.
        """
        self.current = 0
        self.table = f"fenced_{number}" if number else "fenced"
        self._number = number
        self._engine = engine
        self._raise = raise_

    def prepare(self) -> None:
        """Make the table and the view, anew if `arriving` has other columns by now. Raises StoreFailed."""
        self._engine.command(Query(_FENCES, {}))
        wanted = self._columns("arriving")
        # Without the view, as a crash between the two may leave it, the table would swallow rows.
        if self._columns(self.table)[:-1] != wanted or not self._columns(f"{self.table}_to_arriving"):
            for sql in (
                f"DROP TABLE IF EXISTS {self.table}_to_arriving",
                f"DROP TABLE IF EXISTS {self.table}",
                f"CREATE TABLE {self.table} AS arriving ENGINE = Null",
                f"ALTER TABLE {self.table} ADD COLUMN fence UInt64",
                _VIEW.format(table=self.table, number=self._number),
            ):
                self._engine.command(Query(sql, {}))

    def mark(self) -> str:
        """What tells the inserts of this fence from others while they run."""
        return f"{_MARK}/{self._number}/{self.current}"

    def settle(self) -> None:
        """Return once no insert that began before can store anything any more. Raises StoreFailed, LeaseLost, ControlFailed."""
        fence = self._raise()  # 1. in control: nobody with an older one commits
        sql = "INSERT INTO fences VALUES ({number:UInt8}, {fence:UInt64})"
        self._engine.command(Query(sql, {"number": self._number, "fence": fence}))  # 2. nor inserts
        running = Query(
            "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], {mark:String}) "
            "AND toUInt64OrZero(splitByChar('/', Settings['log_comment'])[-1]) < {fence:UInt64}",
            {"mark": f"{_MARK}/{self._number}/", "fence": fence},
        )
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        while int(self._engine.tell(running)):  # 3. but one that runs may have looked before
            if time.monotonic() > until:
                raise StoreFailed("An earlier insert is still running.")
            time.sleep(_LOOK_EVERY_S)
        self.current = fence

    def _columns(self, table: str) -> list[str]:
        found = Query(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "ORDER BY position",
            {"table": table},
        )
        return self._engine.tell(found).decode().splitlines()
