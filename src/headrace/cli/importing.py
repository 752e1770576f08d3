"""`headrace import`: reads files of events and sends them to the running server. Parses files and prints; never opens the data.

How far each file has come is noted in the data folder, with the data it is about. A run that is killed is taken up by the next;
what was sent and not noted yet is sent again, and the server knows it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec
from cyclopts import App

from headrace.cli.moved_files import Record, files_of, records_in
from headrace.cli.progress import Pace, progress_bar
from headrace.cli.server import Data, Server, print_json
from headrace.model.errors import InvalidRequest, SettingsError
from headrace.model.event import Mode

app = App(name="import", help="Send files of events to the running server: exports of Headrace and of other vendors.")
_LINES_AT_ONCE, _BYTES_AT_ONCE = 2000, 4 * 1024 * 1024


class _Figures(msgspec.Struct):
    """What became of the records."""

    imported: int = 0
    duplicates: int = 0
    erased: int = 0
    rejected: int = 0


class _Noted(msgspec.Struct):
    """How many records of a file have been sent."""

    file: str
    records: int


class _Answer(msgspec.Struct):
    class Data(msgspec.Struct):
        class Error(msgspec.Struct):
            index: int
            message: str

        imported: int
        duplicates: int
        erased: int
        rejected: int
        errors: list[Error]

    data: Data


@app.default
def import_(
    *paths: Path,
    from_: Literal["headrace", "segment", "rudderstack", "posthog", "mixpanel", "amplitude"] = "headrace",
    reactions: bool = False,
    tz: str | None = None,
    rate: int | None = None,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Import events. Run it again to resume an interrupted import; nothing is stored twice.

    Exits with 1 if a record could not be imported; each is reported with its file and line and affects no other.

    Args:
        paths: Files and folders: JSON lines, CSV, Parquet or Arrow, plain, gzipped or zipped.
        from_: The vendor that exported the files.
        reactions: Let rules judge the events as if they happened now; default: they are history.
        tz: For mixpanel: the zone of the project's times, if it is older than 2023; default UTC.
        rate: At most this many events a second.
        project: Project to import into.
        mode: live or test.
    """
    pace = Pace(rate)
    if not paths:
        raise InvalidRequest("Name at least one file or folder to import.")
    try:
        files = [(path, path.stat()) for path in files_of(list(paths))]
    except OSError as error:
        raise SettingsError(f"Cannot read {error.filename}: {error.strerror}.") from None
    server = Server(project, mode, data)
    query = f"/api/v1/import?from={from_}&reactions={'true' if reactions else 'false'}"
    query += f"&tz={quote(tz, safe='/')}" if tz else ""
    total = _Figures()
    size = sum(found.st_size for _, found in files)
    with progress_bar("import", in_bytes=True) as progress:
        before = 0
        for path, found in files:
            notes = _Notes(server.settings.data / "imports", path, found, f"{project}/{mode}{query}")
            for figures, read in _sent(server, query, path, notes):
                _add(total, figures)
                pace.keep(figures.imported + figures.duplicates + figures.erased)
                progress(before + read, size)
            before += found.st_size
            progress(before, size)
            notes.remove()
    print_json(total)
    done = total.imported + total.duplicates + total.erased + total.rejected
    print(pace.summary("records", done), file=sys.stderr)
    if total.rejected:
        raise SystemExit(1)


def _sent(server: Server, query: str, path: Path, notes: "_Notes") -> Iterator[tuple[_Figures, int]]:
    """Send a file's records, some at a time: what became of them, and how much of the file has been read."""
    done = notes.read()
    number = read = 0
    batch: list[Record] = []
    size = 0
    for record in _readable(path):
        number += 1
        if number <= done:
            continue
        if batch and (len(batch) == _LINES_AT_ONCE or size + len(record.line) > _BYTES_AT_ONCE):
            yield _send(server, query, batch), read
            notes.write(number - 1)
            batch, size = [], 0
        batch.append(record)
        size += len(record.line)
        read = record.read
    if batch:
        yield _send(server, query, batch), read


def _readable(path: Path) -> Iterator[Record]:
    """Raises SettingsError for a file that cannot be read."""
    try:
        yield from records_in(path)
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error}.") from None


def _send(server: Server, query: str, batch: list[Record]) -> _Figures:
    """Send records, and report those that cannot be imported."""
    figures = _Figures()
    for record in batch:
        if record.problem:
            _report(record.place, record.problem)
            figures.rejected += 1
    good = [record for record in batch if not record.problem]
    if not good:
        return figures
    body = b"\n".join(record.line for record in good)
    try:
        answer = msgspec.json.decode(server.ask_bytes("POST", query, body), type=_Answer).data
    except InvalidRequest as error:
        if len(good) > 1 and "bytes" in error.message:  # together they are too large
            for half in (good[: len(good) // 2], good[len(good) // 2 :]):
                _add(figures, _send(server, query, half))
            return figures
        if len(good) > 1:
            raise
        _report(good[0].place, error.message)
        figures.rejected += 1
        return figures
    for each in answer.errors:
        _report(good[each.index].place, each.message)
    _add(figures, _Figures(answer.imported, answer.duplicates, answer.erased, answer.rejected))
    return figures


def _add(total: _Figures, more: _Figures) -> None:
    total.imported += more.imported
    total.duplicates += more.duplicates
    total.erased += more.erased
    total.rejected += more.rejected


def _report(place: str, problem: str) -> None:
    print(f"{place}: {problem}", file=sys.stderr)


class _Notes:
    """How far the import of one file into one project has come. A file that has changed since begins anew."""

    def __init__(self, folder: Path, path: Path, found: os.stat_result, query: str) -> None:
        self._file = f"{query} {path.absolute()} {found.st_size} {found.st_mtime_ns}"
        self._path = folder / f"{blake2b(self._file.encode(), digest_size=16).hexdigest()}.json"

    def read(self) -> int:
        try:
            noted = msgspec.json.decode(self._path.read_bytes(), type=_Noted)
        except (OSError, msgspec.DecodeError):
            return 0
        return noted.records

    def write(self, records: int) -> None:
        """A note that a crash loses is only sent again. Raises SettingsError."""
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(_Noted(self._file, records)))
            with suppress(FileNotFoundError):  # another command imports the same file, and has moved it already
                draft.replace(self._path)
        except OSError as error:
            raise SettingsError(
                f"The progress of the import cannot be kept in {self._path.parent}: {error.strerror or error}. "
                "Run the command as the user that runs the server."
            ) from None

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
