"""Where a restore puts things together: in a folder beside the data folder, which it then replaces. Fills none.

A mount point, such as a container's volume, cannot be replaced, nor can a folder whose parent this user cannot write. Then the
draft is `.restoring` in the folder itself. No server starts on a folder that has one.
"""

import os
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.model.errors import SettingsError
from headrace.upkeep.durable import remove, sync_folder
from headrace.upkeep.locks import may_hold

UNFINISHED = ".restoring"
# What a folder may have and still be empty; the second is in the root of a file system.
_NOBODYS = {UNFINISHED, "lost+found"}


def require_empty(data: Path, /) -> None:
    """Raises SettingsError for a folder that has anything in it, and for a file."""
    if not data.exists():
        return
    if not data.is_dir():
        raise SettingsError(f"{data} is not a folder.")
    found = {each.name for each in data.iterdir()}
    if found <= _NOBODYS:
        return
    if UNFINISHED in found:
        raise SettingsError(unfinished(data))
    raise SettingsError(f"{data} is not empty: restore into a new folder, and move the old one away.")


def unfinished(data: Path, /) -> str:
    """What is to be said of a folder that has a draft in it."""
    return f"A restore into {data} was cut off: remove everything in the folder, and restore again."


@contextmanager
def drafted(data: Path, /) -> Generator[Path]:
    """An empty folder to put together what `put_in_place` then makes `data`, an absolute path. It is removed if that fails.

    Raises SettingsError if `data` is not empty or another restore into it is running, OSError.
    """
    require_empty(data)
    beside = data.with_name(f"{data.name}.restoring")
    data.parent.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        beside.mkdir(mode=0o700, exist_ok=True)
    with _held(data if data.exists() else beside, data):
        require_empty(data)  # another restore may have ended meanwhile
        draft = beside if _can_be_replaced(data) else data / UNFINISHED
        draft.mkdir(mode=0o700, exist_ok=True)
        try:
            draft.chmod(0o700)
            _empty(draft)
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def put_in_place(draft: Path, data: Path, /) -> None:
    """Make the draft the data folder, durably. Raises OSError."""
    sync_folder(draft)
    if draft.parent == data:
        for each in sorted(draft.iterdir()):
            each.rename(data / each.name)
        sync_folder(data)
        draft.rmdir()
        sync_folder(data)
        return
    if data.exists():
        data.rmdir()
    draft.rename(data)
    sync_folder(data.parent)


@contextmanager
def _held(folder: Path, data: Path) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not may_hold(descriptor):
            raise SettingsError(f"Another restore into {data} is running.")
        yield
    finally:
        os.close(descriptor)


def _can_be_replaced(data: Path) -> bool:
    """Whether a folder from beside can take the place of `data`. Asks the file system, which alone knows of bind mounts."""
    if not data.exists():
        return True
    if any(each.name != UNFINISHED for each in data.iterdir()):
        return False
    probe, outside = data / UNFINISHED, data.with_name(f".{data.name}.{uuid.uuid4().hex[:6]}")
    shutil.rmtree(probe, ignore_errors=True)
    probe.mkdir(mode=0o700)
    try:
        probe.rename(outside)
    except OSError:
        return False
    with suppress(OSError):
        outside.rmdir()
    return True


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        remove(each)
