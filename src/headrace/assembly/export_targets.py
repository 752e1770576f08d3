"""Where a continuous export puts its files: a folder, or a bucket that speaks S3."""

import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from headrace.control.exports import ControlExportMarks
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from headrace.ports.exports import Exports, ExportTarget
from headrace.upkeep.continuous import ContinuousExport

Write = Callable[[Callable[[bytes], object]], None]
_IS_S3 = "s3://"
_CHUNK_BYTES = 1 << 20


def target_of(where: str, /) -> tuple[ExportTarget, str]:
    """The target of HEADRACE_EXPORT_TO, and what tells it from others. Raises SettingsError."""
    if is_bucket(where):
        return Bucket(where), blake2b(where.encode(), digest_size=16).hexdigest()
    folder = Path(where).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"HEADRACE_EXPORT_TO: {folder} cannot be made: {error.strerror}.") from None
    return Folder(folder), blake2b(str(folder).encode(), digest_size=16).hexdigest()


def is_bucket(where: str, /) -> bool:
    """Whether HEADRACE_EXPORT_TO names a bucket and not a folder."""
    return where.startswith(_IS_S3)


def continuous_export_of(
    settings: Settings, control: Engine, exports: Exports, *, visible: Callable[[], int]
) -> ContinuousExport | None:
    """The continuous export of a server; None where the settings name no target. Raises SettingsError."""
    if not settings.export_to:
        return None
    target, name = target_of(settings.export_to)
    return ContinuousExport(
        exports, ControlExportMarks(control, name), target, every_s=settings.export_every_s, visible=visible
    )


class Folder:
    """Fits the ExportTarget port."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, path: str, write: Write, /) -> None:
        """See the ExportTarget port."""
        target = self._path / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}.*"):  # by a server that was killed as it wrote this file
            left.unlink(missing_ok=True)
        draft = target.with_name(f".{target.name}.{uuid4().hex[:6]}")  # readers pass over names that begin with a dot
        try:
            with draft.open("wb") as file:
                write(file.write)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Bucket:
    """Fits the ExportTarget port. An object is there once its upload is complete.

    The address may name an endpoint: s3://bucket/prefix?endpoint_override=minio:9000&scheme=http&region=us-east-1. Credentials
    come from where AWS's tools look for them. Source: https://arrow.apache.org/docs/python/filesystems.html#s3
    """

    def __init__(self, where: str) -> None:
        """Raises SettingsError."""
        # Imported here: it takes 30 MB, and few servers have a bucket. It is there because the engine needs it.
        fs: Any = import_module("pyarrow.fs")  # it says nothing of its types
        try:
            self._files, self._prefix = fs.FileSystem.from_uri(where)
        except (OSError, ValueError) as error:  # pyarrow's own are among these
            raise SettingsError(f"HEADRACE_EXPORT_TO: {error}") from None

    def put(self, path: str, write: Write, /) -> None:
        """See the ExportTarget port."""
        # Not straight into the upload: to close one that failed half-way would complete it.
        with tempfile.TemporaryFile() as draft:
            write(draft.write)
            draft.seek(0)
            with self._files.open_output_stream(f"{self._prefix}/{path}") as stream:
                shutil.copyfileobj(draft, stream, _CHUNK_BYTES)
