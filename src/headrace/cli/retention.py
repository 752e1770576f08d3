"""`headrace prune` and `headrace retention`: remove old events now, or from now on. Parses and prints."""

import os
from typing import Annotated

from cyclopts import App, Parameter

from headrace.cli.opened import Data
from headrace.cli.server import Server, print_json
from headrace.dialects.settings import ServerSettings
from headrace.model.event import Mode
from headrace.model.keys import check_project
from headrace.model.retention import HOUR_MS, AskedToPrune, parse_age
from headrace.model.times import render_time

app = App(name="retention", help="How long a project keeps its events, on the server running on the data folder.")
_ROUTE = "/api/v1/retention"


@app.command
def show(*, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Print how long a project keeps its events, and when that was last applied."""
    print_json(Server(project, mode, data).ask("GET", _ROUTE)["data"])


@app.command(name="set")
def set_(keep: str, /, *, project: str = "default", mode: Mode = "live", data: Data = None) -> None:
    """Keep a project's events for some time, such as 90d; "forever" keeps them all. Older ones are removed soon, and then daily.

    Args:
        keep: A time of at least a day, or `forever`.
        project: Project whose events they are.
        mode: live or test.
    """
    body = {"keep": None if keep == "forever" else keep}
    print_json(Server(project, mode, data).ask("PUT", _ROUTE, body)["data"])


def prune(
    *,
    older_than: Annotated[str, Parameter(name="--older-than")],
    dry_run: bool = False,
    project: str = "default",
    mode: Mode = "live",
    data: Data = None,
) -> None:
    """Remove a project's events that are older than some time, by their own time or by receipt. Facts, points and people stay.

    Asks the server running on the data folder, or opens the folder itself if no server runs.

    Args:
        older_than: A time such as 90d, of at least an hour.
        dry_run: Only count them.
        project: Project whose events to remove.
        mode: live or test.
    """
    older_than_ms = parse_age(older_than, HOUR_MS, "--older-than")
    check_project(project)
    # Imported here: it loads the store's engine.
    from headrace.cli.local import prune_events  # noqa: PLC0415

    found = prune_events(
        ServerSettings.from_environ(os.environ, data=data), AskedToPrune(project, mode, older_than_ms, dry_run)
    )
    what = "would be removed" if dry_run else "removed"
    print(f"{found.events} events from before {render_time(found.before_ms)} {what}")
    if found.held_back:
        print(f"{found.held_back} more are that old, and stay until the log has let go of them: prune again later")
