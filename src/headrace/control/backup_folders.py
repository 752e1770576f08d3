"""The folders that backups were written to. Writes none itself."""

import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.tables.erasures import backup_folders as folders

MOST_FOLDERS = 100


class ControlBackupFolders:
    """Fits the BackupFolders port. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, path: str, now_ms: int, /) -> list[str]:
        """See the BackupFolders port."""

        def keep(connection: sa.Connection) -> list[str]:
            new = insert(connection, folders).values(path=path, used_at_ms=now_ms)
            connection.execute(new.on_conflict_do_update(index_elements=["path"], set_={"used_at_ms": now_ms}))
            latest = sa.select(folders.c.path).order_by(folders.c.used_at_ms.desc(), folders.c.path)
            dropped = list(connection.scalars(latest.offset(MOST_FOLDERS)))
            connection.execute(sa.delete(folders).where(folders.c.path.in_(dropped)))
            return dropped

        return transact(self._engine, keep)

    def remove(self, path: str, /) -> None:
        """See the BackupFolders port."""
        gone = sa.delete(folders).where(folders.c.path == path)
        transact(self._engine, lambda connection: connection.execute(gone))

    def listed(self) -> list[str]:
        """See the BackupFolders port."""
        with reading(self._engine) as connection:
            return list(connection.scalars(sa.select(folders.c.path).order_by(folders.c.path)))
