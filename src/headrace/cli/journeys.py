"""`headrace journeys`: rehearses journeys on a virtual clock, and asks the running server about them. Parses and prints."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
from cyclopts import App, Parameter

from headrace.cli.server import Data, Server, print_json
from headrace.model.errors import InvalidRequest, InvalidRules, SettingsError
from headrace.model.event import Event, EventType, Mode
from headrace.model.labels import labels_and_numbers
from headrace.model.times import parse_time, render_time

app = App(name="journeys", help="Rehearse, list and steer journeys.")
_MAX_REPLIES = 100
_PAGE, _MAX_STORED = 1000, 100_000


@app.command
def simulate(
    file: Path,
    /,
    *,
    events: Path | None = None,
    replies: Path | None = None,
    journey: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON object per line.")] = False,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Run the journeys of a rules document over events on a virtual clock and print what would happen. Changes nothing.

    Args:
        file: A rules document, YAML or JSON.
        events: One event per line, as JSON: name, timestamp, user_id or anonymous_id, properties, type, traits, … as in the
            rows of GET /api/v1/events. `-` reads standard input. Without it, the stored events of the running server,
            as that route lists them: at most 100,000.
        replies: A JSON object with each webhook's reply: {"crm": {"ok": true}}; null is a webhook that fails.
        journey: Only this journey.
        from_: Earliest time of stored events.
        to: Latest time of stored events.
        project: Project whose stored events to use.
        mode: live or test.
    """
    # Imported here: it loads the condition language, which most commands do not need.
    from headrace.pipeline.applying_rules import parse_document  # noqa: PLC0415
    from headrace.reactions.journeys.simulation import Simulation  # noqa: PLC0415

    try:
        document = parse_document(_read(file))
    except InvalidRules as invalid:
        for problem in invalid.problems:
            place = f"{file}:{problem.line}" if problem.line else str(file)
            print(f"{place}: {problem.path or 'the document'}: {problem.detail}", file=sys.stderr)
        raise SystemExit(2) from None
    chosen = [each for each in document.journeys if journey in (None, each.id)]
    if not chosen:
        raise InvalidRequest(f"{file} has no journey{f' {journey[:80]!r}' if journey else 's'}.")
    simulation = Simulation(chosen, _replies(replies))
    if events is None:
        happened = _stored(Server(project, mode, data), from_, to, simulation.is_about)
    else:
        happened = list(_events(events))
    try:
        for happening in simulation.run(happened):
            print(_line(happening, as_json=as_json))
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if simulation.left_out:
        print(f"{simulation.left_out} repeats of a message id were left out.", file=sys.stderr)


class _Row(msgspec.Struct):
    """A line of the file of events."""

    name: str
    timestamp: str
    user_id: str | None = None
    anonymous_id: str | None = None
    type: EventType | None = None
    value: float | None = None
    properties: msgspec.Raw = msgspec.Raw(b"null")
    traits: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")
    tags: dict[str, str] | None = None
    session_id: str | None = None
    group_id: str | None = None
    environment: str | None = None
    service: str | None = None
    host: str | None = None
    message_id: str | None = None
    id: str = ""


_row_decoder = msgspec.json.Decoder(_Row)


def _events(path: Path) -> Iterator[Event]:
    """Raises InvalidRequest, with the line's number."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield _event(_row_decoder.decode(line))
        except (msgspec.DecodeError, InvalidRequest) as error:
            said = error.message if isinstance(error, InvalidRequest) else str(error)
            raise InvalidRequest(f"{path}:{number}: {said}") from None


class _PageMeta(msgspec.Struct):
    next_cursor: str | None = None


class _Page(msgspec.Struct):
    data: list[_Row]
    meta: _PageMeta


class _One(msgspec.Struct):
    data: _Row


_page_decoder = msgspec.json.Decoder(_Page)
_one_decoder = msgspec.json.Decoder(_One)


def _stored(server: Server, from_: str | None, to: str | None, matters: Callable[[str], bool]) -> list[Event]:
    """The server's events with names that matter, each as a whole, for lists leave out traits and anonymous ids.

    The earliest first. Raises InvalidRequest for more than are taken, and what `ask` raises.
    """
    found: list[Event] = []
    read = 0
    cursor: str | None = ""
    while cursor is not None:
        given = {"limit": str(_PAGE), "cursor": cursor, "from": from_ or "", "to": to or ""}
        page = _page_decoder.decode(server.ask_bytes("GET", f"/api/v1/events?{urlencode(given)}"))
        for row in page.data:
            read += 1
            if matters(row.name):
                found.append(_event(_one_decoder.decode(server.ask_bytes("GET", f"/api/v1/events/{row.id}")).data))
        cursor = page.meta.next_cursor
        if read > _MAX_STORED:
            raise InvalidRequest(f"There are more than {_MAX_STORED:,} events: narrow them with --from and --to.")
    return found[::-1]


def _event(row: _Row) -> Event:
    properties, tags = _object(row.properties, "properties"), row.tags or {}
    labels, numbers = labels_and_numbers(msgspec.json.decode(properties or "{}"), tags)
    return Event(
        *("simulated", "live", "file", row.name, parse_time(row.timestamp)),
        type=row.type or "track",
        user_id=row.user_id or "",
        anonymous_id=row.anonymous_id or "",
        session_id=row.session_id or "",
        group_id=row.group_id or "",
        value=row.value,
        properties=properties,
        traits=_object(row.traits, "traits"),
        context=_object(row.context, "context"),
        tags=tags,
        labels=labels,
        numbers=numbers,
        environment=row.environment or "",
        service=row.service or "",
        host=row.host or "",
        message_id=row.message_id or "",
    )


def _object(raw: msgspec.Raw, field: str) -> str:
    text = bytes(raw).strip()
    if text in (b"null", b"{}"):
        return ""
    if not text.startswith(b"{"):
        raise InvalidRequest(f"{field!r} must be an object.")
    return text.decode()


def _replies(path: Path | None) -> dict[str, bytes | None]:
    if path is None:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(_read(path), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{path}: {error}") from None
    if len(found) > _MAX_REPLIES:
        raise InvalidRequest(f"{path}: it has more than {_MAX_REPLIES} webhooks.")
    return {name: None if reply is None else msgspec.json.encode(reply) for name, reply in found.items()}


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from None


def _line(happening: Any, *, as_json: bool) -> str:
    if as_json:
        shown = {"at": render_time(happening.at_ms)} | msgspec.to_builtins(happening)
        del shown["at_ms"]
        return json.dumps(shown, ensure_ascii=False)
    at = f"{happening.step}: " if happening.step else ""
    detail = f" ({happening.detail})" if happening.detail else ""
    run = f"{happening.journey}#{happening.run}"
    return f"{render_time(happening.at_ms)}  {happening.person:<16}  {run:<16}  {at}{happening.what}{detail}"


@app.command(name="list")
def print_list(*, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """List journeys with their runs by status, as tab-separated lines.

    Args:
        project: Project whose journeys to list.
        mode: live or test.
    """
    statuses = ("active", "done", "exited", "cancelled", "failed")
    print("id", "version", "in_force", *statuses, sep="\t")
    for each in Server(project, mode, data).ask("GET", "/api/v1/journeys")["data"]:
        runs = [each["runs"][status] for status in statuses]
        print(each["id"], each["version"] or "-", str(each["in_force"]).lower(), *runs, sep="\t")


@app.command
def show(journey: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Print a journey with counts for each step, as JSON."""
    print_json(Server(project, mode, data).ask("GET", f"/api/v1/journeys/{quote(journey, safe='')}"))


@app.command
def runs(
    journey: str,
    /,
    *,
    status: str | None = None,
    person: str | None = None,
    limit: int = 50,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """List a journey's runs, latest start first, as tab-separated lines.

    Args:
        status: Only runs that are active, done, exited, cancelled or failed.
        person: Only runs of this person, by any of the ids.
        limit: Maximum number of runs, 1 to 100.
    """
    chosen = {"status": status, "person": person}
    query = urlencode({"limit": limit} | {name: value for name, value in chosen.items() if value})
    path = f"/api/v1/journeys/{quote(journey, safe='')}/runs?{query}"
    columns = ("id", "person", "status", "step", "version", "started_at", "due_at")
    print(*columns, sep="\t")
    for each in Server(project, mode, data).ask("GET", path)["data"]:
        print(*(each[column] or "-" for column in columns), sep="\t")


@app.command
def run(run_id: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Print a run with each of its steps, and what it waits for, as JSON."""
    print_json(Server(project, mode, data).ask("GET", f"/api/v1/runs/{quote(run_id, safe='')}"))


@app.command
def cancel(run_id: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """End a run at its step."""
    _steer(Server(project, mode, data), run_id, "cancel")


@app.command
def retry(run_id: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Let a failed run try its step again."""
    _steer(Server(project, mode, data), run_id, "retry")


def _steer(server: Server, run_id: str, action: str) -> None:
    found = server.ask("POST", f"/api/v1/runs/{quote(run_id, safe='')}/{action}")["data"]
    print(f"{found['id']} is {found['status']}" + (f" at {found['step']}" if found["step"] else ""))
