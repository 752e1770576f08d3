"""A process that is killed at any step of a journey leaves each run where it was or where it went, and each event emitted once."""

import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import Client, Server
from tests.waiting import ask_until_killed, until

RULES = """
journeys:
  - id: j
    trigger: {event: start}
    steps:
      - {id: w, wait: 1s}
      - {id: half, emit: {event: half.way}}
      - {id: v, wait: 1s}
      - {id: end, emit: {event: at.end}}
  - id: k
    trigger: {event: half.way}
    steps:
      - {id: f, wait_for: {event: at.end, timeout: 1d}}
      - {id: both, emit: {event: both}}
"""
PEOPLE = 30


@pytest.mark.parametrize("step", ["react:1", "fire:1", "fired:1", "emit:1", "emitted:1", "fire:3", "emitted:2"])
def test_each_run_goes_on_once_and_each_event_is_emitted_once(tmp_path: Path, step: str) -> None:
    server = Server(tmp_path, {}, [sys.executable, "-m", "tests.crash.serve_and_die", step]).start()
    key = server.key()
    sent = 0
    with server.client(key) as client:
        try:
            assert client.put("/api/v1/rules", content=RULES).status_code == 200
            for number in range(PEOPLE):
                if number == PEOPLE // 2:  # so that timers fire three times, however many are due at once
                    until(lambda: data(client, "/api/v1/journeys"), lambda found: any(j["runs"]["done"] for j in found))
                one = {"name": "start", "user_id": f"u{number}", "idempotency_key": f"k{number}"}
                assert client.post("/api/v1/events", json=one).status_code == 201
                sent += 1
            ask_until_killed(lambda: client.get("/api/v1/journeys"))
        except httpx.TransportError:
            pass
    assert server.wait() == -signal.SIGKILL

    server = Server(tmp_path).start()
    try:
        with server.client(key) as client:
            for number in range(sent, PEOPLE):
                one = {"name": "start", "user_id": f"u{number}", "idempotency_key": f"k{number}"}
                assert client.post("/api/v1/events", json=one).status_code == 201
            until(
                lambda: data(client, "/api/v1/journeys"), lambda found: all(j["runs"]["done"] >= PEOPLE for j in found)
            )
            for name in ("half.way", "at.end", "both"):
                path = f"/api/v1/events?name={name}&limit=1000"
                found = until(lambda path=path: data(client, path), lambda found: len(found) >= PEOPLE)
                assert sorted(event["user_id"] for event in found) == sorted(f"u{number}" for number in range(PEOPLE))
            for journey, wanted in (("j", ["waited", "emitted", "waited", "emitted"]), ("k", ["happened", "emitted"])):
                for run in data(client, f"/api/v1/journeys/{journey}/runs?limit=100"):
                    whole = data(client, f"/api/v1/runs/{run['id']}")
                    assert [visit["outcome"] for visit in whole["steps"]] == wanted
    finally:
        assert server.stop() == 0


def data(client: Client, path: str) -> Any:
    return client.get(path).json()["data"]
