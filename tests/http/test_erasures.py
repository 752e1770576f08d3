"""Erasures and retention over HTTP and by command: who may ask, what is answered, and what the commands print."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace.cli.main import app
from headrace.control.api_keys import Keys
from headrace.model.errors import InvalidRequest
from headrace.model.times import render_time
from tests.server import Client, Server
from tests.waiting import until


@pytest.fixture
def command(server: Server, project: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `headrace …` for the test's project, and returns what it prints."""

    def run(*words: str) -> str:
        app([*words, "--project", project, "--data", str(server.data)])
        return capsys.readouterr().out

    return run


def send(client: Client, user_id: str, **fields: Any) -> None:
    one = {"name": "e", "user_id": user_id, "timestamp": "2025-01-15T10:30:00Z"} | fields
    assert client.post("/api/v1/events", json=one).status_code == 201


def total(client: Client) -> int:
    return client.get("/api/v1/events/count").json()["data"]["total"]


def done(client: Client, erasure_id: str) -> Any:
    path = f"/api/v1/erasures/{erasure_id}"
    return until(lambda: client.get(path).json()["data"], lambda receipt: receipt["status"] == "done")


def test_an_erasure_is_asked_for_and_its_receipt_read(client: Client) -> None:
    send(client, "a/b ü")
    send(client, "other")
    reply = client.delete("/api/v1/users/a%2Fb%20%C3%BC")
    assert reply.status_code == 202
    receipt = reply.json()["data"]
    assert (receipt["status"], receipt["finished_at"]) == ("requested", None)
    found = done(client, receipt["id"])
    assert (found["removed"]["events"], found["requested_at"]) == (1, receipt["requested_at"])
    assert total(client) == 1
    assert "a/b" not in json.dumps(found)
    listed = client.get("/api/v1/erasures", params={"limit": 1}).json()
    assert (listed["data"], listed["meta"]) == ([found], {"limit": 1, "next_cursor": None})


def test_nobodys_id_and_an_unknown_receipt_are_404_also_for_another_project(
    client: Client, server: Server, keys: Keys, project: str
) -> None:
    send(client, "u")
    erasure_id = client.delete("/api/v1/users/u").json()["data"]["id"]
    done(client, erasure_id)
    for path in ("/api/v1/users/u", "/api/v1/users/nobody"):
        assert client.delete(path).status_code == 404
    assert client.get("/api/v1/erasures/erasure_0").status_code == 404
    send(client, "u")
    _, secret = keys.create(project, "test", "admin", None, 1)
    with server.client(secret) as other_mode:
        assert other_mode.delete("/api/v1/users/u").status_code == 404
        assert other_mode.get(f"/api/v1/erasures/{erasure_id}").status_code == 404
        assert other_mode.get("/api/v1/erasures").json()["data"] == []
    assert total(client) == 1


def test_receipts_are_read_page_by_page(client: Client) -> None:
    ids: list[str] = []
    for number in range(3):
        send(client, f"u{number}")
        ids.append(client.delete(f"/api/v1/users/u{number}").json()["data"]["id"])
    first = client.get("/api/v1/erasures", params={"limit": 2}).json()
    rest = client.get("/api/v1/erasures", params={"limit": 2, "cursor": first["meta"]["next_cursor"]}).json()
    found = [each["id"] for each in (*first["data"], *rest["data"])]
    assert sorted(found) == sorted(ids)
    assert found == sorted(ids, reverse=True), "an id begins with its time; those of one millisecond come in any order"
    assert client.get("/api/v1/erasures", params={"cursor": "?"}).status_code == 400


def test_the_command_waits_and_prints_the_receipts(client: Client, command: Callable[..., str]) -> None:
    send(client, "-u")
    send(client, "v")
    printed = command("users", "erase", "v")
    receipt = json.loads(printed)
    assert (receipt["status"], receipt["removed"]["events"]) == ("done", 1)
    assert json.loads(command("users", "receipt", receipt["id"])) == receipt
    assert receipt["id"] in command("users", "receipts")
    assert total(client) == 1
    with pytest.raises(InvalidRequest, match="There is no user 'v'"):
        command("users", "erase", "v")
    with pytest.raises(InvalidRequest, match="Name the people"):
        command("users", "erase")


def test_retention_is_set_shown_and_taken_back(client: Client, command: Callable[..., str]) -> None:
    assert client.get("/api/v1/retention").json()["data"] == {
        "keep": None,
        "set_at": None,
        "pruned_at": None,
        "pruned": 0,
    }
    shown = client.put("/api/v1/retention", json={"keep": "90d"}).json()["data"]
    assert (shown["keep"], shown["pruned"]) == ("90d", 0)
    assert json.loads(command("retention", "show"))["keep"] == "90d"
    assert json.loads(command("retention", "set", "36h"))["keep"] == "36h"
    assert json.loads(command("retention", "set", "forever"))["keep"] is None
    assert client.get("/api/v1/retention").json()["data"]["keep"] is None


@pytest.mark.parametrize(
    "body", [{}, {"keep": 90}, {"keep": "soon"}, {"keep": "1h"}, {"keep": "90d", "x": 1}, [], "90d"]
)
def test_a_retention_that_cannot_be_is_refused_and_changes_nothing(client: Client, body: Any) -> None:
    assert client.put("/api/v1/retention", json=body).status_code == 400
    assert client.get("/api/v1/retention").json()["data"]["keep"] is None


def test_pruning_counts_first_and_says_what_the_log_still_holds(client: Client, command: Callable[..., str]) -> None:
    send(client, "u", timestamp="2020-01-01T00:00:00Z")
    send(client, "u", timestamp=render_time(time.time_ns() // 1_000_000))
    assert total(client) == 2
    for words in (["--dry-run"], []):
        printed = command("prune", "--older-than", "90d", *words)
        assert printed.startswith("0 events from before ")
        assert "1 more are that old" in printed
    assert total(client) == 2
    [entry] = client.get("/api/v1/audit", params={"action": "prune"}).json()["data"]
    assert (entry["detail"], entry["outcome"]) == ("older than 90d", "done"), "a dry run changes nothing"
    with pytest.raises(InvalidRequest, match="--older-than must be a time"):
        command("prune", "--older-than", "never")
