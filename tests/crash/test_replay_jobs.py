"""A replay job whose server is killed goes on after its last event, and causes nothing twice."""

import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import Client, Server
from tests.waiting import ask_until_killed, until

EVENTS, USERS = 1000, 40
RULES = """
facts:
  - {id: buy, event: n, fact_type: purchase, fields: {amount: properties.amount}, points: 1}
challenges:
  - {id: spender, fact: purchase, measure: {sum: amount}, goal: 100, repeat: true, points: 5}
badges:
  - {id: gold, challenge: spender, points: 7}
"""
# Of one user's 25 purchases of 10: a fact and its points each, two completions with points, a badge with points.
EFFECTS, POINTS = 25 * 2 + 2 * 2 + 2, 25 + 2 * 5 + 7


def send(client: Client, events: int, users: int) -> None:
    for first in range(0, events, 500):
        numbers = range(first, first + 500)
        body = [{"name": "n", "user_id": f"u{number % users}", "properties": {"amount": 10}} for number in numbers]
        assert client.post("/api/v1/events/batch", json=body).status_code == 201
    assert client.get("/api/v1/badges").status_code == 200  # all has been reacted to, under no rules


def start(client: Client, **body: Any) -> str:
    made = client.post("/v1/admin/events/replay", json={"filter": {"event": "n"}, "async": True, **body})
    return made.json()["replay"]["id"]


def wait_for(client: Client, job: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return until(lambda: client.get(f"/v1/admin/replays/{job}").json()["replay"], reached)


@pytest.mark.parametrize(("step", "force"), [("slice:3", False), ("noted:2", True)])
def test_a_job_that_is_killed_counts_and_causes_everything_once(tmp_path: Path, step: str, force: bool) -> None:
    server = Server(tmp_path, {}, [sys.executable, "-m", "tests.crash.serve_and_die", step]).start()
    key = server.key()
    with server.client(key) as client:
        send(client, EVENTS, USERS)
        before = client.get("/api/v1/catalog").json()
        assert client.put("/api/v1/rules", content=RULES).status_code == 200
        job = start(client, force=force)
        with contextlib.suppress(httpx.TransportError):
            ask_until_killed(lambda: client.get("/health"))
    assert server.wait() == -signal.SIGKILL

    server = Server(tmp_path).start()
    try:
        with server.client(key) as client:
            now = wait_for(client, job, lambda now: now["finishedAt"] is not None)
            # What went through twice would be suppressed, or where it is forced be caused again.
            assert (now["status"], now["total"], now["replayed"], now["failed"]) == ("done", EVENTS, EVENTS, 0)
            assert (now["effects"], now["suppressed"]) == (USERS * EFFECTS, 0)
            for user in range(0, USERS, 13):
                participant = client.get(f"/api/v1/participants/u{user}").json()["data"]
                [spender] = participant["challenges"]
                assert (spender["progress"], spender["completions"]) == (250, 2)
                assert (len(participant["badges"]), participant["points"]["balance"]) == (1, POINTS)
            [known] = client.get("/api/v1/catalog").json()["data"]
            assert known | {"used_by": []} == before["data"][0], "its events are those it had"
    finally:
        assert server.stop() == 0


def test_a_pause_a_resume_and_a_cancellation_hold_when_the_server_is_killed_right_after(tmp_path: Path) -> None:
    def steer(action: str) -> dict[str, Any]:
        reply = client.post(f"/v1/admin/replays/{job}/{action}")
        assert reply.status_code == 200, reply.text
        return reply.json()["replay"]

    def killed_and_started() -> Server:
        server.kill()
        return Server(tmp_path).start()

    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        send(client, 10_000, 1)
        assert client.put("/api/v1/rules", content=RULES).status_code == 200
        job = start(client)
        paused = steer("pause")
    server = killed_and_started()
    with server.client(key) as client:
        assert wait_for(client, job, lambda _: True) == paused
        steer("resume")
    server = killed_and_started()
    with server.client(key) as client:
        wait_for(client, job, lambda now: now["replayed"] > paused["replayed"])
        cancelled = steer("cancel")
    server = killed_and_started()
    try:
        with server.client(key) as client:
            assert wait_for(client, job, lambda _: True) == cancelled
            assert cancelled["status"] == "cancelled"
            replayed = cancelled["replayed"]
            assert paused["replayed"] < replayed <= 10_000
            participant = client.get("/api/v1/participants/u0").json()["data"]
            [spender] = participant["challenges"]
            assert (spender["progress"], spender["completions"]) == (replayed * 10, replayed // 10)
            assert participant["points"]["balance"] == replayed + replayed // 10 * 5 + 7
            assert cancelled["effects"] == replayed * 2 + replayed // 10 * 2 + 2
    finally:
        assert server.stop() == 0
