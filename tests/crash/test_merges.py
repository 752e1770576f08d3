"""SIGKILL around merges, and around a journey's call: each person is paid once, each call is answered once in state."""

import itertools
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.crash.test_deliveries import SETTINGS
from tests.delivery.receivers import Receiver
from tests.server import Client, Server
from tests.waiting import until

RULES = """
challenges:
  - {id: five, fact: custom.visit, goal: 5, points: 10}
badges:
  - {id: gold, challenge: five, points: 5}
"""
CALLING = """
journeys:
  - id: j
    trigger: {event: start}
    steps:
      - {id: ask, call: {webhook: crm}}
      - {id: said, emit: {event: said}}
"""
WHEN = "2025-01-15T10:30:00Z"


def visit(client: Client, user: str, key: str) -> None:
    one = {"event_name": "visit", "participant_id": user, "idempotency_key": key}
    assert client.post("/ingest/events/sync", json=one).status_code in (200, 202)


def alias(client: Client, number: int) -> None:
    one = {"userId": f"u{number}", "previousId": f"a{number}", "timestamp": WHEN, "messageId": f"m{number}"}
    assert client.post("/api/alias", json=one).status_code in (200, 201, 202)


@pytest.mark.parametrize("step", ["react:7", "reacted:6", "react:12", "reacted:13"])
def test_each_person_is_paid_once_wherever_a_crash_comes(tmp_path: Path, step: str) -> None:
    server = Server(tmp_path, {}, [sys.executable, "-m", "tests.crash.serve_and_die", step]).start()
    key = server.key()
    begun = 0
    with server.client(key) as client:
        try:
            assert client.put("/api/v1/rules", content=RULES).status_code == 200
            for begun in itertools.count():
                send(client, begun)
        except httpx.TransportError:
            pass
    assert server.wait() == -signal.SIGKILL
    server = Server(tmp_path).start()
    try:
        with server.client(key) as client:
            send(client, begun)  # once more: what it had sent is recognised
            for number in range(begun + 1):
                for user in (f"u{number}", f"a{number}"):
                    found = client.get(f"/api/v1/participants/{user}").json()["data"]
                    assert (found["id"], found["points"]["balance"]) == (f"u{number}", 15)
                    assert (found["challenges"][0]["progress"], found["challenges"][0]["completions"]) == (6, 1)
            total = client.get("/api/v1/points", params={"limit": "1"}).json()["meta"]
            assert total["points"] == 15 * (begun + 1)
    finally:
        assert server.stop() == 0


def send(client: Client, number: int) -> None:
    """Three visits of a visitor and two of a user, who are the same; and one more."""
    for each in range(3):
        visit(client, f"a{number}", f"a{number}.{each}")
    for each in range(2):
        visit(client, f"u{number}", f"u{number}.{each}")
    alias(client, number)
    visit(client, f"a{number}", f"a{number}.last")


@pytest.mark.parametrize("step", ["delivered:1", "recorded:1", "answer:1", "answer:2"])
def test_each_call_moves_its_run_once_wherever_a_crash_comes(tmp_path: Path, step: str) -> None:
    people = 5
    with Receiver() as receiver:
        server = Server(tmp_path, SETTINGS, [sys.executable, "-m", "tests.crash.serve_and_die", step]).start()
        key = server.key()
        hook = {"id": "crm", "url": receiver.url, "topics": ["journey.called"]}
        with server.client(key) as client:
            assert client.post("/api/v1/webhooks", json=hook).status_code == 201
            assert client.put("/api/v1/rules", content=CALLING).status_code == 200
            with suppress(httpx.TransportError):
                for number in range(people):  # one after the other, so that two answers are two steps
                    start(client, number)
                    until(partial(done, client), lambda found, number=number: found > number)
        assert server.wait() == -signal.SIGKILL
        server = Server(tmp_path, SETTINGS).start()
        try:
            with server.client(key) as client:
                for number in range(people):
                    start(client, number)
                until(partial(done, client), lambda found: found >= people)
                said = until(
                    lambda: client.get("/api/v1/events?name=said").json()["data"], lambda found: len(found) >= people
                )
                assert sorted(event["user_id"] for event in said) == sorted(f"u{number}" for number in range(people))
                for run in client.get("/api/v1/journeys/j/runs").json()["data"]:
                    steps = client.get(f"/api/v1/runs/{run['id']}").json()["data"]["steps"]
                    assert [each["outcome"] for each in steps] == ["replied", "emitted"]
            assert len(set(receiver.keys)) == people, "each call is sent under one webhook-id, however often"
        finally:
            assert server.stop() == 0


def done(client: Client) -> int:
    return client.get("/api/v1/journeys").json()["data"][0]["runs"]["done"]


def start(client: Client, number: int) -> None:
    one = {"name": "start", "user_id": f"u{number}", "idempotency_key": f"k{number}"}
    assert client.post("/api/v1/events", json=one).status_code == 201
