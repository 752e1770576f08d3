"""Opens the data folder, and the log, the store and control in it. With `runtime.py`, the only file that names adapters."""

from headrace.assembly.clock import clock_ms
from headrace.assembly.folder import DataFolder
from headrace.control.database import open_database
from headrace.control.offsets import ControlOffsets
from headrace.log.sqlite import SqliteLog
from headrace.model.settings import Settings
from headrace.store.clickhouse import ClickHouseStore
from headrace.upkeep.relearn import relearn


class Adapters:
    """What a server keeps its data in: open until `close`."""

    def __init__(self, settings: Settings) -> None:
        """Take the data folder and open everything in it.

        Raises SettingsError when another server holds the folder or it cannot be used, StoreFailed, Unavailable.
        """
        self.folder = DataFolder(settings.data)
        self.control = open_database(settings.data / "control.sqlite")
        self.offsets = ControlOffsets(self.control)
        self.store = ClickHouseStore(
            f"chdb://{settings.data.resolve() / 'store'}",
            query_timeout_s=settings.query_timeout_s,
            query_max_memory_bytes=settings.query_max_memory_bytes,
            hot_tags=[tag for tag in settings.hot_tags.split(",") if tag],
        )
        self.log = SqliteLog(
            settings.data / "log.sqlite",
            clock_ms=clock_ms,
            floor=self.store.last(
                self.offsets.position()
            ),  # should the log's file be lost, its positions never come again
            dedup_window_s=settings.dedup_window_s,
            dedup_max_bytes=settings.dedup_max_bytes,
            max_bytes=settings.log_max_bytes,
        )
        relearn(self.log, self.store)

    def close(self) -> None:
        """Close everything, and leave the folder to the next server."""
        self.store.close()
        self.log.close()
        self.control.dispose()
        self.folder.release()
