"""Keeps late inserts out of a store on a network: each insert says its fence, and one with an old fence stores nothing.

A check before an insert proves nothing, because the insert may be queued, or its sender suspended, after it. So the check is in
the view through which every row goes. Whoever does not know what became of an insert calls `settle`, and only then asks what the
store has.
See docs/decisions/0162-a-fence-inside-the-insert.md and, for clusters, 0176-a-cluster-of-stores.md.
"""

import time
import zlib
from collections.abc import Callable, Sequence

from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries import fence as queries
from headrace.store.queries.conditions import Query

_SETTLE_TIMEOUT_S, _LOOK_EVERY_S = 60.0, 0.05


class InsertFence:
    """For the worker's thread. current: the fence that its inserts carry. table: where they go, once it is prepared."""

    def __init__(self, engine: Engine, raise_: Callable[[], int], number: int = 0) -> None:
        """raise_: raises the fence in control and returns it.

        number: of the fence, for whoever stores beside others: each has fences, a table and a view of its own.
        """
        self.current = 0
        self.table = ""
        self._number = number
        self._engine = engine
        self._raise = raise_

    def prepare(self) -> None:
        """Make the table and the view, unless they are there. Raises StoreFailed.

        The table's name says which columns `arriving` has. Where that gets others, inserts go to another table, so that none is
        ever changed or dropped that another worker may insert into.
        """
        place = self._engine.place
        self._engine.command(queries.fences(place))
        arriving = self._columns("arriving")
        shape = zlib.crc32("\n".join(arriving).encode())
        self.table = f"fenced_{self._number}_{shape:08x}"
        if not self._is_whole(arriving):
            for sql in queries.entrance(place, self.table, self._number):
                self._engine.command(Query(sql, {}))

    def mark(self) -> str:
        """What tells the inserts of this fence from others while they run."""
        return f"{queries.MARK}/{self._number}/{self.current}"

    def settle(self) -> None:
        """Return once no insert that began before can store anything any more. Raises StoreFailed, LeaseLost, ControlFailed."""
        place, number = self._engine.place, self._number
        fence = self._raise()  # 1. in control: nobody with an older one commits
        self._engine.command(queries.write(place, number, fence))  # 2. nor inserts
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        if place.cluster:  # where each node has to have heard of it
            self._engine.look_again()
            while self._count(queries.shown(place, number, fence)) < self._engine.shape().nodes:
                _wait(until, "A node of the cluster does not know the newest fence yet.")
        running = queries.running(place, number, fence)
        while self._count(running):  # 3. but one that runs may have looked before
            _wait(until, "An earlier insert is still running.")
        if place.cluster:
            self._engine.command(queries.caught_up(place))  # 4. what it stored may be on one replica alone
            self._engine.command(queries.forget(place, number, fence))  # one that ran may have been reading them
        self.current = fence

    def _is_whole(self, arriving: Sequence[str]) -> bool:
        # Without the view, as a crash between the two may leave it, the table would swallow rows.
        place = self._engine.place
        if self._columns(self.table)[:-1] != arriving:
            return False
        if place.cluster:
            needed = self.table, f"{self.table}_local", f"{self.table}_to_arriving"
            return self._count(queries.nodes_with(place, *needed)) == self._engine.shape().nodes
        return bool(self._columns(f"{self.table}_to_arriving"))

    def _count(self, query: Query) -> int:
        return int(self._engine.tell(query))

    def _columns(self, table: str) -> list[str]:
        return self._engine.tell(queries.columns(self._engine.place, table)).decode().splitlines()


def _wait(until: float, failure: str) -> None:
    """Raises StoreFailed with the failure past a time."""
    if time.monotonic() > until:
        raise StoreFailed(failure)
    time.sleep(_LOOK_EVERY_S)
