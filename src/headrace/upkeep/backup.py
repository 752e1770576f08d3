"""Copies a server's data while it serves. Restores nothing: restore.py.

A folder of backups holds snapshots, and the parts of the store that they share: a part's files never change, so a snapshot copies
only those that no earlier one has. Where the store's files are out of reach, its events are copied as ranges of rows, which are
shared likewise (row_ranges.py). A snapshot is there once its manifest is, which comes last; what a crash leaves is none.

Control is copied first, then the store, then the log, and the log lets go of nothing meanwhile. So of whatever the copy of
control says is still to be stored or reacted to, the copy of the log has the event; of what it says is done, the store's.
"""

import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Collection, Generator
from contextlib import closing, contextmanager
from hashlib import blake2b, file_digest
from pathlib import Path

import msgspec

from headrace import __version__
from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.times import render_time, render_time_short
from headrace.ports.copies import FrozenParts
from headrace.upkeep.durable import copy_tree, sync_file, sync_folder, write_durably
from headrace.upkeep.locks import may_hold
from headrace.upkeep.row_ranges import KeptRange

MANIFEST = "manifest.json"
SNAPSHOTS, PARTS = "snapshots", "parts"
DATABASES = ("control.sqlite", "log.sqlite")
_FORMAT, _WITH_RANGES = 1, 2
_LOCK = "lock"
_OF_SERVERS = ("store", "tmp", "imports")
# What backups write, and may remove. Whatever else is in a folder is somebody's.
_DRAFT = re.compile(r"\..+[.-][0-9a-f]{6}")
_KEPT_PART = re.compile(r"[^.].*-[0-9a-f]{16}")


class Part(msgspec.Struct, frozen=True):
    """A part of the store. folder: below `parts`; its name has a hash of the part's checksums, so two servers' parts differ."""

    name: str
    folder: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """What a snapshot consists of. sizes: of the databases, in bytes. digests: of the databases; older snapshots have none.

    The store's events are in `parts` or in `ranges`.
    """

    taken_at: str
    version: str
    sizes: dict[str, int]
    parts: list[Part]
    format: int = _FORMAT
    ranges: list[KeptRange] = []
    digests: dict[str, str] = {}

    def bytes(self) -> int:
        """Of everything in it."""
        return sum(self.sizes.values()) + sum(each.bytes for each in (*self.parts, *self.ranges))


class Copies(msgspec.Struct, frozen=True):
    """How to copy what is not in the data folder. None: it is there.

    control, log: write it, as it is at one moment, into a new SQLite file. rows: has the store's events in ranges below a folder,
    and returns the bytes copied. hold: called before the first of what must not move apart: from then on the log trims nothing.
    """

    control: Callable[[Path], None] | None = None
    log: Callable[[Path], None] | None = None
    rows: Callable[[Path], tuple[list[KeptRange], int]] | None = None
    hold: Callable[[], None] = lambda: None


_NOTHING_OUTSIDE = Copies()


class Done(msgspec.Struct, frozen=True):
    """A backup that was made. copied: bytes that no earlier snapshot in the folder had. removed: older snapshots."""

    snapshot: str
    bytes: int
    copied: int
    removed: list[str]


def back_up(
    data: Path,
    store: FrozenParts,
    folder: Path,
    now_ms: int,
    /,
    *,
    keep: int | None = None,
    copies: Copies = _NOTHING_OUTSIDE,
) -> Done:
    """Make a snapshot of control, the log and the store.

    keep: remove the oldest snapshots, but for so many. Raises InvalidRequest if the folder cannot be written or nothing would be
    kept, Unavailable while another server makes a backup in it, StoreFailed, and what `copies` raise.
    """
    if keep is not None and keep < 1:
        raise InvalidRequest(f"'keep' must be 1 or more; it is {keep}.")
    _require_beside(folder.resolve(), data.resolve())
    try:
        (folder / PARTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(folder, alone=True):
            return _back_up(data, store, folder, now_ms, keep, copies)
    except OSError as error:
        raise InvalidRequest(
            f"The backup cannot be written to {folder}: {error.strerror or error}. "
            "The server writes it, as the user that runs it."
        ) from error


def _require_beside(folder: Path, data: Path) -> None:
    """Raises InvalidRequest for the data folder itself, and below what a server keeps there and empties as it likes."""
    if folder == data or any((data / each) in (folder, *folder.parents) for each in _OF_SERVERS):
        raise InvalidRequest(f"{folder} belongs to the server's data: name a folder of its own for backups.")


def _back_up(data: Path, store: FrozenParts, folder: Path, now_ms: int, keep: int | None, copies: Copies) -> Done:
    frozen = f"backup_{uuid.uuid4().hex}"
    taken_at = render_time_short(now_ms)
    # With milliseconds also where they are zero, so that names have the order of their times.
    name = f"{render_time(now_ms).replace(':', '')}-{uuid.uuid4().hex[:6]}"
    draft = folder / SNAPSHOTS / f".{name}"
    draft.mkdir(mode=0o700, parents=True)
    copied = 0
    parts: list[Part] = []
    ranges: list[KeptRange] = []
    try:
        if copies.rows is not None:
            # Most of it, while the log goes on trimming: a server's memory could not hold what arrives meanwhile.
            copied += copies.rows(folder / PARTS)[1]
        copies.hold()
        # 1. Control, 2. the store, 3. the log: see above. A crash here leaves a draft, which nobody takes for a snapshot.
        sizes = {DATABASES[0]: _copy(data, draft, DATABASES[0], copies.control)}
        if copies.rows is None:
            for part in store.freeze(frozen):
                kept, is_new = _keep(part, folder / PARTS)
                parts.append(kept)
                copied += kept.bytes * is_new
        else:
            # Once more: what was erased since, which the copy of control says is done, is in none of these.
            ranges, more = copies.rows(folder / PARTS)
            copied += more
        sizes[DATABASES[1]] = _copy(data, draft, DATABASES[1], copies.log)
        # 4. The manifest, and the name: from here on the snapshot is there.
        digests = {each: digest_of(draft / each) for each in DATABASES}
        format_ = _WITH_RANGES if copies.rows is not None else _FORMAT
        manifest = Manifest(taken_at, __version__, sizes, parts, format_, ranges, digests)
        write_durably(draft / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        sync_folder(folder / PARTS)
        sync_folder(draft)
        draft.rename(folder / SNAPSHOTS / name)
        sync_folder(folder / SNAPSHOTS)
    finally:
        if copies.rows is None:
            shutil.rmtree(store.frozen(frozen), ignore_errors=True)
        shutil.rmtree(draft, ignore_errors=True)
    removed = [] if keep is None else _remove_old(folder, keep)
    return Done(name, manifest.bytes(), copied + sum(sizes.values()), removed)


@contextmanager
def held(folder: Path, /, *, alone: bool) -> Generator[None]:
    """Keep those who make backups out of a folder of them; `alone`: also those who restore from it.

    For `--keep` removes what no snapshot names, such as the parts of one that is being made. Raises Unavailable if the folder is
    held, OSError. Nobody is kept out where the file system knows no locks, or has none to restore from.
    """
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT if alone else os.O_RDONLY, 0o600)
    except OSError:
        if alone:
            raise
        yield  # a folder that cannot be read has no snapshot either
        return
    try:
        if not may_hold(descriptor, shared=not alone):
            doing = (
                "Another backup is being made in it, or restored from it" if alone else "A backup is being made in it"
            )
            raise Unavailable(f"{folder} cannot be used now: {doing}. Try again once that is done.")
        yield
    finally:
        os.close(descriptor)


def snapshots_in(folder: Path, /) -> list[str]:
    """The snapshots of a folder of backups, the oldest first."""
    return sorted(each.parent.name for each in (folder / SNAPSHOTS).glob(f"[!.]*/{MANIFEST}"))


def manifest_of(folder: Path, snapshot: str, /) -> Manifest:
    """Raises InvalidRequest for one that cannot be read."""
    path = folder / SNAPSHOTS / snapshot / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from None
    if manifest.format not in (_FORMAT, _WITH_RANGES):
        raise InvalidRequest(
            f"{path} is of headrace {manifest.version}, in a format that headrace {__version__} does not know: "
            "restore it with that version."
        )
    return manifest


def digest_of(path: Path, /) -> str:
    """A hash of a file. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, "blake2b").hexdigest()[:32]


def _copy(data: Path, draft: Path, name: str, copy: Callable[[Path], None] | None) -> int:
    """Copy a database into the draft; its size."""
    if copy is None:
        return _copy_database(data / name, draft / name)
    made = draft / f"copying-{name}"
    copy(made)
    size = _copy_database(made, draft / name)  # which leaves no write-ahead file
    for each in draft.glob(f"{made.name}*"):
        each.unlink()
    return size


def _copy_database(source: Path, target: Path) -> int:
    """Copy a database that may be in use, as it is at one moment; its size. Source: https://www.sqlite.org/backup.html

    Never read such a file otherwise: to close it would drop the locks of everyone in this process that has it open.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise OSError(f"{source.name} cannot be copied: {error}") from error
    sync_file(target)
    return target.stat().st_size


def _keep(part: Path, parts: Path) -> tuple[Part, bool]:
    """A part among the parts that are kept, and whether it was not there yet."""
    checksums = blake2b((part / "checksums.txt").read_bytes(), digest_size=8).hexdigest()
    kept = parts / f"{part.name}-{checksums}"
    if kept.is_dir():
        return Part(part.name, kept.name, _size_of(kept)), False
    draft = parts / f".{kept.name}.{uuid.uuid4().hex[:6]}"
    copy_tree(part, draft)
    size = _size_of(draft)
    draft.rename(kept)
    return Part(part.name, kept.name, size), True


def _size_of(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _remove_old(folder: Path, keep: int) -> list[str]:
    """Remove the oldest snapshots and the parts that only they had, and what crashes have left."""
    found = snapshots_in(folder)
    removed = found[: max(0, len(found) - keep)]
    for name in removed:
        # Renamed first: half a snapshot is none.
        draft = folder / SNAPSHOTS / f".{name}"
        (folder / SNAPSHOTS / name).rename(draft)
        shutil.rmtree(draft)
    manifests = [manifest_of(folder, name) for name in snapshots_in(folder)]
    used = {each.folder for manifest in manifests for each in (*manifest.parts, *manifest.ranges)}
    for place in (SNAPSHOTS, PARTS):
        _remove_unused(folder / place, used)
    return removed


def _remove_unused(folder: Path, used: Collection[str]) -> None:
    """Remove drafts, and parts that no snapshot has."""
    for each in folder.iterdir():
        is_ours = _DRAFT.fullmatch(each.name) or (folder.name == PARTS and _KEPT_PART.fullmatch(each.name))
        if is_ours and each.name not in used and each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
