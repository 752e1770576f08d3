"""Tells folders of backups who was erased since, so that a restore erases them again. Names nobody; restores nothing.

A notice is a file beside the snapshots, named by the erasure. It stays for as long as a snapshot in the folder is older than it.
A folder that cannot be reached is told later: what a notice says stays in control.
"""

import threading
import uuid
from pathlib import Path

import msgspec
import structlog

from headrace.model.erasure import Notice
from headrace.model.errors import InvalidRequest
from headrace.model.times import parse_time
from headrace.ports.erasures import BackupFolders, MarkedErasures
from headrace.upkeep.backup import SNAPSHOTS, manifest_of, snapshots_in
from headrace.upkeep.durable import sync_folder, write_durably

NOTICES = "erasures"
_SUFFIX = ".json"
_MARGIN_MS = 86_400_000  # by which a clock may have been wrong; a notice too many is ignored
_log = structlog.get_logger("headrace.backups")
_decoder = msgspec.json.Decoder(Notice)


class Notices:
    """Any thread may call it. untold: the folders that could not be told."""

    def __init__(self, erasures: MarkedErasures, folders: BackupFolders) -> None:
        self._erasures = erasures
        self._folders = folders
        self._turn = threading.Lock()
        self._is_told = False  # a start cannot know what the last process has left to do
        self.untold: list[str] = []

    def tell(self) -> None:
        """Write every notice that a folder lacks. Raises ControlFailed."""
        with self._turn:
            untold: list[str] = []
            for path in self._folders.listed():
                try:
                    self._tell(Path(path))
                except (OSError, InvalidRequest) as error:
                    untold.append(path)
                    if path not in self.untold:
                        _log.warning("backups_untold", folder=path, why=str(error), remedy="It is tried every minute.")
            self.untold = untold
            self._is_told = not untold

    def retry(self) -> None:
        """Tell those that have not been told. Raises ControlFailed."""
        if not self._is_told:
            self.tell()

    def _tell(self, folder: Path) -> None:
        if not (folder / SNAPSHOTS).is_dir():
            raise FileNotFoundError(f"There are no backups in {folder}.")
        since_ms = _oldest_ms(folder)
        if since_ms is None:
            return
        notices = self._erasures.notices(since_ms - _MARGIN_MS)
        there = {each.name for each in (folder / NOTICES).glob(f"*{_SUFFIX}")}
        lacking = [each for each in notices if f"{each.erasure}{_SUFFIX}" not in there]
        for each in lacking:
            _write(folder / NOTICES, each)


def remove_old_notices(folder: Path, /) -> None:
    """Remove the notices of erasures that every snapshot in the folder knows of, and what crashes have left. Raises OSError."""
    since_ms = _oldest_ms(folder)
    for file in (folder / NOTICES).glob("*"):
        if file.name.startswith(".") or (
            since_ms is not None and (notice := _read(file)) and notice.requested_at_ms < since_ms - _MARGIN_MS
        ):
            file.unlink(missing_ok=True)


def notices_in(folder: Path, /) -> list[Notice]:
    """The notices in a folder of backups, in the order in which they were asked for.

    Raises InvalidRequest for one that cannot be read: a restore without it would bring somebody back.
    """
    found: list[Notice] = []
    for file in sorted((folder / NOTICES).glob(f"[!.]*{_SUFFIX}")):
        notice = _read(file)
        if notice is None:
            raise InvalidRequest(
                f"{file} cannot be read. It records who was erased after a backup: repair it from a copy, "
                "or remove it and erase that person again."
            )
        found.append(notice)
    return found


def _read(file: Path) -> Notice | None:
    try:
        return _decoder.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _oldest_ms(folder: Path) -> int | None:
    """When the oldest snapshot was taken. Raises InvalidRequest."""
    oldest = snapshots_in(folder)[:1]
    return parse_time(manifest_of(folder, oldest[0]).taken_at) if oldest else None


def _write(folder: Path, notice: Notice) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    draft = folder / f".{notice.erasure}.{uuid.uuid4().hex[:6]}"
    write_durably(draft, msgspec.json.encode(notice))
    draft.rename(folder / f"{notice.erasure}{_SUFFIX}")
    sync_folder(folder)
