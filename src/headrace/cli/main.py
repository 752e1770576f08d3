"""The command line. Parses and prints; the work is elsewhere."""

import os
import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, CycloptsError, Parameter
from sqlalchemy import Engine

from headrace import __version__
from headrace.assembly.control import open_control
from headrace.cli.journeys import app as journeys_app
from headrace.cli.quarantine import app as quarantine_app
from headrace.cli.replays import app as replay_app
from headrace.cli.webhooks import app as webhooks_app
from headrace.control.api_keys import Keys
from headrace.control.journey_runs import ControlJourneys
from headrace.control.rulebook import Rulebook
from headrace.model import settings
from headrace.model.errors import HeadraceError, InvalidRequest, InvalidRules, SettingsError
from headrace.model.event import Mode
from headrace.model.keys import SCOPES, Key, Scope, Style, parse_origins, parse_scopes
from headrace.model.settings import Settings
from headrace.model.times import render_time_short
from headrace.ports.control import ControlFailed

app = App(
    name="headrace",
    help="One server that speaks four event-tracking APIs (Flux, Bricqs, Solute, Hogsend) over a single event store.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
keys_app = App(name="keys", help="Create, list and revoke API keys. Works with or without a running server.")
app.command(keys_app)
rules_app = App(name="rules", help="Apply and show a project's rules. Works with or without a running server.")
app.command(rules_app)
app.command(replay_app)
app.command(journeys_app)
app.command(quarantine_app)
app.command(webhooks_app)

_ENDED_BY_READER = 128 + signal.SIGPIPE  # the exit code that shells use

Data = Annotated[Path | None, Parameter(help="Data folder; default: HEADRACE_DATA, else ./headrace-data.")]


def main() -> None:
    """Run the command in sys.argv. Expected errors become one line on stderr and exit code 2."""
    try:
        app(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again as it ends
        raise SystemExit(_ENDED_BY_READER) from None
    except (HeadraceError, ControlFailed, CycloptsError) as error:
        print("headrace:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None


@app.command
def serve(*, host: str | None = None, port: int | None = None, data: Data = None) -> None:
    """Run the server until SIGTERM. `headrace settings` lists every setting.

    Args:
        host: Address to listen on; default: HEADRACE_HOST.
        port: Port to listen on, 0 for a free one; default: HEADRACE_PORT.
    """
    chosen = Settings.from_environ(os.environ, host=host, port=port, data=data)
    # Imported here: it loads the store's engine, which no other command needs.
    from headrace.http.serve import serve as run  # noqa: PLC0415

    raise SystemExit(run(chosen))


@app.command
def check(*, data: Data = None) -> None:
    """Compare the log, the store and the control database. Exits with 1 if they disagree; changes nothing.

    Asks the server running on the data folder, or opens the folder itself if no server runs.
    """
    # Imported here: it loads the store's engine, which no other command needs.
    from headrace.cli.local import check as run  # noqa: PLC0415

    report = run(Settings.from_environ(os.environ, data=data))
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    if report.problems:
        raise SystemExit(1)


@app.command
def doctor(
    *, as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON array.")] = False, data: Data = None
) -> None:
    """Say what is wrong with a set-up and how to mend it: folder, disk, memory, limits, clock, port, databases.

    Changes nothing. Exits with 1 if the server cannot work like this.
    """
    # Imported here: it loads the store's engine.
    from headrace.cli.doctor import examine, render  # noqa: PLC0415

    findings = examine(Settings.from_environ(os.environ, data=data))
    print(msgspec.json.format(msgspec.json.encode(findings)).decode() if as_json else render(findings))
    if any(each.verdict == "problem" for each in findings):
        raise SystemExit(1)


@app.command(name="settings")
def print_settings() -> None:
    """Print every setting as Markdown (the content of docs/settings.md)."""
    print(settings.HEAD)
    print("| variable | default | meaning |\n|---|---|---|")
    for variable, default, meaning in settings.table():
        print(f"| `{variable}` | {f'`{default}`' if default else 'empty'} | {meaning} |")


@keys_app.command
def create(
    *,
    project: str = "default",
    mode: Mode = "live",
    style: Style = "flux",
    scopes: str | None = None,
    expires_in: timedelta | None = None,
    publishable: bool = False,
    origins: str | None = None,
    data: Data = None,
) -> None:
    """Create a key and print it, with nothing else. It cannot be shown again: only its hash is stored.

    Args:
        project: Project the key belongs to; a new name creates a project.
        mode: live or test; neither sees the other's events.
        style: Sets the key's prefix and, unless --scopes is given, its scopes: flux ingest,query; bricqs and solute
            ingest; admin all. Any key works with any API.
        scopes: One or more of ingest,query,admin.
        expires_in: Lifetime such as 12h, 30d or 1y; without it the key never expires.
        publishable: Create a key that is safe to put in a web page: it can only send events.
        origins: Pages that may use a publishable key, such as https://app.example,https://*.example.org; default: any.
    """
    if publishable and style not in ("flux", "publishable"):
        raise InvalidRequest(f"A key cannot be both publishable and of style {style}.")
    now_ms = _now_ms()
    given = None if scopes is None else parse_scopes(scopes)
    until_ms = None if expires_in is None else now_ms + expires_in // timedelta(milliseconds=1)
    with _keys(data, must_exist=True) as keys:
        _, secret = keys.create(
            *(project, mode, "publishable" if publishable else style, given, now_ms, until_ms),
            origins=() if origins is None else parse_origins(origins),
        )
    print(secret)


@keys_app.command(name="list")
def print_list(
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON array.")] = False,
    data: Data = None,
) -> None:
    """List every key without its secret: as a table on a terminal, otherwise as tab-separated lines."""
    now_ms = _now_ms()
    with _keys(data, must_exist=True) as keys:
        listed = [_list_one(key, now_ms) for key in keys.list()]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(listed)).decode())
    elif sys.stdout.isatty():
        _print_table(listed)
    else:
        print(*Listed.__struct_fields__, sep="\t")
        for one in listed:
            print(*map(_render_cell, msgspec.structs.astuple(one)), sep="\t")


@keys_app.command
def revoke(key: str, /, *, data: Data = None) -> None:
    """Revoke a key permanently. A running server rejects it within a second.

    Args:
        key: The key's id, its prefix or the start of it, or the key itself.
    """
    with _keys(data, must_exist=True) as keys:
        revoked = keys.revoke(key, _now_ms())
    print(f"revoked {revoked.id} (prefix {revoked.prefix})")


@rules_app.command
def apply(
    file: Path,
    /,
    *,
    project: str = "default",
    dry_run: bool = False,
    move_runs: bool = False,
    data: Data = None,
) -> None:
    """Apply a project's rules, all or nothing. A running server follows with the next event.

    Args:
        file: A YAML or JSON document.
        project: Project whose rules these are, in both of its modes.
        dry_run: Check the document and show what it would change, without applying it.
        move_runs: Have runs of changed journeys go on by the new version, where it has the step that they are at.
    """
    # Imported here: it loads the condition language, which no other command needs.
    from headrace.log.sqlite import last_position  # noqa: PLC0415
    from headrace.pipeline.rulesets import apply_rules  # noqa: PLC0415

    try:
        text = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read {file}: {error.strerror}.") from None
    with _control(data, must_exist=True) as engine:
        try:
            last = partial(last_position, Settings.from_environ(os.environ, data=data).data / "log.sqlite")
            applied = apply_rules(
                *(Rulebook(engine), project, text, _now_ms()),
                last=last,
                dry_run=dry_run,
                move_runs=move_runs,
                awaited=ControlJourneys(engine).awaited,
            )
        except InvalidRules as invalid:
            for problem in invalid.problems:
                place = f"{file}:{problem.line}" if problem.line else str(file)
                print(f"{place}: {problem.path or 'the document'}: {problem.detail}", file=sys.stderr)
            raise SystemExit(2) from None
    for change in applied.changes:
        print(f"{change.change:<9} {change.kind} {change.id}{'  (progress restarts)' * change.starts_anew}")
    for each in applied.journeys:
        stay = each.runs - each.moves
        print(f"runs      journey {each.id}  {each.moves} move to the new version, {stay} finish on theirs")
    said = "would be applied" if dry_run else "applied" if applied.applied else "was already in force"
    print(f"version {applied.version} {said}")


@rules_app.command
def show(*, project: str = "default", data: Data = None) -> None:
    """Print the rules in force as a JSON document that `headrace rules apply` accepts.

    Args:
        project: Project whose rules to print.
    """
    with _control(data, must_exist=True) as engine:
        found = Rulebook(engine).current(project)
    print(msgspec.json.format(found[0].document if found else "{}"))


class Listed(msgspec.Struct, frozen=True):
    """A key as `keys list` prints it. The fields are the columns, in order."""

    id: str
    project: str
    mode: Mode
    style: Style
    scopes: tuple[Scope, ...]
    prefix: str
    status: Literal["works", "expired", "revoked"]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    origins: tuple[str, ...]


def _list_one(key: Key, now_ms: int) -> Listed:
    return Listed(
        id=key.id,
        project=key.tenant.project,
        mode=key.tenant.mode,
        style=key.style,
        scopes=tuple(scope for scope in SCOPES if scope in key.scopes),
        prefix=key.prefix,
        status=_status(key, now_ms),
        created_at=_to_second(key.created_at_ms),
        expires_at=None if key.expires_at_ms is None else _to_second(key.expires_at_ms),
        revoked_at=None if key.revoked_at_ms is None else _to_second(key.revoked_at_ms),
        origins=key.origins,
    )


def _status(key: Key, now_ms: int) -> Literal["works", "expired", "revoked"]:
    if key.revoked_at_ms is not None:
        return "revoked"
    return "works" if key.works_at(now_ms) else "expired"


def _to_second(milliseconds: int) -> str:
    return render_time_short(milliseconds // 1000 * 1000)


def _render_cell(value: str | tuple[str, ...] | None) -> str:
    return "-" if value is None or value == () else value if isinstance(value, str) else ",".join(value)


def _print_table(listed: Sequence[Listed]) -> None:
    # Imported here: only a terminal needs them.
    from rich.box import SIMPLE  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    # In 80 columns the others may fold, but `keys revoke` needs these two.
    table = Table(Column("id", no_wrap=True), Column("prefix", no_wrap=True), box=SIMPLE)
    for header in ("project", "mode", "scopes", "status"):
        table.add_column(header, overflow="fold")
    for one in listed:
        day = (one.revoked_at or one.expires_at or "")[:10]
        status = f"{one.status} until {day}" if day and one.status == "works" else f"{one.status} {day}"
        table.add_row(one.id, one.prefix, one.project, one.mode, " ".join((*one.scopes, *one.origins)), status)
    Console().print(table)


@contextmanager
def _keys(data: Path | None, *, must_exist: bool = False) -> Generator[Keys]:
    with _control(data, must_exist=must_exist) as engine:
        yield Keys(engine)


@contextmanager
def _control(data: Path | None, *, must_exist: bool = False) -> Generator[Engine]:
    settings = Settings.from_environ(os.environ, data=data)
    path = settings.data / "control.sqlite"
    if must_exist and not settings.control_url and not path.exists():
        raise SettingsError(
            f"No server has used the data folder {settings.data.absolute()}: there is no {path.name} in it. "
            "Start `headrace serve` on it first, or name another with --data or HEADRACE_DATA."
        )
    engine = open_control(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
