"""Copies of the store's files for backups: the engine freezes them, and takes them back into an empty table."""

from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine


class CopiedStore(Engine):
    """Fits the FrozenParts port, for a store in this process. Any thread may call it.

    A part's files never change, so a hard link to each is a copy: https://clickhouse.com/docs/sql-reference/statements/alter/partition
    """

    def freeze(self, name: str, /) -> list[Path]:
        """See the FrozenParts port. The names of the folders are those of the parts."""
        self._do(f"ALTER TABLE events FREEZE WITH NAME '{name}'")
        frozen = self._folder() / "shadow" / name
        return sorted(each.parent for each in frozen.rglob("checksums.txt") if not each.parent.name.endswith(".proj"))

    def frozen(self, name: str, /) -> Path:
        """Where `freeze` puts its links: to be removed with all that is in it."""
        return self._folder() / "shadow" / name

    def arriving_parts(self) -> Path:
        """The folder from which `attach` takes parts."""
        return (
            Path(
                self._told(
                    "SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
                )
            )
            / "detached"
        )

    def attach(self, name: str, /) -> None:
        """See the FrozenParts port."""
        self._do(f"ALTER TABLE events ATTACH PART '{name}'")

    def _folder(self) -> Path:
        return Path(self._told("SELECT path FROM system.disks WHERE name = 'default'"))

    def _told(self, sql: str) -> str:
        try:
            with self._writers.lend() as client:
                return client.raw_query(sql, fmt="TabSeparatedRaw").decode().strip()
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error

    def _do(self, sql: str) -> None:
        try:
            with self._writers.lend() as client:
                client.command(sql)
        except ClickHouseError as error:
            raise StoreFailed(str(error)) from error
