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
CREATE MATERIALIZED VIEW fenced_to_arriving TO arriving AS
SELECT * EXCEPT (fence) FROM fenced
WHERE NOT throwIf(fence < (SELECT max(fence) FROM fences WHERE partition = 0), 'another worker has taken over')
"""


class InsertFence:
    """For the worker's thread. current: the fence that its inserts carry."""

    table = "fenced"

    def __init__(self, engine: Engine, raise_: Callable[[], int]) -> None:
        """raise_: raises the fence in control and returns it."""
        self.current = 0
        self._engine = engine
        self._raise = raise_

    def prepare(self) -> None:
        """Make the table and the view, anew if `arriving` has other columns by now. Raises StoreFailed."""
        self._engine.command(Query(_FENCES, {}))
        wanted = self._columns("arriving")
        if self._columns("fenced")[:-1] != wanted:
            for sql in ("DROP TABLE IF EXISTS fenced_to_arriving", "DROP TABLE IF EXISTS fenced"):
                self._engine.command(Query(sql, {}))
            self._engine.command(Query("CREATE TABLE fenced AS arriving ENGINE = Null", {}))
            self._engine.command(Query("ALTER TABLE fenced ADD COLUMN fence UInt64", {}))
            self._engine.command(Query(_VIEW, {}))

    def mark(self) -> str:
        """What tells the inserts of this fence from others while they run."""
        return f"{_MARK}/0/{self.current}"

    def settle(self) -> None:
        """Return once no insert that began before can store anything any more. Raises StoreFailed, LeaseLost, ControlFailed."""
        fence = self._raise()  # 1. in control: nobody with an older one commits
        self._engine.command(Query("INSERT INTO fences VALUES (0, {fence:UInt64})", {"fence": fence}))  # 2. nor inserts
        running = Query(
            "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], {mark:String}) "
            "AND toUInt64OrZero(splitByChar('/', Settings['log_comment'])[-1]) < {fence:UInt64}",
            {"mark": f"{_MARK}/0/", "fence": fence},
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
