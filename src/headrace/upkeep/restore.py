"""Puts a snapshot into an empty data folder. Makes none: backup.py.

Everything is put together in a draft (placing.py), which becomes the folder last: one that is cut off leaves none to start on.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import event_id
from headrace.ports.copies import CopiedRows, EmptyStore
from headrace.ports.erasures import ErasedEvents
from headrace.upkeep.backup import (
    PARTS,
    SNAPSHOTS,
    Manifest,
    digest_of,
    held,
    manifest_of,
    snapshots_in,
)
from headrace.upkeep.durable import copy_tree, sync_file
from headrace.upkeep.erase import KeyedStore, erase
from headrace.upkeep.placing import drafted, put_in_place, require_empty
from headrace.upkeep.row_ranges import add_ranges, move_rows, require_whole

_ERASED_AT_ONCE = 10_000
_EVERY_POSITION = (1 << 63) - 1


class Restored(msgspec.Struct, frozen=True):
    """erased: events that were erased by themselves after the snapshot was taken, and are erased here too.

    erasures: of people, after the snapshot was taken, that were repeated here.
    """

    snapshot: str
    taken_at: str
    bytes: int
    erased: int
    erasures: int


class StagedStore(EmptyStore, CopiedRows, Protocol):
    """A store in the draft that takes parts, whose rows then go to one that does not."""


class RestoredStore(StagedStore, KeyedStore, Protocol):
    """The store that is being restored: of the folder, or on a server."""


Opened = AbstractContextManager[tuple[RestoredStore, ErasedEvents]]
OpenStaged = Callable[[Path], AbstractContextManager[StagedStore]]


def restore(
    folder: Path,
    data: Path,
    open_in: Callable[[Path], Opened],
    /,
    *,
    snapshot: str | None = None,
    erased_later: ErasedEvents | None = None,
    begin: Callable[[], None] = lambda: None,
    finish: Callable[[Path], int] = lambda _data: 0,
    open_staged: OpenStaged | None = None,
) -> Restored:
    """Restore a snapshot, the latest unless one is named, into `data`, which must be empty or not there.

    open_in: opens the new store of a folder, and the list of erased events in it. erased_later: the list of the server that the
    snapshot was taken of, as it is now. begin: called once the snapshot is known to be whole. finish: does what is left to do in
    the folder before it gets its name; how many erasures of people it has repeated. open_staged: where the new store is on a
    server, and so takes no parts: opens another in the folder, which does.
    Durable on return. Raises SettingsError, InvalidRequest, Unavailable, StoreFailed, ControlFailed, OSError.
    """
    data = data.resolve()  # so that what a link leads to is filled, and "." has a name
    require_empty(data)
    with held(folder, alone=False):
        found = snapshots_in(folder)
        name = snapshot or (found[-1] if found else "")
        if name not in found:
            raise InvalidRequest(f"There is no snapshot {name!r} in {folder}; it has: {', '.join(found) or 'none'}.")
        manifest = manifest_of(folder, name)
        _require_whole(folder, name, manifest)
        with drafted(data) as draft:
            begin()
            erased = _fill(draft, folder, name, manifest, open_in, erased_later, open_staged)
            erasures = finish(draft)
            put_in_place(draft, data)
    return Restored(name, manifest.taken_at, manifest.bytes(), erased, erasures)


def _fill(
    draft: Path,
    folder: Path,
    name: str,
    manifest: Manifest,
    open_in: Callable[[Path], Opened],
    erased_later: ErasedEvents | None,
    open_staged: OpenStaged | None,
) -> int:
    """How many events were erased again."""
    for database in manifest.sizes:
        shutil.copyfile(folder / SNAPSHOTS / name / database, draft / database)
        (draft / database).chmod(0o600)
        sync_file(draft / database)
    with open_in(draft) as (store, erased_here):
        if open_staged is None:
            _attach(store, folder, manifest)
        elif manifest.parts:
            with open_staged(draft) as staged:
                _attach(staged, folder, manifest)
                move_rows(staged, store, _EVERY_POSITION)
        add_ranges(store, folder / PARTS, manifest.ranges)
        return 0 if erased_later is None else _erase_again(store, erased_here, erased_later)


def _attach(store: EmptyStore, folder: Path, manifest: Manifest) -> None:
    if not manifest.parts:
        return
    arriving = store.arriving_parts()
    for part in manifest.parts:
        copy_tree(folder / PARTS / part.folder, arriving / part.name)
        store.attach(part.name)


def _require_whole(folder: Path, name: str, manifest: Manifest) -> None:
    """Raises InvalidRequest if a file of the snapshot is missing or not as it was written. The engine looks at those of parts."""
    for database, size in manifest.sizes.items():
        path = folder / SNAPSHOTS / name / database
        if not path.is_file() or path.stat().st_size != size:
            raise InvalidRequest(f"{path} is missing, or its size has changed since it was copied.")
        if (digest := manifest.digests.get(database)) and digest != digest_of(path):
            raise InvalidRequest(f"{path} has changed since it was copied: its checksum does not match.")
    require_whole(folder / PARTS, manifest.ranges)
    for part in manifest.parts:
        path = folder / PARTS / part.folder
        if not path.is_dir() or sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) != part.bytes:
            raise InvalidRequest(f"{path} is missing, or its size has changed since it was copied.")


def _erase_again(store: RestoredStore, here: ErasedEvents, later: ErasedEvents) -> int:
    """Erase what was erased since the snapshot. What is in the log only is on the list, so the worker does not store it."""
    erased = 0
    for page in later.pages(0, _EVERY_POSITION):
        here.add(page)
        for start in range(0, len(page), _ERASED_AT_ONCE):
            ids = [event_id(each.position, each.tail) for each in page[start : start + _ERASED_AT_ONCE]]
            if found := sorted(store.stored(ids)):
                erase(store, here, found)
                erased += len(found)
    return erased
