"""Backups of a server while it serves, whichever of its parts are on servers of their own."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from sqlalchemy import Engine

from headrace.assembly.clock import clock_ms
from headrace.control.copying import copy_to_file
from headrace.log.copying import copy_to_file as copy_log
from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import decode
from headrace.model.repeats import dedup_key
from headrace.model.settings import Settings
from headrace.ports.copies import CopiedRows, FrozenParts
from headrace.ports.erasures import BackupFolders
from headrace.ports.log import LogReader
from headrace.upkeep.backup import Copies, Done, back_up, snapshots_in
from headrace.upkeep.notices import Notices, remove_old_notices
from headrace.upkeep.row_ranges import keep_ranges

_log = structlog.get_logger("headrace.backups")


class CopiedStore(FrozenParts, CopiedRows, Protocol):
    """A store of which either the files can be copied or the rows."""


class Backups:
    """One backup at a time. hold_trims: has the log let go of nothing until `release_trims`.

    stored: the position up to which the store has everything. done: that up to which everything was also reacted to.
    """

    def __init__(
        self,
        settings: Settings,
        control: Engine,
        store: CopiedStore,
        log: LogReader,
        *,
        stored: Callable[[], int],
        done: Callable[[], int],
        folders: BackupFolders,
        notices: Notices,
        hold_trims: Callable[[], None],
        release_trims: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._control = control
        self._store = store
        self._log = log
        self._stored = stored
        self._done = done
        self._folders = folders
        self._notices = notices
        self._hold_trims = hold_trims
        self._release_trims = release_trims
        self._busy = threading.Lock()

    def make(self, folder: Path, keep: int | None, /) -> Done:
        """See `back_up`. Takes its time: not for the event loop's thread.

        Raises InvalidRequest, Unavailable, StoreFailed, ControlFailed.
        """
        if not self._busy.acquire(blocking=False):
            raise Unavailable("Another backup is being made.")
        try:
            # Noted first: whoever is erased while the backup is made is in it, and the folder has to be told.
            for dropped in self._folders.add(str(folder), clock_ms()):
                _log.warning("backups_forgotten", folder=dropped, why="Too many folders hold backups.")
            try:
                done = back_up(self._settings.data, self._store, folder, clock_ms(), keep=keep, copies=self._copies())
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

    def _copies(self) -> Copies:
        """How to copy what is on servers of its own."""
        done = 0

        def hold() -> None:
            nonlocal done
            self._hold_trims()
            # Before control is copied: whatever that copy does not call done is in the copy of the log.
            done = self._done()

        return Copies(
            control=partial(copy_to_file, self._control) if self._settings.control_url else None,
            log=(lambda path: copy_log(self._log, path, done, key_of=_key_of, clock_ms=clock_ms))
            if self._settings.log_url
            else None,
            rows=(lambda parts: keep_ranges(self._store, parts, self._stored())) if self._settings.store_url else None,
            hold=hold,
        )

    def forget(self, folder: Path, /) -> None:
        """Tell a folder of backups of no erasure any more. Raises InvalidRequest if none was written there, ControlFailed."""
        if str(folder) not in (known := self._folders.listed()):
            raise InvalidRequest(f"No backup was written to {folder}; there are some in: {', '.join(known) or 'none'}.")
        self._folders.remove(str(folder))
        self._notices.tell()


def _key_of(payload: bytes) -> bytes:
    """An event's dedup key; b"" for none, and for what is no event of this version."""
    try:
        return dedup_key(decode(payload))
    except msgspec.DecodeError:
        return b""


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
