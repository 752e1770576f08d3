"""Copies of the store's files for backups: the engine freezes them, and takes them back into an empty table."""

from pathlib import Path

from headrace.store.engine import Engine
from headrace.store.queries.conditions import Query


class PartCopies:
    """Fits the FrozenParts port, for a store in this process. Any thread may call it.

    A part's files never change, so a hard link to each is a copy: https://clickhouse.com/docs/sql-reference/statements/alter/partition
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def freeze(self, name: str, /) -> list[Path]:
        """See the FrozenParts port. The names of the folders are those of the parts."""
        self._engine.command(Query(f"ALTER TABLE events FREEZE WITH NAME '{name}'", {}))
        frozen = self._folder() / "shadow" / name
        return sorted(each.parent for each in frozen.rglob("checksums.txt") if not each.parent.name.endswith(".proj"))

    def frozen(self, name: str, /) -> Path:
        """Where `freeze` puts its links: to be removed with all that is in it."""
        return self._folder() / "shadow" / name

    def arriving_parts(self) -> Path:
        """The folder from which `attach` takes parts."""
        table = "SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
        return self._path(table) / "detached"

    def attach(self, name: str, /) -> None:
        """See the FrozenParts port."""
        self._engine.command(Query(f"ALTER TABLE events ATTACH PART '{name}'", {}))

    def _folder(self) -> Path:
        return self._path("SELECT path FROM system.disks WHERE name = 'default'")

    def _path(self, sql: str) -> Path:
        return Path(self._engine.tell(Query(sql, {}), "TabSeparatedRaw").decode().strip())
