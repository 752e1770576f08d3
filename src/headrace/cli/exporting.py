"""`headrace export`: asks the running server for pages of events and writes them to disk. Never opens the data.

After each page it notes, durably and beside the output, what it has. So a run that is killed is taken up by the next, which
writes no event twice and leaves none out.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.client import IncompleteRead
from pathlib import Path
from typing import IO, Annotated, Any
from urllib.parse import urlencode

import msgspec
from cyclopts import App, Parameter
from msgspec.structs import replace

from headrace.cli.opened import now_ms
from headrace.cli.progress import Pace, progress_bar
from headrace.cli.server import Data, Server
from headrace.model.errors import InvalidRequest, SettingsError, Unavailable
from headrace.model.event import Mode
from headrace.model.exports import ExportFormat
from headrace.model.times import EARLIEST_MS, parse_span, render_time
from headrace.upkeep.locks import may_hold

app = App(name="export", help="Write events to a file, or to a folder of Parquet files, from the running server.")
_PAGE_EVENTS = 50_000
_CHUNK_BYTES = 1 << 20
_IN_PARTS = ("parquet", "arrow")
_COMPRESSED = (".gz", ".gzip", ".zst", ".bz2", ".xz", ".br", ".zip")


class _Noted(msgspec.Struct):
    """How far an export has come. query: what was asked for. total: events at its beginning. written: bytes, or files.

    asks: what the server is asked, with the moments that spans such as 7d meant at the beginning.
    """

    query: str
    total: int
    events: int = 0
    written: int = 0
    after: str = ""
    asks: str = ""


@app.default
def export(
    target: Path | None = None,
    /,
    *,
    format: ExportFormat | None = None,  # noqa: A002  the option's name
    event: str | None = None,
    user: str | None = None,
    merged: bool = False,
    source: str | None = None,
    session: str | None = None,
    environment: str | None = None,
    service: str | None = None,
    host: str | None = None,
    tag: Sequence[str] = (),
    property: Sequence[str] = (),  # noqa: A002  the option's name
    metrics: bool = False,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    since: str | None = None,
    until: str | None = None,
    tz: str | None = None,
    rate: int | None = None,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Export events in the order of their receipt. Run it again to resume an interrupted export.

    Args:
        target: A file for jsonl and csv, a folder for parquet and arrow; neither may exist. Without one, stdout.
        format: jsonl, csv, parquet or arrow; default: by the target's suffix, else jsonl.
        event: Exact event name, or a prefix with a trailing *.
        user: Exact user id.
        merged: With --user: every id of that person.
        source: API that the event was sent through.
        session: Exact session id.
        tag: KEY=VALUE, a tag or string property; may be repeated.
        property: KEY=VALUE, a property; may be repeated.
        metrics: Export points of metrics instead of events.
        from_: Earliest event time.
        to: Latest event time.
        since: Like --from, or a span before now such as 7d.
        until: Like --to, or a span before now.
        tz: Time zone of dates without a time.
        rate: At most this many events a second.
        project: Project whose events to export.
        mode: live or test.
    """
    chosen = format or next(
        (each for each in ("csv", "parquet", "arrow") if target and target.suffix == f".{each}"), "jsonl"
    )
    given = {"name": event, "user_id": user, "source": source, "session_id": session, "environment": environment}
    given |= {"service": service, "host": host, "from": from_, "to": to, "since": since, "until": until, "tz": tz}
    given |= {"merged": "true" if merged else None, "of": "metrics" if metrics else None}
    pairs = [("format", chosen), *((name, value) for name, value in given.items() if value)]
    pairs += [(f"tags[{key}]", value) for key, value in map(_pair, tag)]
    pairs += [(f"properties[{key}]", value) for key, value in map(_pair, property)]
    pace = Pace(rate)
    server = Server(project, mode, data)
    try:
        if target is None:
            _to_stdout(server, urlencode(pairs))
            return
        limit = ("limit", str(_PAGE_EVENTS))
        query = f"{project}/{mode}?{urlencode([*pairs, limit])}"
        work = (_ToFolder if chosen in _IN_PARTS else _ToFile)(target, chosen, query)
        _run(server, work, urlencode([*dated(pairs, now_ms()), limit]), pace)
    except BrokenPipeError:
        raise  # the reader of stdout has seen enough
    except OSError as error:
        again = "" if target is None else " Run the command again to go on."
        raise SettingsError(f"{target or 'stdout'} cannot be written: {error.strerror or error}.{again}") from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"{text!r} must be KEY=VALUE.")
    return key, value


def dated(pairs: Sequence[tuple[str, str]], now_ms: int) -> list[tuple[str, str]]:
    """The parameters, with the moments that spans before now mean: the pages of an export are asked for one after the other."""

    def moment(name: str, value: str) -> str:
        with suppress(InvalidRequest):
            if name in ("since", "until"):
                return render_time(max(EARLIEST_MS, now_ms - parse_span(value, name)))
        return value

    return [(name, moment(name, value)) for name, value in pairs]


def _to_stdout(server: Server, query: str) -> None:
    with server.opened(f"/api/v1/export?{query}") as reply, os.fdopen(os.dup(1), "wb") as out:
        for chunk in _chunks(reply):
            out.write(chunk)


def _run(server: Server, work: "_ToFile | _ToFolder", query: str, pace: Pace) -> None:
    noted = work.begin()
    had = 0 if noted is None else noted.events
    asks = (noted.asks if noted else "") or query
    with progress_bar("export") as progress:
        while True:
            after = f"&after={noted.after}" if noted and noted.after else ""
            with server.opened(f"/api/v1/export?{asks}{after}") as reply:
                if noted is None:
                    noted = _Noted(work.query, _count(server, asks), asks=asks)
                events = int(reply.headers["Headrace-Events"])
                noted = work.take(noted, reply, events, reply.headers["Headrace-Next"])
            progress(noted.events, noted.total)
            if not noted.after:
                break
            pace.keep(events)
    work.end()
    print(f"exported {pace.summary('events', noted.events - had)}")


def _count(server: Server, query: str) -> int:
    with server.opened(f"/api/v1/export?{query.replace(f'&limit={_PAGE_EVENTS}', '')}", "HEAD") as reply:
        return int(reply.headers["Headrace-Events"])


def _chunks(reply: Any) -> Iterator[bytes]:
    try:
        while chunk := reply.read(_CHUNK_BYTES):
            yield chunk
    except (IncompleteRead, OSError) as error:
        raise Unavailable(f"The server ended the export early: {error}. Run the command again to resume.") from None


def _synced(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _hold(descriptor: int, target: Path) -> None:
    """Keep other exports out of a file or folder for as long as it is open. Raises SettingsError if one is at work."""
    if not may_hold(descriptor):
        raise SettingsError(f"Another export to {target} is running.")


class _Notes:
    """Where an export writes down how far it has come: whole or not at all."""

    def __init__(self, path: Path, query: str) -> None:
        self._path = path
        self._query = query

    def read(self) -> _Noted | None:
        """Raises SettingsError if what is there belongs to another export."""
        try:
            noted = msgspec.json.decode(self._path.read_bytes(), type=_Noted)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise SettingsError(f"{self._path} cannot be read: remove it and what was exported so far.") from None
        if noted.query != self._query:
            raise SettingsError(f"{self._path} belongs to another export, {noted.query}: give the same options.")
        return noted

    def write(self, noted: _Noted) -> None:
        draft = self._path.with_name(f"{self._path.name}.new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(noted))
            _synced(file)
        draft.replace(self._path)

    def remove(self) -> None:
        self._path.unlink()


class _ToFile:
    """Appends pages to one file, which has its name only once it is complete."""

    def __init__(self, target: Path, chosen: str, query: str) -> None:
        if target.exists():
            raise SettingsError(f"{target} exists already: name another file.")
        if target.suffix.lower() in _COMPRESSED:
            raise SettingsError(
                f"{target}: an export is not compressed. Pipe it: `headrace export --format {chosen} | gzip > {target.name}`; "
                "or name a file to compress later."
            )
        self.query = query
        self._target = target
        self._has_head = chosen == "csv"
        self._partial = target.with_name(f"{target.name}.partial")
        self._notes = _Notes(target.with_name(f"{target.name}.partial.json"), query)

    def begin(self) -> _Noted | None:
        self._file = self._partial.open("ab")
        _hold(self._file.fileno(), self._target)
        noted = self._notes.read()
        if noted and os.fstat(self._file.fileno()).st_size < noted.written:
            noted = None  # somebody has removed what was written, and not the note: begin anew
            self._notes.remove()
        self._file.truncate(noted.written if noted else 0)  # what came after the last note comes again
        return noted

    def take(self, noted: _Noted, reply: Any, events: int, after: str | None) -> _Noted:
        skipping = self._has_head and noted.written > 0
        for chunk in _chunks(reply):
            written = chunk.partition(b"\n")[2] if skipping else chunk
            skipping = skipping and b"\n" not in chunk
            self._file.write(written)
        _synced(self._file)
        size = os.fstat(self._file.fileno()).st_size
        noted = replace(noted, events=noted.events + events, written=size, after=after or "")
        if after:
            self._notes.write(noted)
        return noted

    def end(self) -> None:
        with self._file:
            self._partial.replace(self._target)
        if self._notes.read() is not None:
            self._notes.remove()


class _ToFolder:
    """Writes each page as a file of its own, named by its number: whole or not at all."""

    def __init__(self, target: Path, chosen: str, query: str) -> None:
        self.query = query
        self._target = target
        self._suffix = chosen
        self._notes = _Notes(target / ".headrace-export.json", query)

    def begin(self) -> _Noted | None:
        self._target.mkdir(parents=True, exist_ok=True)
        self._folder = os.open(self._target, os.O_RDONLY)  # until the command ends
        _hold(self._folder, self._target)
        noted = self._notes.read()
        if noted is None and any(self._target.iterdir()):
            raise SettingsError(f"{self._target} is not empty: name another folder.")
        for number in range(noted.written if noted else 0):
            if not (path := self._part(number)).exists():
                raise SettingsError(f"{path} is missing: remove {self._target}, and export again.")
        return noted

    def _part(self, number: int) -> Path:
        return self._target / f"part-{number:06d}.{self._suffix}"

    def take(self, noted: _Noted, reply: Any, events: int, after: str | None) -> _Noted:
        if not noted.written:
            self._notes.write(noted)  # so that a folder with files is known for this export's
        number = noted.written
        path = self._part(number)
        draft = path.with_name(f".{path.name}.partial")
        with draft.open("wb") as file:
            for chunk in _chunks(reply):
                file.write(chunk)
            _synced(file)
        draft.replace(path)
        noted = replace(noted, events=noted.events + events, written=number + 1, after=after or "")
        if after:  # else a run that is killed now takes this file for missing, and writes it again
            self._notes.write(noted)
        return noted

    def end(self) -> None:
        self._notes.remove()
