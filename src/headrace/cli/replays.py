"""`headrace replay`: asks a running server to replay and shows progress. Parses and prints; never opens the data."""

import sys
import time
from typing import Annotated, Literal

from cyclopts import App, Parameter

from headrace.cli.server import HERE, Server, Where, print_json
from headrace.model.errors import InvalidRequest

app = App(
    name="replay",
    help="Run stored events through the reactions again, on the server running on the data folder or at a URL.",
)
_JOBS = "/v1/admin/replays"
_POLL_S = 0.3
_ENDED = ("done", "cancelled", "failed")


@app.default
def replay(
    *event_ids: str,
    event: str | None = None,
    user: str | None = None,
    source: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    limit: int | None = None,
    force: bool = False,
    dry_run: bool = False,
    async_: Annotated[bool, Parameter(name="--async")] = False,
    wait: bool = False,
    rebuild: bool = False,
    at: Where = HERE,
) -> None:
    """Replay events by id or by filter, oldest first, and print the server's response as JSON.

    Args:
        event_ids: Event ids in any form; if given, the filter is ignored.
        event: Exact event name.
        user: Exact user id or anonymous id.
        source: API that the event was sent through.
        from_: Earliest event time.
        to: Latest event time.
        limit: Replay at most this many, oldest first; default with a filter: 100, or all with --async or --wait.
        force: Cause effects again even if they were caused before.
        dry_run: Change nothing and list the effects that would be caused.
        async_: Start a job on the server, print it and return.
        wait: Like --async, but show progress until the job ends; exits with 1 unless every event was replayed.
        rebuild: Replay every event, then correct each participant's points to what the rules in force give. A job.
    """
    criteria = {"event": event, "userId": user, "source": source, "from": from_, "to": to}
    body: dict[str, object] = {"force": force, "dryRun": dry_run, "async": async_ or wait}
    body |= {"eventIds": list(event_ids)} if event_ids else {}
    body |= {"filter": given} if (given := {name: value for name, value in criteria.items() if value}) else {}
    body |= {} if limit is None else {"limit": limit}
    if rebuild:
        body |= {"rebuild": True, "async": not dry_run}
    server = at.server()
    reply = server.ask("POST", "/v1/admin/events/replay", body)
    if wait:
        _wait(server, reply["replay"]["id"])
    else:
        print_json(reply)


@app.command(name="list")
def print_list(*, limit: int = 20, at: Where = HERE) -> None:
    """List replay jobs, newest first, as tab-separated lines.

    Args:
        limit: Maximum number of jobs, 1 to 100.
    """
    reply = at.server().ask("GET", f"{_JOBS}?limit={limit}")
    columns = ("id", "status", "replayed", "total", "failed", "effects", "suppressed", "createdAt", "finishedAt")
    print(*columns, sep="\t")
    for job in reply["replays"]:
        print(*("-" if job[column] is None else job[column] for column in columns), sep="\t")


@app.command
def show(replay_id: str, /, *, at: Where = HERE) -> None:
    """Print one job as JSON."""
    print_json(at.server().ask("GET", _path(replay_id)))


@app.command
def wait(replay_id: str, /, *, at: Where = HERE) -> None:
    """Show a job's progress until it ends. Exits with 1 unless every event was replayed."""
    _wait(at.server(), replay_id)


@app.command
def pause(replay_id: str, /, *, at: Where = HERE) -> None:
    """Pause a job."""
    _steer(at.server(), replay_id, "pause")


@app.command
def resume(replay_id: str, /, *, at: Where = HERE) -> None:
    """Resume a paused job."""
    _steer(at.server(), replay_id, "resume")


@app.command
def cancel(replay_id: str, /, *, at: Where = HERE) -> None:
    """Cancel a job permanently. Effects it has caused remain."""
    _steer(at.server(), replay_id, "cancel")


def _steer(server: Server, replay_id: str, action: Literal["pause", "resume", "cancel"]) -> None:
    job = server.ask("POST", f"{_path(replay_id)}/{action}")["replay"]
    print(f"{job['id']} is {job['status']}: {job['replayed']} of {job['total']} replayed")


def _wait(server: Server, replay_id: str) -> None:
    """Show a progress bar on stderr if it is a terminal, and print the job as JSON on stdout at the end."""
    # Imported here: only this function needs it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replay")
        while True:
            job = server.ask("GET", _path(replay_id))["replay"]
            done = job["replayed"] + job["failed"]
            progress.update(task, description=job["status"], total=job["total"], completed=done)
            if job["status"] in _ENDED:
                break
            time.sleep(_POLL_S)
    print_json({"replay": job})
    if job["status"] != "done" or job["failed"] or job["unknown"]:
        raise SystemExit(1)


def _path(replay_id: str) -> str:
    if not replay_id.removeprefix("replay_").isalnum():
        raise InvalidRequest(f"{replay_id[:80]!r} is not a replay id: `headrace replay list` shows them.")
    return f"{_JOBS}/{replay_id}"
