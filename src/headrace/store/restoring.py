"""The mark of a store on a server that a restore is filling: a table, because a restore that was killed cannot say so itself."""

import time

from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries.conditions import Query
from headrace.store.queries.place import Place
from headrace.store.row_copies import FILLING

_TABLE = "restoring"
_MAKE = (
    f"CREATE TABLE IF NOT EXISTS {_TABLE} (step String, at DateTime64(6) DEFAULT now64(6)) ENGINE = MergeTree ORDER BY at "
    "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
_MAKE_IN_KEEPER = (
    f"CREATE TABLE IF NOT EXISTS $database.{_TABLE}$on (step String, at DateTime64(6) DEFAULT now64(6)) "
    f"ENGINE = KeeperMap('/headrace/$cluster/$name/{_TABLE}') PRIMARY KEY at"
)
_IS_THERE = Query(f"EXISTS TABLE {_TABLE}", {})
_EVENTS = Query(
    "SELECT ifNull(sum(total_rows), 0) FROM system.tables WHERE database = currentDatabase() AND name = 'events'", {}
)
_SETTLE_TIMEOUT_S, _LOOK_EVERY_S = 60.0, 0.05
# What a killed restore has begun to write. `fences` also where there is no event: the snapshot's fences begin anew.
_WRITTEN = ("events", "erasing", "fences")


class RestoreMark:
    """Every method raises StoreFailed."""

    def __init__(self, dsn: str) -> None:
        self._engine = Engine(dsn, query_timeout_s=30.0, query_max_memory_bytes=1 << 29)

    def events(self) -> int:
        """How many events the store has."""
        counted = Query("SELECT count() FROM events", {})  # the engine's own tables know it of each node alone
        return int(self._engine.tell(counted if self._engine.place.cluster else _EVENTS))

    def step(self) -> str | None:
        """The last step that a restore has noted, "" for none; None if none has been begun or the last one was ended."""
        if not is_being_restored(self._engine):
            return None
        return self._engine.tell(Query(f"SELECT argMax(step, at) FROM {_TABLE}", {})).decode().strip()  # noqa: S608

    def begin(self) -> None:
        """Mark the store, and remove what a restore that was cut off has left in it, once none of its inserts runs any more."""
        place = self._engine.place
        if place.cluster:
            self._engine.shape()  # raises if events would not be safe there
        self._engine.command(Query(place.filled(_MAKE_IN_KEEPER) if place.cluster else _MAKE, {}))
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        while int(self._engine.tell(_running(place))):
            if time.monotonic() > until:
                raise StoreFailed("An insert of the restore that was cut off is still running.")
            time.sleep(_LOOK_EVERY_S)
        for table in _WRITTEN:
            written = place.named(table) if table == "fences" else place.kept(table)
            self._engine.command(Query(f"TRUNCATE TABLE IF EXISTS {written} SETTINGS max_table_size_to_drop = 0", {}))

    def note(self, step: str, /) -> None:
        self._engine.command(Query(f"INSERT INTO {_TABLE} (step) VALUES ({{step:String}})", {"step": step}))  # noqa: S608

    def end(self) -> None:
        """The store is whole."""
        self._engine.command(Query(f"DROP TABLE IF EXISTS {self._engine.place.named(_TABLE)}", {}))

    def close(self) -> None:
        self._engine.close()


def _running(place: Place) -> Query:
    return Query(
        f"SELECT count() FROM {place.everywhere('system.processes')} WHERE Settings['log_comment'] = {{mark:String}}",  # noqa: S608
        {"mark": FILLING},
    )


def is_being_restored(engine: Engine, /) -> bool:
    """Whether a restore into the store has not ended. Raises StoreFailed."""
    return engine.tell(_IS_THERE).strip() == b"1"
