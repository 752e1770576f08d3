"""The data folder: one server holds it, and publishes its address there for commands on its machine. Opens no database.

chDB and the log's positions both rely on one server per folder.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import msgspec

from headrace.model.errors import SettingsError
from headrace.upkeep.placing import UNFINISHED, unfinished

_ADDRESS_FILE = "server.json"


class Address(msgspec.Struct, frozen=True):
    """A server's address. `token` opens the routes for commands on the same machine."""

    pid: int
    host: str
    port: int
    token: str


class DataFolder:
    """The folder, held until `release`."""

    def __init__(self, path: Path) -> None:
        """Create it if it is missing, and hold it. Raises SettingsError if it cannot be used or another server holds it."""
        self._path = path
        if (path / UNFINISHED).exists():
            raise SettingsError(unfinished(path))
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whatever else has that name, such as a pipe, is not waited for.
            self._lock = os.fdopen(os.open(path / "lock", os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK, 0o666), "w")
        except OSError as error:
            raise SettingsError(
                f"The data folder {path} cannot be written: {error.strerror}. Set HEADRACE_DATA or --data."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise SettingsError(
                f"Another headrace server is running on {path}: stop it, or give this one its own --data."
            ) from None
        try:
            _keep_temporary_files_in(path / "tmp")
        except SettingsError:
            self._lock.close()
            raise

    def publish(self, host: str, port: int, token: str, /) -> None:
        """Publish this server's address: see `address_in`."""
        path = self._path / _ADDRESS_FILE
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(f"{path} cannot be replaced: {error.strerror}. Remove it and start again.") from error
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(Address(os.getpid(), host, port, token)))

    def release(self) -> None:
        """Let the next server take the folder."""
        (self._path / _ADDRESS_FILE).unlink(missing_ok=True)
        self._lock.close()


def address_in(path: Path, /) -> Address:
    """The address that the server on the folder has published. A killed server leaves it behind.

    Raises FileNotFoundError if there is none, msgspec.DecodeError.
    """
    return msgspec.json.decode((path / _ADDRESS_FILE).read_bytes(), type=Address)


def require_no_dead_link(path: Path, /) -> None:
    """Raises SettingsError if the path is a link whose target is not there: most likely a disk that is not mounted."""
    if path.is_symlink() and not path.exists():
        raise SettingsError(f"{path} is a link to {path.readlink()}, which does not exist: is its disk mounted?")


def _keep_temporary_files_in(folder: Path) -> None:
    """Keep temporary files in the data folder. clickhouse-connect passes inserts to chDB as temporary files, which hold events.

    A killed server leaves its last one behind, so the folder is emptied at startup. Raises SettingsError.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"{folder} cannot be written: remove it, or give this user access to it.")
    tempfile.tempdir = str(folder)
