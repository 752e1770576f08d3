"""`headrace prune` and `headrace retention`: remove old events now, or from now on. Parses and prints."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from headrace.cli.server import HERE, Where, print_json
from headrace.cli.tasks import run_at
from headrace.model.retention import HOUR_MS, AskedToPrune, parse_age
from headrace.model.times import render_time

app = App(name="retention", help="How long a project keeps its events, on the server running on the data folder.")
_ROUTE = "/api/v1/retention"


@app.command
def show(*, at: Where = HERE) -> None:
    """Print how long a project keeps its events, and when that was last applied."""
    print_json(at.server().ask("GET", _ROUTE)["data"])


@app.command(name="set")
def set_(keep: str, /, *, at: Where = HERE) -> None:
    """Keep a project's events for some time, such as 90d; "forever" keeps them all. Older ones are removed soon, and then daily.

    Args:
        keep: A time of at least a day, or `forever`.
    """
    body = {"keep": None if keep == "forever" else keep}
    print_json(at.server().ask("PUT", _ROUTE, body)["data"])


def prune(
    *,
    older_than: Annotated[str, Parameter(name="--older-than")],
    dry_run: bool = False,
    at: Where = HERE,
) -> None:
    """Remove a project's events that are older than some time, by their own time or by receipt. Facts, points and people stay.

    Asks the server running on the data folder, or opens the folder itself if no server runs; or asks the one at --url.

    Args:
        older_than: A time such as 90d, of at least an hour.
        dry_run: Only count them.
    """
    older_than_ms = parse_age(older_than, HOUR_MS, "--older-than")
    server = at.server()
    if server.url:
        found = run_at(server.url, "prune", {"older_than": older_than, "dry_run": dry_run}, _Pruned)
        _tell(found.events, found.held_back, found.before, dry_run=dry_run)
        return
    # Imported here: it loads the store's engine.
    from headrace.cli.local import prune_events  # noqa: PLC0415

    asked = AskedToPrune(server.project, at.mode or "live", older_than_ms, dry_run)
    pruned = prune_events(server.settings, asked)
    _tell(pruned.events, pruned.held_back, render_time(pruned.before_ms), dry_run=dry_run)


class _Pruned(msgspec.Struct):
    events: int
    held_back: int
    before: str


def _tell(events: int, held_back: int, before: str, *, dry_run: bool) -> None:
    print(f"{events} events from before {before} {'would be removed' if dry_run else 'removed'}")
    if held_back:
        print(f"{held_back} more are that old, and stay until the log has let go of them: prune again later")
