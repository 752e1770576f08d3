"""The files of an import, read line by line whatever holds them: zip, gzip, CSV, Parquet, Arrow. Sends nothing.

A record is a line of JSON with its place, such as `export.zip/2025/1.json.gz:17`. Only a few MiB of a file are in memory.
"""

import csv
import gzip
import io
import shutil
import tempfile
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec

from headrace.dialects.native_imports import columns_of, json_in, row_as_line
from headrace.model.errors import InvalidRequest, SettingsError
from headrace.model.times import render_time

_MAX_LINE_BYTES = 16 * 1024 * 1024
_ROWS_AT_ONCE = 1000
_CHUNK_BYTES = 1 << 20
# What files begin with, whatever their names are.
_GZIP, _PARQUET, _ARROW_FILE, _ARROW_STREAM = b"\x1f\x8b", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")  # the second has no files in it
_MAX_DEPTH = 3
_NOT_WHOLE = (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile)
# Vendors name the compression that is within a Parquet file.
_PARQUET_NAMES = (".parquet", ".parquet.zst", ".parquet.snappy", ".parquet.lz4", ".parquet.br")
_JSON_COLUMNS = ("properties", "context", "traits")


class Record(NamedTuple):
    """line: JSON; b"" where the place cannot be read, and `problem` says why. read: bytes of the file up to here, about."""

    place: str
    line: bytes
    read: int
    problem: str = ""


def files_of(paths: list[Path], /) -> list[Path]:
    """The files, and those in folders but hidden ones, in the order of their names.

    Raises SettingsError for a path that is not there.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SettingsError(f"There is no file {path}.")
        found += sorted(each for each in path.rglob("*") if _is_shown(each, path)) if path.is_dir() else [path]
    return found


def _is_shown(file: Path, folder: Path) -> bool:
    """Whether it is a file that somebody means who names its folder: what an export has not completed is hidden."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)


def records_in(path: Path, /) -> Iterator[Record]:
    """Every record of a file; blank lines are passed over. What cannot be read is a record with a problem. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        yield from _in_file(str(path), file, file.tell, whole=Plain(path, size))


class Plain(NamedTuple):
    """A file that is on disk as it is, neither compressed nor in an archive."""

    path: Path
    size: int


def _in_file(
    place: str, file: Any, read: Callable[[], int], *, whole: Plain | None = None, depth: int = 0
) -> Iterator[Record]:
    """The records of whatever is in a file, by its first bytes or else by its name. Raises OSError.

    file: what is open has `peek`, in an archive and in gzip too. read: how much of the file on disk has been read.
    depth: how many archives and gzips it is in: some contain themselves.
    """
    try:
        head = file.peek(8)[:8]
        form = _form_of(place.lower().removesuffix(".gz"), head)
        if form in ("gzip", "archive") and depth == _MAX_DEPTH:
            yield Record(place, b"", read(), f"it is packed more than {_MAX_DEPTH} times: unpack it.")
        elif form == "gzip":
            yield from _in_file(place, gzip.GzipFile(fileobj=file), read, depth=depth + 1)
        elif form == "archive":
            with _seekable(file, whole) as source:
                yield from _in_archive(place, source, depth + 1)
        elif form in ("parquet", "arrow"):
            with _seekable(file, whole) as source:
                batches = _parquet(source) if form == "parquet" else _arrow(source, head)
                yield from _rows(place, batches, whole.size if whole else read())
        elif form == "csv":
            yield from _csv_rows(place, file, read)
        else:
            yield from _lines(place, file, read)
    except _NOT_WHOLE as error:
        yield Record(place, b"", read(), f"the rest cannot be decompressed: {error}.")


def _form_of(name: str, head: bytes) -> Literal["gzip", "archive", "parquet", "arrow", "csv", "lines"]:
    """Sources: https://parquet.apache.org/docs/file-format/, https://arrow.apache.org/docs/format/Columnar.html"""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_PARQUET) or name.endswith(_PARQUET_NAMES):
        return "parquet"
    if head.startswith((_ARROW_FILE, _ARROW_STREAM)) or name.endswith((".arrow", ".arrows")):
        return "arrow"
    if head.startswith(_ARCHIVES) or name.endswith(".zip"):
        return "archive"
    return "csv" if name.endswith(".csv") else "lines"


@contextmanager
def _seekable(file: Any, whole: Plain | None) -> Generator[Any]:
    """What can be read in any order: the file itself, or a copy on disk of what is compressed or in an archive."""
    if whole is not None:
        yield whole.path
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, _CHUNK_BYTES)
        copy.seek(0)
        yield copy


def _in_archive(place: str, source: Any, depth: int) -> Iterator[Record]:
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile as error:
        yield Record(place, b"", 0, f"the archive cannot be read: {error}.")
        return
    with archive:
        for entry in sorted(archive.infolist(), key=lambda each: each.filename):
            if entry.is_dir():
                continue
            within = f"{place}/{entry.filename}"
            try:
                file = archive.open(entry)
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # it is encrypted, say
                yield Record(within, b"", 0, f"it cannot be read: {error}.")
                continue
            with file:
                yield from _in_file(within, file, lambda: 0, depth=depth)


def _lines(place: str, stream: Any, read: Callable[[], int]) -> Iterator[Record]:
    number = 0
    try:
        while line := stream.readline(_MAX_LINE_BYTES):
            number += 1
            if len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
                while (rest := stream.readline(_MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield Record(f"{place}:{number}", b"", read(), f"the line is longer than {_MAX_LINE_BYTES} bytes.")
                continue
            # Of a file in the middle of an archive, too, whose lines are sent together with those of others.
            line = (line.removeprefix(BOM_UTF8) if number == 1 else line).strip()
            if line:
                yield Record(f"{place}:{number}", line, read())
    except _NOT_WHOLE as error:
        yield Record(f"{place}:{number + 1}", b"", read(), f"the rest cannot be decompressed: {error}.")


def _csv_rows(place: str, stream: Any, read: Any) -> Iterator[Record]:
    csv.field_size_limit(_MAX_LINE_BYTES)
    rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline=""))
    try:
        head = columns_of(next(rows, list[str]()))
    except InvalidRequest as error:
        yield Record(f"{place}:1", b"", read(), error.message)
        return
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
            if row is None:
                return
            if row:
                yield Record(f"{place}:{line}", bytes(row_as_line(head, row)), read())
        except (InvalidRequest, csv.Error) as error:
            yield Record(f"{place}:{line}", b"", read(), str(error))


def _rows(place: str, batches: Iterator[Any], read: int) -> Iterator[Record]:
    number = 0
    # pyarrow's errors are ValueErrors and OSErrors: https://arrow.apache.org/docs/python/api/generated/pyarrow.ArrowInvalid.html
    try:
        for batch in batches:
            for row in _to_microseconds(batch).to_pylist():
                number += 1
                yield _row(f"{place}: row {number}", row, read)
    except (ValueError, OSError, NotImplementedError) as error:
        yield Record(f"{place}: row {number + 1}", b"", read, f"the rest cannot be read: {error}")


def _row(place: str, row: dict[str, Any], size: int) -> Record:
    try:
        return Record(place, _line_of(row), size)
    except (TypeError, ValueError, OverflowError) as error:  # nothing that JSON could say
        return Record(place, b"", size, f"the row has a value that is no JSON: {error}")


def _to_microseconds(batch: Any) -> Any:
    """The batch, with times as Python knows them: an event's has milliseconds, and pyarrow refuses to cut nanoseconds off."""
    pa: Any = import_module("pyarrow")
    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
            batch = batch.set_column(index, field.name, batch.column(index).cast(kind, safe=False))
    return batch


def _parquet(source: Any) -> Iterator[Any]:
    """source: a path, or an open file."""
    # Imported here: few imports are of Parquet. It is there because the engine needs it.
    pq: Any = import_module("pyarrow.parquet")  # it says nothing of its types
    with pq.ParquetFile(source) as file:
        yield from file.iter_batches(batch_size=_ROWS_AT_ONCE)


def _arrow(source: Any, head: bytes) -> Iterator[Any]:
    """Of a stream, or of a file, whose batches can be read in any order. source: a path, or an open file."""
    pa: Any = import_module("pyarrow")  # it says nothing of its types
    with _opened(pa, source) as file:
        if head.startswith(_ARROW_FILE):
            with pa.ipc.open_file(file) as arrow:
                yield from _slices(arrow.get_batch(index) for index in range(arrow.num_record_batches))
        else:
            with pa.ipc.open_stream(file) as stream:
                yield from _slices(stream)


def _opened(pa: Any, source: Any) -> Any:
    return pa.OSFile(str(source)) if isinstance(source, Path) else pa.PythonFile(source, mode="r")


def _slices(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            yield batch.slice(start, _ROWS_AT_ONCE)


def _line_of(row: dict[str, Any]) -> bytes:
    """A row as a line of JSON: times as text, maps and the JSON in our own columns as objects."""
    members = {name: _value(name, value) for name, value in row.items() if value is not None}
    return msgspec.json.encode(members)


def _value(name: str, value: object) -> object:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return render_time(int(moment.timestamp() * 1000 + 0.5))
    if type(value) is list:
        items = cast("list[object]", value)
        is_map = all(type(each) is tuple for each in items)
        return dict(cast("list[tuple[str, object]]", items)) if is_map else items
    text: object = value.decode(errors="replace") if type(value) is bytes else value
    return json_in(text) if name in _JSON_COLUMNS and type(text) is str else text
