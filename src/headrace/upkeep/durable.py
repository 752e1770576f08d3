"""Writes and copies files so that they survive a power cut. Knows no backups."""

import os
import shutil
from pathlib import Path


def copy_tree(source: Path, target: Path, /) -> None:
    """Copy a folder durably. Raises OSError, and leaves nothing then."""
    try:
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for each in [target, *target.rglob("*")]:
            (sync_folder if each.is_dir() else sync_file)(each)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def remove(path: Path, /) -> None:
    """Remove a file or a folder with all that is in it. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_durably(path: Path, content: bytes, /) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path, /) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path, /) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
