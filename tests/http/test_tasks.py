"""Checks, backups and pruning over the network: by routes, and by the commands that use them, which have no data folder."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.commands import headrace
from tests.http.routes import UNKNOWN_ID, assert_refused
from tests.server import Client, Server
from tests.waiting import until

OPERATORS = "a-key-in-the-settings-of-the-server"
YEARS_AGO = "2020-01-15T10:30:00Z"


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups") / "of-the-server"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, backups: Path) -> Iterator[Server]:
    settings = {"HEADRACE_ADMIN_KEY": OPERATORS, "HEADRACE_BACKUP_DIR": str(backups), "HEADRACE_LOG_KEEP_S": "0.001"}
    server = Server(tmp_path_factory.mktemp("tasks"), settings).start()
    yield server
    assert [line for line in server.logs if line.get("level") in ("error", "critical")] == []
    server.stop()


@pytest.fixture
def asking(running: Server) -> Iterator[Callable[[str], Client]]:
    with ExitStack() as opened:
        yield lambda key: opened.enter_context(running.client(key))


def finished(client: Client, started: Any) -> dict[str, Any]:
    assert started.status_code == 202, started.text
    path = f"/api/v1/tasks/{started.json()['data']['id']}"
    found: dict[str, Any] = until(lambda: client.get(path).json()["data"], lambda task: task["status"] != "running")
    return found


def test_the_operator_checks_the_server_and_is_told_what_was_found(asking: Callable[[str], Client]) -> None:
    client = asking(OPERATORS)
    assert client.post("/api/v1/events", json={"name": "visit"}).status_code == 201
    client.get("/api/v1/events")  # waits until it is stored
    task = finished(client, client.post("/api/v1/tasks/check"))
    assert (task["kind"], task["status"], task["problem"]) == ("check", "done", None)
    assert task["result"]["problems"] == []
    assert int(task["result"]["committed"]) > 1 << 53, "as text, because a double has fewer digits"
    [entry] = client.get("/api/v1/audit", params={"action": "check"}).json()["data"]
    assert (entry["outcome"], entry["detail"]) == ("done", f"started {task['id']}")


@pytest.mark.parametrize("what", ["check", "backup"])
def test_what_concerns_all_projects_is_not_for_the_admin_of_one(
    running: Server, asking: Callable[[str], Client], what: str
) -> None:
    client = asking(running.key("acme"))
    answer = client.post(f"/api/v1/tasks/{what}", json={})
    assert_refused(answer, "native", 403)
    assert "HEADRACE_ADMIN_KEY" in answer.json()["detail"]
    others = finished(asking(OPERATORS), asking(OPERATORS).post("/api/v1/tasks/check", json={}))
    assert_refused(client.get(f"/api/v1/tasks/{others['id']}"), "native", 404)


def test_an_admin_prunes_a_project_and_no_other_and_only_the_operator_sees_it_too(
    running: Server, asking: Callable[[str], Client]
) -> None:
    acme, other = asking(running.key("pruned")), asking(running.key("pruned", "test"))
    for client in (acme, other):
        assert client.post("/v1/events", json={"name": "old", "userId": "u", "timestamp": YEARS_AGO}).status_code < 300
        client.get("/api/v1/events")
        client.post("/api/v1/events", json={"name": "new"})

    def counted() -> dict[str, Any]:
        return finished(acme, acme.post("/api/v1/tasks/prune", json={"older_than": "90d", "dry_run": True}))

    # The log lets go of what is stored in its own time.
    told = until(counted, lambda task: task["result"]["events"] == 1)
    assert told["result"] == told["result"] | {"held_back": 0, "dry_run": True}
    assert [each.get("/api/v1/events/count").json()["data"]["total"] for each in (acme, other)] == [2, 2]
    done = finished(acme, acme.post("/api/v1/tasks/prune", json={"older_than": "90d"}))
    assert done["result"]["events"] == 1
    assert [each.get("/api/v1/events/count").json()["data"]["total"] for each in (acme, other)] == [1, 2]
    assert_refused(other.get(f"/api/v1/tasks/{done['id']}"), "native", 404)
    assert asking(OPERATORS).get(f"/api/v1/tasks/{done['id']}").json()["data"] == done
    entries = acme.get("/api/v1/audit", params={"action": "prune"}).json()["data"]
    assert entries[0]["detail"] == f"older than 90d; started {done['id']}"


@pytest.mark.parametrize(
    ("what", "body", "words"),
    [
        ("check", {"deep": True}, "has no member 'deep'"),
        ("check", [], "Expected `object`"),
        ("backup", {"keep": 0}, ">= 1"),
        ("backup", {"folder": "/etc"}, "has no member 'folder'"),
        ("prune", {}, "older_than"),
        ("prune", {"older_than": "1m"}, "from 1h"),
        ("prune", {"older_than": "90d", "dryRun": True}, "dry_run"),
        ("prune", {"older_than": "90d", "project": "other"}, "has no member 'project'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_what_is_wrong(
    asking: Callable[[str], Client], what: str, body: object, words: str
) -> None:
    answer = asking(OPERATORS).post(f"/api/v1/tasks/{what}", json=body)
    assert_refused(answer, "native", 400)
    assert words in answer.json()["detail"]


def test_a_server_without_a_folder_for_backups_makes_none(server: Server, client: Client) -> None:
    assert_refused(client.get(f"/api/v1/tasks/{UNKNOWN_ID}"), "native", 404)
    with server.client("no-such-key") as stranger:
        assert_refused(stranger.post("/api/v1/tasks/backup"), "native", 401)


# The commands


def test_the_operators_commands_work_from_afar_with_a_key_and_a_url(running: Server, backups: Path) -> None:
    checked = headrace("check", "--url", f"{running.url}/", HEADRACE_KEY=OPERATORS)
    assert (checked.returncode, checked.stderr) == (0, "")
    report = json.loads(checked.stdout)
    assert report["problems"] == []
    assert isinstance(report["committed"], int), "as it prints it beside the server"

    made = headrace("backup", "--url", running.url, "--keep", 1, HEADRACE_KEY=OPERATORS)
    assert (made.returncode, made.stderr) == (0, "")
    again = json.loads(headrace("backup", "--url", running.url, "--keep", 1, HEADRACE_KEY=OPERATORS).stdout)
    assert again["removed"] == [json.loads(made.stdout)["snapshot"]]
    assert [each.name for each in (backups / "snapshots").iterdir()] == [again["snapshot"]]


def test_an_admins_commands_work_from_afar_for_the_project_of_the_key(running: Server) -> None:
    key = running.key("afar", "test")
    with running.client(key) as client:
        assert client.post("/api/v1/events", json={"name": "visit"}).status_code == 201
        client.get("/api/v1/events")
    at = ("--url", running.url)
    pruned = headrace("prune", "--older-than", "1h", "--dry-run", *at, HEADRACE_KEY=key)
    assert (pruned.returncode, pruned.stderr) == (0, "")
    assert pruned.stdout.startswith("0 events from before 20")
    replayed = headrace("replay", "--event", "visit", "--force", "--wait", *at, HEADRACE_KEY=key)
    assert (replayed.returncode, replayed.stderr) == (0, "")
    job = json.loads(replayed.stdout)["replay"]
    assert (job["status"], job["replayed"]) == ("done", 1)
    assert headrace("replay", "list", *at, HEADRACE_KEY=key).stdout.splitlines()[1].startswith(job["id"])
    assert json.loads(headrace("retention", "show", *at, HEADRACE_KEY=key).stdout)["keep"] is None


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (("check",), {}, "HEADRACE_KEY is not set"),
        (("check",), {"HEADRACE_KEY": "wrong"}, "does not accept the key in HEADRACE_KEY: The API key is unknown"),
        (("check",), {"HEADRACE_KEY": "schlüssel"}, "characters that are in no key"),
        (("check", "--data", "x"), {"HEADRACE_KEY": OPERATORS}, "--url or --data"),
        (("backup", "/somewhere"), {"HEADRACE_KEY": OPERATORS}, "HEADRACE_BACKUP_DIR"),
        (("backup", "--forget"), {"HEADRACE_KEY": OPERATORS}, "HEADRACE_BACKUP_DIR"),
        (("backup", "--keep", "0"), {"HEADRACE_KEY": OPERATORS}, "keep"),
        (("prune", "--older-than", "1m"), {"HEADRACE_KEY": OPERATORS}, "--older-than must be from 1h"),
        (("prune", "--older-than", "1d", "--project", "p"), {"HEADRACE_KEY": OPERATORS}, "key in HEADRACE_KEY decides"),
        (("replay", "x", "--mode", "live"), {"HEADRACE_KEY": OPERATORS}, "key in HEADRACE_KEY decides"),
        (("replay", "show", "replay_1"), {"HEADRACE_KEY": OPERATORS}, "replay_1"),
    ],
)
def test_a_command_from_afar_says_what_is_wrong(
    running: Server, arguments: tuple[str, ...], environ: dict[str, str], words: str
) -> None:
    refused = headrace(*arguments, "--url", running.url, **environ)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr
    assert OPERATORS not in refused.stderr


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://u:p@x", "http://x?y=1", "http://x:99999"]
)
def test_what_is_no_address_of_a_server_is_refused_before_a_key_is_sent_anywhere(url: str) -> None:
    refused = headrace("check", "--url", url, HEADRACE_KEY=OPERATORS)
    assert refused.returncode == 2
    assert "--url must" in refused.stderr


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "did not answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "redirects elsewhere"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no Headrace server"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":{}}', "no Headrace server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "ended before it had answered"),
    ],
)
def test_whatever_else_answers_at_the_url_ends_a_command_in_one_line(reply: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                while b"{}" not in connection.recv(65536):
                    pass
                connection.sendall(reply)

        answering = threading.Thread(target=answer)
        answering.start()
        refused = headrace("check", "--url", f"http://127.0.0.1:{listening.getsockname()[1]}", HEADRACE_KEY=OPERATORS)
        answering.join()
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
