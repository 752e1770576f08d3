"""Backups of a server while it serves, and restoring one into a new folder."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
import structlog
from sqlalchemy import Engine

from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control
from headrace.assembly.erasing_again import erase_people_again
from headrace.assembly.folder import require_no_dead_link
from headrace.control.audit import ControlAudit
from headrace.control.copying import copy_from_file, copy_to_file, require_empty
from headrace.control.database import open_database
from headrace.control.erasure_notices import ControlErasureNotices
from headrace.control.erasures import ControlErasedEvents
from headrace.model.audit import Deed
from headrace.model.erasure import Notice
from headrace.model.errors import InvalidRequest, SettingsError, Unavailable
from headrace.model.settings import Settings
from headrace.ports.copies import FrozenParts
from headrace.ports.erasures import BackupFolders
from headrace.store.clickhouse import ClickHouseStore
from headrace.upkeep.backup import Done, back_up, snapshots_in
from headrace.upkeep.notices import Notices, notices_in, remove_old_notices
from headrace.upkeep.restore import Restored, RestoredStore, restore

_log = structlog.get_logger("headrace.backups")
_CONTROL = "control.sqlite"


class Backups:
    """One backup at a time. hold_trims: has the log let go of nothing until `release_trims`."""

    def __init__(
        self,
        settings: Settings,
        control: Engine,
        store: FrozenParts,
        *,
        folders: BackupFolders,
        notices: Notices,
        hold_trims: Callable[[], None],
        release_trims: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._control = control
        self._store = store
        self._folders = folders
        self._notices = notices
        self._hold_trims = hold_trims
        self._release_trims = release_trims
        self._busy = threading.Lock()

    def make(self, folder: Path, keep: int | None, /) -> Done:
        """See `back_up`. Takes its time: not for the event loop's thread.

        Raises InvalidRequest, Unavailable, StoreFailed, ControlFailed.
        """
        if self._settings.log_url:
            raise InvalidRequest(
                "The log is on a Valkey server, which is not copied: a backup would lack it. See docs/scale.md."
            )
        if self._settings.store_url:
            raise InvalidRequest(
                "The events are on a ClickHouse server, which is not copied: a backup would lack them. See docs/scale.md."
            )
        if not self._busy.acquire(blocking=False):
            raise Unavailable("Another backup is being made.")
        try:
            # Noted first: whoever is erased while the backup is made is in it, and the folder has to be told.
            for dropped in self._folders.add(str(folder), clock_ms()):
                _log.warning("backups_forgotten", folder=dropped, why="Too many folders hold backups.")
            self._hold_trims()
            copy = partial(copy_to_file, self._control) if self._settings.control_url else None
            try:
                done = back_up(self._settings.data, self._store, folder, clock_ms(), keep=keep, copy_control=copy)
            except BaseException:
                if not snapshots_in(folder):
                    self._folders.remove(str(folder))
                raise
            self._notices.tell()
            if keep is not None:
                remove_old_notices(folder)
            return done
        finally:
            self._release_trims()
            self._busy.release()

    def forget(self, folder: Path, /) -> None:
        """Tell a folder of backups of no erasure any more. Raises InvalidRequest if none was written there, ControlFailed."""
        if str(folder) not in (known := self._folders.listed()):
            raise InvalidRequest(f"No backup was written to {folder}; there are some in: {', '.join(known) or 'none'}.")
        self._folders.remove(str(folder))
        self._notices.tell()


class BackupAsked(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What `headrace backup` asks for. folder: an absolute path on the server's machine. forget: make none there any more."""

    folder: str
    keep: int | None = None
    forget: bool = False


def parse_backup(body: bytes, /) -> BackupAsked:
    """Raises InvalidRequest."""
    try:
        asked = msgspec.json.decode(body, type=BackupAsked)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{error}.") from None
    if not Path(asked.folder).is_absolute() or "\0" in asked.folder:
        raise InvalidRequest("'folder' must be an absolute path.")
    return asked


def restore_into(
    settings: Settings,
    folder: Path,
    deed: Deed,
    /,
    *,
    snapshot: str | None = None,
    erased_in: Path | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> Restored:
    """Restore a snapshot into the settings' data folder, and into their control database if that is PostgreSQL.

    deed: what the audit there says. erased_in: the data folder that the snapshot was taken of. on_step: called after each step
    of what has to be done before the folder gets its name. Raises what `restore` raises, and SettingsError for a database that
    is not empty.
    """
    if settings.log_url:
        raise InvalidRequest("A snapshot has a log of its own: unset HEADRACE_LOG_URL to restore it.")
    if settings.store_url:
        raise InvalidRequest("A snapshot has a store of its own: unset HEADRACE_STORE_URL to restore it.")
    if settings.control_url:
        require_empty(settings.control_url)
    require_no_dead_link(settings.data)
    later = notices_in(folder)
    if erased_in is None:
        return _restore(settings, folder, deed, snapshot, None, later, on_step)
    if not (erased_in / _CONTROL).is_file():
        raise SettingsError(f"There is no {_CONTROL} in {erased_in}.")
    control = open_control(msgspec.structs.replace(settings, data=erased_in, control_url=""))
    try:
        told = {each.erasure for each in later}
        later += [each for each in ControlErasureNotices(control).notices(0) if each.erasure not in told]
        return _restore(settings, folder, deed, snapshot, ControlErasedEvents(control), later, on_step)
    finally:
        control.dispose()


def _restore(
    settings: Settings,
    folder: Path,
    deed: Deed,
    snapshot: str | None,
    erased_later: ControlErasedEvents | None,
    notices: Sequence[Notice],
    on_step: Callable[[str], None],
) -> Restored:
    def finish(draft: Path) -> int:
        on_step("filled")
        own = msgspec.structs.replace(settings, data=draft, control_url="")
        repeated = erase_people_again(own, notices, on_step=on_step)
        control = open_database(draft / _CONTROL)
        ControlAudit(control).end(deed, "done")
        control.dispose()
        if settings.control_url:
            # Last, and all or nothing: only a crash before the folder gets its name would leave a database to empty by hand.
            copy_from_file(draft / _CONTROL, settings.control_url)
            for each in draft.glob(f"{_CONTROL}*"):
                each.unlink()
        on_step("finished")
        return repeated

    return restore(folder, settings.data, _opened, snapshot=snapshot, erased_later=erased_later, finish=finish)


@contextmanager
def _opened(data: Path) -> Generator[tuple[RestoredStore, ControlErasedEvents]]:
    control = open_database(data / _CONTROL)
    store = ClickHouseStore(f"chdb://{data.resolve() / 'store'}")
    try:
        yield cast("RestoredStore", store), ControlErasedEvents(control)
    finally:
        store.close()
        control.dispose()
