"""SIGKILL at each step of a delivery: at least once on the wire under the same webhook-id, and once in state."""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.delivery.receivers import LOOPBACK, OK, Behave, Receiver
from tests.server import Server
from tests.waiting import until

RULES = b"""
facts:
  - {id: visit, event: visit, fact_type: visited, points: 1}
"""
SETTINGS = {"HEADRACE_WEBHOOK_ALLOWED_NETWORKS": LOOPBACK, "HEADRACE_FLUSH_INTERVAL_MS": "50"}
STEPS = ["react:2", "reacted:2", "delivered:1", "delivered:3", "recorded:1", "recorded:2"]


def check_all_came(tmp_path: Path, key: str, receiver: Receiver, behave: Behave) -> None:
    """Start the server again, and see that each effect and each event was told, and each once in state."""
    receiver.behave = behave
    server = Server(tmp_path, SETTINGS).start()
    try:
        with server.client(key) as client:
            events = client.get("/api/v1/events", params={"limit": "1000"}).json()["data"]
            effects = [
                effect
                for event in events
                for effect in client.get(f"/api/v1/events/{event['id']}/effects").json()["data"]
                if effect["kind"] == "points"
            ]
            assert len(effects) == len(events)
            receiver.wait_for(lambda: len(receiver.keys) >= 2 * len(events))
            path = "/api/v1/webhooks/w/deliveries"
            until(lambda: not client.get(path, params={"status": "waiting"}).json()["data"])
            listed: list[str] = []
            params: dict[str, str] | None = {"limit": "100"}
            while params:
                page = client.get(path, params=params).json()
                assert {each["status"] for each in page["data"]} == {"delivered"}
                listed += [each["id"] for each in page["data"]]
                cursor = page["meta"]["next_cursor"]
                params = {"limit": "100", "cursor": cursor} if cursor else None
        assert len(listed) == len(set(listed)) == 2 * len(events)
        assert set(receiver.keys) == set(listed), "nothing is told that did not happen"
        bodies = {(posted.key, posted.body) for posted in receiver.posted}
        assert len(bodies) == len(listed), "each time it is sent it is the same"
    finally:
        assert server.stop() == 0


def run_until_it_dies(tmp_path: Path, receiver: Receiver, command: list[str] | None) -> tuple[Server, str]:
    server = Server(tmp_path, SETTINGS, command).start()
    key = server.key()
    with server.client(key) as client:
        try:
            client.put("/api/v1/rules", content=RULES)
            topics = ["points.changed", "event"]
            client.post("/api/v1/webhooks", json={"id": "w", "url": receiver.url, "topics": topics})
            for number in itertools.count():
                client.post("/ingest/events/sync", json={"event_name": "visit", "participant_id": f"u{number}"})
        except httpx.TransportError:
            pass
    return server, key


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_between_two_steps_of_a_delivery_loses_and_doubles_nothing(tmp_path: Path, step: str) -> None:
    with Receiver() as receiver:
        command = [sys.executable, "-m", "tests.crash.serve_and_die", step]
        server, key = run_until_it_dies(tmp_path, receiver, command)
        assert server.wait() == -signal.SIGKILL
        check_all_came(tmp_path, key, receiver, receiver.behave)


@pytest.mark.parametrize("after_reply", [False, True], ids=["before the reply", "after the reply"])
def test_a_crash_while_a_delivery_is_on_the_wire_sends_it_again(tmp_path: Path, after_reply: bool) -> None:
    died: list[str] = []
    kill: list[Callable[[], None]] = []

    def behave(connection: object, posted: object) -> bytes:
        if len(receiver.posted) >= 4 and not died:
            died.append(receiver.posted[-1].key)
            if after_reply:
                connection.sendall(OK)  # type: ignore[attr-defined]
            kill[0]()
        return OK

    with Receiver(behave) as receiver:
        starting = Server(tmp_path, SETTINGS).start()
        kill.append(lambda: os.kill(starting.pid, signal.SIGKILL))
        key = starting.key()
        with starting.client(key) as client:
            try:
                client.put("/api/v1/rules", content=RULES)
                topics = ["points.changed", "event"]
                client.post("/api/v1/webhooks", json={"id": "w", "url": receiver.url, "topics": topics})
                for number in itertools.count():
                    client.post("/ingest/events/sync", json={"event_name": "visit", "participant_id": f"u{number}"})
            except httpx.TransportError:
                pass
        assert starting.wait() == -signal.SIGKILL
        check_all_came(tmp_path, key, receiver, lambda _connection, _posted: OK)
        assert receiver.keys[died[0]] >= 1 + (not after_reply)
