"""Journeys over HTTP: which there are, where persons are in them, and ending or retrying a run."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.model.times import parse_time
from tests.server import Client, Server
from tests.waiting import until

RULES = """
journeys:
  - id: welcome
    title: Welcome
    trigger: {event: signed_up}
    entry: {at_most: 3}
    exit: [account.deleted]
    steps:
      - {id: settle, wait: 30d}
      - {id: order, wait_for: {event: order.*, timeout: 3d}}
  - id: quick
    trigger: {event: quick}
    entry: {at_most: 1}
    steps:
      - {id: hello, emit: {event: hello.sent, properties: {kind: mail, n: 2}}}
  - id: calls
    trigger: {event: call.me}
    steps:
      - {id: ask, call: {webhook: nobody}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("journeys")).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A project of its own with the rules in force."""
    with server.client(
        server.key(project=re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-90:].strip("-"))
    ) as client:
        applied = client.put("/api/v1/rules", content=RULES)
        assert applied.status_code == 200, applied.text
        yield client


def data(client: Client, path: str) -> Any:
    reply = client.get(path)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def send(client: Client, name: str, user: str = "ada", **more: Any) -> None:
    assert client.post("/api/v1/events", json={"name": name, "user_id": user} | more).status_code == 201


def test_a_run_says_where_it_is_and_why_it_waits(client: Client) -> None:
    send(client, "signed_up")
    [run] = data(client, "/api/v1/journeys/welcome/runs")
    assert (run["person"], run["status"], run["step"]) == ("ada", "active", "settle")
    whole = data(client, f"/api/v1/runs/{run['id']}")
    assert whole["waits"] == {
        **dict.fromkeys(("event", "when", "webhook", "delivery")),
        "for": "time",
        "until": run["due_at"],
    }
    assert [step["id"] for step in whole["steps"]] == ["settle"]
    send(client, "account.deleted")
    whole = data(client, f"/api/v1/runs/{run['id']}")
    assert (whole["status"], whole["waits"], whole["steps"][0]["outcome"]) == ("exited", None, "exited")
    journey = data(client, "/api/v1/journeys/welcome")
    assert journey["runs"] == {"active": 0, "done": 0, "exited": 1, "cancelled": 0, "failed": 0}
    assert journey["versions"][0]["steps"] == [
        {"id": "settle", "waiting": 0, "outcomes": {"exited": 1}},
        {"id": "order", "waiting": 0, "outcomes": {}},
    ]


def test_an_emitted_event_is_stored_with_where_it_is_from(client: Client) -> None:
    send(client, "quick")
    [run] = data(client, "/api/v1/journeys/quick/runs")
    assert run["status"] == "done"
    [event] = until(lambda: data(client, "/api/v1/events?name=hello.sent&tags[kind]=mail"))
    assert (event["user_id"], event["properties"]) == ("ada", {"kind": "mail", "n": 2})
    whole = data(client, f"/api/v1/events/{event['id']}")
    assert whole["source"] == "journey"
    assert whole["context"]["journey"] == {"id": "quick", "run": run["id"], "step": "hello", "depth": 1}


def test_a_call_of_a_webhook_that_is_not_there_fails_and_can_be_retried_and_cancelled(client: Client) -> None:
    send(client, "call.me")
    [run] = until(
        lambda: data(client, "/api/v1/journeys/calls/runs"), lambda found: found and found[0]["status"] != "active"
    )
    whole = data(client, f"/api/v1/runs/{run['id']}")
    assert (whole["status"], whole["steps"][0]["outcome"]) == ("failed", "failed")
    assert "no webhook 'nobody'" in whole["steps"][0]["why"]
    again = client.post(f"/api/v1/runs/{run['id']}/retry")
    assert again.status_code == 200
    cancelled = client.post(f"/api/v1/runs/{run['id']}/cancel").json()["data"]
    assert cancelled["status"] == "cancelled"
    assert client.post(f"/api/v1/runs/{run['id']}/cancel").status_code == 200
    assert client.post(f"/api/v1/runs/{run['id']}/retry").status_code == 400


def test_runs_come_in_pages_the_latest_first_and_by_status(client: Client) -> None:
    for number in range(5):
        send(client, "signed_up", f"u{number}")
    first = client.get("/api/v1/journeys/welcome/runs?limit=3").json()
    rest = client.get("/api/v1/journeys/welcome/runs", params={"limit": "3", "cursor": first["meta"]["next_cursor"]})
    found = first["data"] + rest.json()["data"]
    started = {run["person"]: parse_time(run["started_at"]) for run in found}
    assert len(found) == len(started) == 5
    assert [started[f"u{number}"] for number in range(5)] == sorted(started.values()), "as they were sent"
    assert list(started.values()) == sorted(started.values(), reverse=True), "of one millisecond in any order"
    assert rest.json()["meta"]["next_cursor"] is None
    assert data(client, "/api/v1/journeys/welcome/runs?status=done") == []
    for other in ({"status": "active"}, {"person": "u1"}):
        params = other | {"cursor": first["meta"]["next_cursor"]}
        assert client.get("/api/v1/journeys/welcome/runs", params=params).status_code == 400


def test_runs_are_found_by_any_id_of_their_person(client: Client) -> None:
    for user in ("ada", "bob", "visitor/7"):
        send(client, "signed_up", user)
    alias = {"userId": "ada", "previousId": "visitor/7", "timestamp": "2025-01-15T10:30:00Z"}
    assert client.post("/api/alias", json=alias).status_code < 300
    for asked in ("ada", "visitor/7"):
        found = client.get("/api/v1/journeys/welcome/runs", params={"person": asked}).json()["data"]
        assert [run["person"] for run in found] == ["ada", "ada"]
    assert data(client, "/api/v1/journeys/welcome/runs?person=nobody") == []


def test_a_changed_journey_tells_how_many_runs_it_concerns_and_moves_them_when_asked(client: Client) -> None:
    send(client, "signed_up")
    [run] = data(client, "/api/v1/journeys/welcome/runs")
    changed = RULES.replace("timeout: 3d", "timeout: 4d")
    dry = client.put("/api/v1/rules?dry_run=true&move_runs=true", content=changed).json()["data"]
    assert (dry["applied"], dry["journeys"]) == (False, [{"id": "welcome", "runs": 1, "moves": 1}])
    stay = client.put("/api/v1/rules", content=changed).json()["data"]
    assert stay["journeys"] == [{"id": "welcome", "runs": 1, "moves": 0}]
    assert data(client, f"/api/v1/runs/{run['id']}")["version"] == run["version"]
    client.put("/api/v1/rules?move_runs=true", content=changed)
    moved = data(client, f"/api/v1/runs/{run['id']}")
    assert (moved["version"] != run["version"], moved["due_at"]) == (True, run["due_at"])
    [new] = data(client, "/api/v1/journeys/welcome")["versions"]
    assert (new["in_force"], new["runs"]["active"], new["steps"][0]["waiting"]) == (True, 1, 1)


def test_a_removed_journey_is_listed_while_it_has_runs_and_they_go_on(client: Client) -> None:
    send(client, "signed_up")
    client.put("/api/v1/rules", content="facts: []")
    [journey] = data(client, "/api/v1/journeys")
    assert (journey["id"], journey["in_force"], journey["runs"]["active"]) == ("welcome", False, 1)
    send(client, "account.deleted")
    assert data(client, "/api/v1/journeys")[0]["runs"] == {
        **dict.fromkeys(("active", "done", "cancelled", "failed"), 0),
        "exited": 1,
    }


def test_a_replay_fires_a_changed_journey_once_and_a_dry_run_says_for_whom(client: Client) -> None:
    send(client, "signed_up")
    data(client, "/api/v1/journeys")
    client.put("/api/v1/rules", content=RULES.replace("timeout: 3d", "timeout: 4d"))
    body = {"filter": {"event": "signed_up"}}
    dry = client.post("/v1/admin/events/replay", json=body | {"dryRun": True}).json()["effects"]
    assert [(each["type"], each["rule"], each["participant"]) for each in dry] == [("journey", "welcome", "ada")]
    for wanted in (2, 2):
        assert client.post("/v1/admin/events/replay", json=body).json()["replayed"] == 1
        assert len(data(client, "/api/v1/journeys/welcome/runs")) == wanted


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/journeys/nope", 404),
        ("GET", "/api/v1/journeys/nope/runs", 404),
        ("GET", "/api/v1/runs/run_nope", 404),
        ("POST", "/api/v1/runs/run_nope/cancel", 404),
        ("GET", "/api/v1/journeys/welcome/runs?status=asleep", 400),
        ("GET", "/api/v1/journeys/welcome/runs?limit=0", 400),
        ("GET", "/api/v1/journeys/welcome/runs?cursor=x", 400),
        ("DELETE", "/api/v1/journeys", 405),
    ],
)
def test_what_is_wrong_is_said(client: Client, method: str, path: str, status: int) -> None:
    reply = client.request(method, path)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")


def test_another_project_and_a_key_without_the_scope_see_nothing(server: Server, client: Client) -> None:
    send(client, "signed_up")
    [run] = data(client, "/api/v1/journeys/welcome/runs")
    with server.client(server.key(project="another")) as other:
        assert other.get(f"/api/v1/runs/{run['id']}").status_code == 404
        assert other.post(f"/api/v1/runs/{run['id']}/cancel").status_code == 404
        assert data(other, "/api/v1/journeys") == []
