"""Backups of a server while it serves, and restoring one into a new folder."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import msgspec

from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control
from headrace.control.database import open_database
from headrace.control.erasures import ControlErasedEvents
from headrace.model.errors import InvalidRequest, SettingsError, Unavailable
from headrace.model.settings import Settings
from headrace.ports.copies import FrozenParts
from headrace.store.clickhouse import ClickHouseStore
from headrace.upkeep.backup import Done, back_up
from headrace.upkeep.restore import Restored, RestoredStore, restore


class Backups:
    """One backup at a time. hold_trims: has the log let go of nothing until `release_trims`."""

    def __init__(
        self,
        settings: Settings,
        store: FrozenParts,
        *,
        hold_trims: Callable[[], None],
        release_trims: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._hold_trims = hold_trims
        self._release_trims = release_trims
        self._busy = threading.Lock()

    def make(self, folder: Path, keep: int | None, /) -> Done:
        """See `back_up`. Takes its time: not for the event loop's thread. Raises InvalidRequest, Unavailable, StoreFailed."""
        if self._settings.control_url:
            raise InvalidRequest(
                "Control is in PostgreSQL, which is not copied: a backup would lack it. See docs/moving.md."
            )
        if self._settings.log_url:
            raise InvalidRequest(
                "The log is on a Valkey server, which is not copied: a backup would lack it. See docs/scale.md."
            )
        if not self._busy.acquire(blocking=False):
            raise Unavailable("Another backup is being made.")
        try:
            self._hold_trims()
            return back_up(self._settings.data, self._store, folder, clock_ms(), keep=keep)
        finally:
            self._release_trims()
            self._busy.release()


class BackupAsked(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What `headrace backup` asks for. folder: an absolute path on the server's machine."""

    folder: str
    keep: int | None = None


def parse_backup(body: bytes, /) -> BackupAsked:
    """Raises InvalidRequest."""
    try:
        asked = msgspec.json.decode(body, type=BackupAsked)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{error}.") from None
    if not Path(asked.folder).is_absolute():
        raise InvalidRequest("'folder' must be an absolute path.")
    if asked.keep is not None and asked.keep < 1:
        raise InvalidRequest(f"'keep' must be 1 or more; it is {asked.keep}.")
    return asked


def restore_into(
    settings: Settings, folder: Path, /, *, snapshot: str | None = None, erased_in: Path | None = None
) -> Restored:
    """Restore a snapshot into the settings' data folder. erased_in: the data folder that it was taken of. Raises as `restore`."""
    if settings.control_url:
        raise InvalidRequest("A snapshot has a control database of its own: unset HEADRACE_CONTROL_URL to restore it.")
    if settings.log_url:
        raise InvalidRequest("A snapshot has a log of its own: unset HEADRACE_LOG_URL to restore it.")
    if erased_in is None:
        return restore(folder, settings.data, _opened, snapshot=snapshot)
    if not (erased_in / "control.sqlite").is_file():
        raise SettingsError(f"There is no control.sqlite in {erased_in}.")
    control = open_control(msgspec.structs.replace(settings, data=erased_in))
    try:
        later = ControlErasedEvents(control)
        return restore(folder, settings.data, _opened, snapshot=snapshot, erased_later=later)
    finally:
        control.dispose()


@contextmanager
def _opened(data: Path) -> Generator[tuple[RestoredStore, ControlErasedEvents]]:
    control = open_database(data / "control.sqlite")
    store = ClickHouseStore(f"chdb://{data.resolve() / 'store'}")
    try:
        yield cast("RestoredStore", store), ControlErasedEvents(control)
    finally:
        store.close()
        control.dispose()
