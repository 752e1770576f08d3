"""Replay jobs over HTTP: made, looked at, steered, and finished after a restart."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.forks import run as run_forked
from tests.http.conftest import MakeServer
from tests.http.routes import UNKNOWN_ID, assert_refused, stored
from tests.http.test_replay import EVENTS, track
from tests.server import Client, Server
from tests.waiting import until

JOBS = "/v1/admin/replays"


def start(client: Client, **body: Any) -> dict[str, Any]:
    response = client.post(f"{EVENTS}/replay", json={"async": True, **body})
    assert response.status_code == 202, response.text
    return response.json()["replay"]


def job_of(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    return client.get(f"{JOBS}/{job['id']}").json()["replay"]


def ended(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job, once it has ended."""
    return until(lambda: job_of(client, job), lambda found: found["finishedAt"] is not None)


def figures(job: dict[str, Any]) -> tuple[str, int, int, int, int]:
    return job["status"], job["total"], job["replayed"], job["effects"], job["suppressed"]


def test_a_job_replays_more_than_one_request_may_and_changes_no_count(client: Client) -> None:
    for _ in range(21):
        client.post("/api/v1/events/batch", json=[{"name": "n"}] * 500)
    track(client, "other")
    before = client.get("/api/v1/catalog").json()
    job = ended(client, start(client, filter={"event": "other"}))
    assert figures(job) == ("done", 1, 1, 0, 1)
    job = ended(client, start(client, filter={"event": "n"}, force=True, limit=10_200))
    assert figures(job) == ("done", 10_200, 10_200, 10_200, 0)
    assert (job["limit"], job["force"], job["errors"], job["problem"]) == (10_200, True, [], None)
    assert client.get("/api/v1/catalog").json() == before
    assert stored(client) == 10_501


def test_a_job_by_ids_names_those_that_nobody_has(client: Client) -> None:
    known = track(client)
    job = ended(client, start(client, eventIds=["x", known, UNKNOWN_ID]))
    assert (job["eventIds"], job["filter"], job["total"], job["replayed"], job["unknown"]) == (3, None, 1, 1, 2)
    assert job["errors"] == [{"eventId": each, "error": "Event not found"} for each in ("x", UNKNOWN_ID)]


def test_a_job_of_ids_that_nobody_has_ends_at_once(client: Client) -> None:
    job = ended(client, start(client, eventIds=["x", UNKNOWN_ID]))
    assert (job["status"], job["total"], job["replayed"], job["unknown"]) == ("done", 0, 0, 2)


def test_jobs_are_listed_newest_first(client: Client) -> None:
    assert client.get(JOBS).json() == {"replays": [], "total": 0, "limit": 50, "offset": 0}
    jobs = [start(client, filter={"event": name}) for name in "abc"]
    for job in jobs:
        ended(client, job)
    reply = client.get(JOBS, params={"limit": 2, "offset": 1}).json()
    newest_first = sorted((job["id"] for job in jobs), reverse=True)  # an id begins with its time
    assert [job["id"] for job in reply["replays"]] == newest_first[1:]
    assert (reply["total"], reply["limit"], reply["offset"]) == (3, 2, 1)


def test_a_job_is_nobody_elses(client: Client, server: Server, project: str) -> None:
    job = start(client, filter={"event": "n"})
    with server.client(server.key(f"{project}-2")) as other:
        assert_refused(other.get(f"{JOBS}/{job['id']}"), "hogsend", 404)
        for action in ("pause", "resume", "cancel"):
            assert_refused(other.post(f"{JOBS}/{job['id']}/{action}"), "hogsend", 404)
    with server.client(server.key(project, scopes=frozenset({"query", "ingest"}))) as weak:
        assert_refused(weak.get(JOBS), "hogsend", 403)
        assert_refused(weak.post(f"{JOBS}/{job['id']}/cancel"), "hogsend", 403)


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"event": "n"}, "dryRun": True},
        {"filter": {"event": "n"}, "limit": 0},
        {"filter": {"event": "x" * 1001}},
        {"filter": {}},
        {"eventIds": []},
        {"filter": {"event": "n"}, "async": "yes"},
    ],
    ids=str,
)
def test_a_malformed_job_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert_refused(client.post(f"{EVENTS}/replay", json={"async": True} | body), "hogsend", 400)
    assert client.get(JOBS).json()["total"] == 0


def test_a_job_is_paused_survives_a_restart_and_is_finished(make_server: MakeServer) -> None:
    slow = make_server({"HEADRACE_REPLAY_SHARE": "0.000001"})
    with slow.client("secret") as client:
        for _ in range(4):
            client.post("/api/v1/events/batch", json=[{"name": "n"}] * 500)
        job = start(client, filter={"event": "n"}, force=True)
        waiting = start(client, filter={"event": "n"})
        until(lambda: job_of(client, job)["status"] == "running")
        paused = client.post(f"{JOBS}/{job['id']}/pause").json()["replay"]
        assert (paused["status"], paused["replayed"] < 2000) == ("paused", True)
        assert client.post(f"{JOBS}/{waiting['id']}/cancel").json()["replay"]["status"] == "cancelled"
        assert_refused(client.post(f"{JOBS}/{waiting['id']}/resume"), "hogsend", 400)
    assert slow.stop() == 0
    quick = Server(slow.data, {"HEADRACE_ADMIN_KEY": "secret", "HEADRACE_REPLAY_SHARE": "1"}).start()
    try:
        with quick.client("secret") as client:
            assert figures(job_of(client, job)) == figures(paused)
            assert client.post(f"{JOBS}/{job['id']}/resume").json()["replay"]["status"] == "queued"
            assert figures(ended(client, job)) == ("done", 2000, 2000, 2000, 0)
            assert job_of(client, waiting)["replayed"] == 0
    finally:
        assert quick.stop() == 0


def headrace(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`headrace replay …` as a shell sees it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    command = [sys.executable, "-m", "headrace.cli.main", "replay", *map(str, arguments)]
    return run_forked(command, environ)


def test_the_command_line_replays_and_steers_on_the_running_server(
    client: Client, server: Server, project: str
) -> None:
    ids = [track(client) for _ in range(3)]
    here = ("--data", server.data, "--project", project)
    done = headrace(*here, ids[0], "nobody", "--dry-run", "--force")
    assert (done.returncode, done.stderr) == (0, "")
    reply = json.loads(done.stdout)
    assert (reply["replayed"], len(reply["effects"])) == (1, 1)
    assert reply["errors"] == [{"eventId": "nobody", "error": "Event not found"}]

    waited = headrace(*here, "--event", "n", "--force", "--wait")
    assert (waited.returncode, waited.stderr) == (0, "")
    job = json.loads(waited.stdout)["replay"]
    assert figures(job) == ("done", 3, 3, 3, 0)
    assert figures(job_of(client, job)) == figures(job)
    assert headrace("list", *here).stdout.splitlines()[1].split("\t")[:4] == [job["id"], "done", "3", "3"]
    assert json.loads(headrace("show", job["id"], *here).stdout)["replay"]["id"] == job["id"]

    late = headrace("pause", job["id"], *here)
    assert (late.returncode, late.stdout) == (2, "")
    assert late.stderr == "headrace: The replay is done: there is nothing to pause.\n"


def test_the_command_line_says_when_there_is_no_server(tmp_path: Path) -> None:
    refused = headrace("list", "--data", tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"headrace: No server is running on {tmp_path}")


def test_the_servers_own_token_opens_what_an_administrator_may_do_and_ask_and_sends_no_events(
    server: Server, project: str
) -> None:
    token = json.loads((server.data / "server.json").read_text())["token"]
    with server.client(token) as local:
        local.headers["Headrace-Project"] = project
        assert local.get(JOBS).json()["total"] == 0
        assert_refused(local.get(JOBS, headers={"Headrace-Mode": "x"}), "hogsend", 400)
        assert local.get("/api/v1/events").status_code == 200
        assert_refused(local.post("/api/v1/events", json={"name": "n"}), "flux", 401)
