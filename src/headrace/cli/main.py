"""The command line. Parses and prints; the work is elsewhere."""

import os
import signal
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, CycloptsError, Parameter

from headrace import __version__
from headrace.cli.audit import print_audit
from headrace.cli.exporting import app as export_app
from headrace.cli.importing import app as import_app
from headrace.cli.journeys import app as journeys_app
from headrace.cli.keys import app as keys_app
from headrace.cli.mcp import app as mcp_app
from headrace.cli.opened import Data, deed_of, running
from headrace.cli.progress import progress_bar
from headrace.cli.quarantine import app as quarantine_app
from headrace.cli.remote import Url
from headrace.cli.replays import app as replay_app
from headrace.cli.retention import app as retention_app
from headrace.cli.retention import prune
from headrace.cli.rules import app as rules_app
from headrace.cli.server import print_json, require_alone
from headrace.cli.store import app as store_app
from headrace.cli.tasks import run_at
from headrace.cli.users import app as users_app
from headrace.cli.webhooks import app as webhooks_app
from headrace.dialects.settings import ServerSettings
from headrace.model.errors import HeadraceError, InvalidRequest, SettingsError
from headrace.model.settings_page import render_page
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
app.command(keys_app)
app.command(rules_app)
app.command(replay_app)
app.command(export_app)
app.command(import_app)
app.command(journeys_app)
app.command(quarantine_app)
app.command(users_app)
app.command(retention_app)
app.command(prune)
app.command(webhooks_app)
app.command(store_app)
app.command(mcp_app)

app.command(print_audit, name="audit")

_ENDED_BY_READER = 128 + signal.SIGPIPE  # the exit code that shells use


def main() -> None:
    """Run the command in sys.argv. Expected errors become one line on stderr and exit code 2."""
    try:
        arguments = sys.argv[1:]
        running.set(" ".join(app.parse_commands(arguments)[0]))
        app(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again as it ends
        raise SystemExit(_ENDED_BY_READER) from None
    except (HeadraceError, ControlFailed, CycloptsError) as error:
        print("headrace:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None


@app.command
def serve(
    *,
    role: Literal["all", "gateway", "worker"] | None = None,
    host: str | None = None,
    port: int | None = None,
    data: Data = None,
) -> None:
    """Run the server until SIGTERM. `headrace settings` lists every setting.

    Args:
        role: What it does, if several processes share the work; default: HEADRACE_ROLE, or everything.
        host: Address to listen on; default: HEADRACE_HOST.
        port: Port to listen on, 0 for a free one; default: HEADRACE_PORT.
    """
    chosen = ServerSettings.from_environ(os.environ, role=role, host=host, port=port, data=data)
    # Imported here: it loads the store's engine, which no other command needs.
    from headrace.http.serve import serve as run  # noqa: PLC0415

    raise SystemExit(run(chosen))


@app.command
def console(
    *,
    print_only: Annotated[bool, Parameter(name="--print", help="Only print the link; open no browser.")] = False,
    data: Data = None,
) -> None:
    """Open the running server's console in a browser, for every project and mode, and print the link.

    The link works once, within a minute.
    """
    # Imported here: it loads the store's engine, which other commands do not need.
    from headrace.cli.console import link  # noqa: PLC0415

    found = link(ServerSettings.from_environ(os.environ, data=data))
    print(found)
    if not print_only:
        webbrowser.open(found)


@app.command
def check(*, data: Data = None, url: Url = "") -> None:
    """Compare the log, the store and the control database. Exits with 1 if they disagree; changes nothing.

    Asks the server running on the data folder, or opens the folder itself if no server runs. With --url, HEADRACE_KEY is the
    operator's key, which is the server's HEADRACE_ADMIN_KEY.
    """
    # Imported here: they load the store's engine, or much of what a server is made of.
    if url:
        from headrace.upkeep.check import Report  # noqa: PLC0415

        require_alone(url, data)
        report = run_at(url, "check", {}, Report)
    else:
        from headrace.cli.local import check as run  # noqa: PLC0415

        report = run(ServerSettings.from_environ(os.environ, data=data))
    print_json(report)
    if report.problems:
        raise SystemExit(1)


@app.command
def backup(
    folder: Path | None = None,
    /,
    *,
    keep: Annotated[int | None, Parameter()] = None,
    forget: bool = False,
    data: Data = None,
    url: Url = "",
) -> None:
    """Copy everything into a folder of backups, while the server runs or without one. Prints one JSON object.

    A later backup in the same folder copies only what earlier ones lack. Everything acknowledged before the command is in it,
    wherever log, control and store are. Of gateways and workers, run it beside the active worker, or anywhere with --url: then
    HEADRACE_KEY is the operator's key, which is the server's HEADRACE_ADMIN_KEY, and the folder is its HEADRACE_BACKUP_DIR.

    Args:
        folder: Folder for backups on the server's machine; created if it does not exist. None with --url.
        keep: Keep this many backups in the folder and remove older ones.
        forget: Make no backup; the folder is gone for good, so stop writing notices of erasures to it.
    """
    # Imported here: they load the store's engine, or much of what a server is made of.
    if url:
        from headrace.upkeep.backup import Done  # noqa: PLC0415

        require_alone(url, data)
        if folder is not None or forget:
            raise InvalidRequest(
                "With --url, backups are written to the folder that the server's HEADRACE_BACKUP_DIR names: give neither a "
                "folder nor --forget."
            )
        print_json(run_at(url, "backup", {"keep": keep}, Done))
        return
    from headrace.cli import local  # noqa: PLC0415

    if folder is None:
        raise InvalidRequest("Name the folder for backups.")
    settings = ServerSettings.from_environ(os.environ, data=data)
    if not forget:
        print_json(local.backup(settings, folder, keep))
        return
    if keep is not None:
        raise InvalidRequest("Give --keep or --forget, not both.")
    local.forget_backups(settings, folder)
    print(f"{folder.absolute()} is told of no erasure any more")


@app.command
def restore(folder: Path, /, *, snapshot: str | None = None, erasures_of: str | None = None, data: Data = None) -> None:
    """Restore a backup into a data folder that is empty or does not exist. Prints one JSON object.

    People erased after the backup was made are erased again. HEADRACE_LOG_URL, HEADRACE_CONTROL_URL and HEADRACE_STORE_URL name
    what is filled in place of the folder; each must be empty, and no server may use it yet.

    Args:
        folder: Folder that `headrace backup` wrote to.
        snapshot: Which backup in it; default: the latest.
        erasures_of: Data folder that was backed up, or its control's postgresql:// URL without the password, if it still
            exists: it may have erasures whose notices did not reach the backup's folder.
    """
    # Imported here: it loads the store's engine.
    from headrace.assembly.logs import configure  # noqa: PLC0415
    from headrace.assembly.restoring import restore_into  # noqa: PLC0415
    from headrace.ports.store import StoreFailed  # noqa: PLC0415

    settings = ServerSettings.from_environ(os.environ, data=data)
    configure(settings)
    try:
        done = restore_into(settings, folder, deed_of("restore", str(folder)), snapshot=snapshot, erased_in=erasures_of)
    except (StoreFailed, OSError) as error:
        raise SettingsError(f"{folder} cannot be restored: {error}") from error
    print_json(done)


@app.command(name="migrate-data")
def migrate_data(*, data: Data = None) -> None:
    """Move a stopped server's data folder to Valkey, PostgreSQL and ClickHouse. Prints one JSON object.

    HEADRACE_LOG_URL, HEADRACE_CONTROL_URL and HEADRACE_STORE_URL name them; each must be empty. Ids and positions stay, and
    repeats are recognized as before. After an interruption, run the command again: it goes on. The folder keeps its data.
    """
    # Imported here: it loads the store's engine.
    from headrace.assembly.logs import configure  # noqa: PLC0415
    from headrace.assembly.moving import migrate_data as run  # noqa: PLC0415

    settings = ServerSettings.from_environ(os.environ, data=data)
    configure(settings)
    with progress_bar("events") as show:
        done = run(settings, deed_of("migrate-data", str(settings.data)), show=show)
    print_json(done)


@app.command
def doctor(
    *, as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON array.")] = False, data: Data = None
) -> None:
    """Check a set-up and say how to fix what is wrong: folder, disk, memory, limits, clock, port, databases.

    Changes nothing. Exits with 1 if the server cannot work like this.
    """
    # Imported here: it loads the store's engine.
    from headrace.cli.doctor import examine, render  # noqa: PLC0415

    findings = examine(ServerSettings.from_environ(os.environ, data=data))
    print(msgspec.json.format(msgspec.json.encode(findings)).decode() if as_json else render(findings))
    if any(each.verdict == "problem" for each in findings):
        raise SystemExit(1)


@app.command(name="settings")
def print_settings() -> None:
    """Print every setting as Markdown (the content of docs/settings.md)."""
    print(render_page(ServerSettings))


if __name__ == "__main__":
    main()
