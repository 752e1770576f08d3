"""The files of an import, read line by line whatever holds them: zip, gzip, CSV, Parquet, Arrow. Sends nothing.

A record is a line of JSON with its place, such as `export.zip/2025/1.json.gz:17`. Only a few MiB of a file are in memory.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from headrace.dialects.native_imports import columns_of, json_in, row_as_line
from headrace.model.errors import InvalidRequest, SettingsError
from headrace.model.times import render_time

_MAX_LINE_BYTES = 16 * 1024 * 1024
_ROWS_AT_ONCE = 1000
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
    name = path.name.lower()
    if name.endswith((".parquet", ".parquet.zst", ".parquet.gz", ".parquet.snappy", ".parquet.lz4", ".parquet.br")):
        yield from _rows(path, _parquet(path))
    elif name.endswith((".arrow", ".arrows")):
        yield from _rows(path, _arrow(path))
    elif name.endswith(".zip") or zipfile.is_zipfile(path):
        yield from _in_archive(path)
    else:
        with path.open("rb") as file:
            yield from _in_stream(str(path), file, file)


def _in_archive(path: Path) -> Iterator[Record]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        yield Record(str(path), b"", 0, f"the archive cannot be read: {error}.")
        return
    with archive:
        for entry in sorted(archive.infolist(), key=lambda each: each.filename):
            if entry.is_dir():
                continue
            place = f"{path}/{entry.filename}"
            try:
                file = archive.open(entry)
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # it is encrypted, say
                yield Record(place, b"", 0, f"it cannot be read: {error}.")
                continue
            with file:
                yield from _in_stream(place, file, None)


def _in_stream(place: str, file: Any, whole: IO[bytes] | None) -> Iterator[Record]:
    """The records of a file that may be compressed. whole: what tells how much has been read; None in an archive."""
    is_gzip = file.peek(2)[:2] == b"\x1f\x8b"  # a file that is open, and one in an archive, can both do that
    stream = gzip.GzipFile(fileobj=file) if is_gzip else file
    read = (lambda: whole.tell()) if whole is not None else (lambda: 0)  # noqa: PLW0108  None has no tell
    number = 0
    try:
        name = place.lower().removesuffix(".gz")
        if name.endswith(".csv"):
            yield from _csv_rows(place, stream, read)
            return
        while line := stream.readline(_MAX_LINE_BYTES):
            number += 1
            if len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
                while (rest := stream.readline(_MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield Record(f"{place}:{number}", b"", read(), f"the line is longer than {_MAX_LINE_BYTES} bytes.")
            elif not line.isspace():
                yield Record(f"{place}:{number}", line.strip(), read())
    except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
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


def _rows(path: Path, batches: Iterator[Any]) -> Iterator[Record]:
    number, size = 0, path.stat().st_size
    # pyarrow's errors are ValueErrors and OSErrors: https://arrow.apache.org/docs/python/api/generated/pyarrow.ArrowInvalid.html
    try:
        for batch in batches:
            for row in _to_microseconds(batch).to_pylist():
                number += 1
                yield _row(f"{path}: row {number}", row, size)
    except (ValueError, OSError, NotImplementedError) as error:
        yield Record(f"{path}: row {number + 1}", b"", size, f"the rest cannot be read: {error}")


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


def _parquet(path: Path) -> Iterator[Any]:
    # Imported here: few imports are of Parquet. It is there because the engine needs it.
    pq: Any = import_module("pyarrow.parquet")  # it says nothing of its types
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS_AT_ONCE)


def _arrow(path: Path) -> Iterator[Any]:
    pa: Any = import_module("pyarrow")  # it says nothing of its types
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
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
