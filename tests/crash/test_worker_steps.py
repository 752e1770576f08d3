"""A crash between any two of the worker's numbered steps loses nothing and doubles nothing."""

import contextlib
import itertools
import signal
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.server import Server

STEPS = ("read", "insert", "commit", "trim")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [1, 3])
def test_a_crash_after_a_step_stores_each_acknowledged_event_once(tmp_path: Path, step: str, nth: int) -> None:
    dying = [sys.executable, "-m", "tests.crash.serve_and_die", f"{step}:{nth}"]
    server = Server(tmp_path, {"HEADRACE_LOG_KEEP_S": "0.001", "HEADRACE_FLUSH_INTERVAL_MS": "100"}, dying).start()
    key = server.key()
    acknowledged: dict[str, str] = {}
    sent: set[str] = set()
    with server.client(key) as client:
        try:
            for number in itertools.count():
                user = f"user-{number}"
                sent.add(user)
                reply = client.post("/api/v1/events", json={"name": "crash", "user_id": user})
                assert reply.status_code == 201
                acknowledged[reply.json()["data"]["id"]] = user
                if number % 100 == 99:  # a worker that is slower than this sender would leave more than a page
                    client.get("/api/v1/events/count")
        except httpx.TransportError:
            pass
    assert server.wait() == -signal.SIGKILL

    server = Server(tmp_path).start()
    try:
        with server.client(key) as client:
            reply = client.get("/api/v1/events", params={"limit": "1000"}).json()
            assert reply["meta"]["total"] == len(reply["data"]), "the page must hold all of it"
            stored = Counter(event["id"] for event in reply["data"])
            users = {event["id"]: event["user_id"] for event in reply["data"]}
            assert set(stored.values()) <= {1}, "stored twice"
            assert {event_id: users.get(event_id) for event_id in acknowledged} == acknowledged
            # What was cut off before its reply may be there, since its sender was told nothing; but only what was sent.
            assert set(users.values()) <= sent
            assert len(stored) <= len(sent)
            assert client.get("/api/v1/events/count").json()["data"]["total"] == len(stored)
    finally:
        assert server.stop() == 0


def test_a_repeat_after_a_crash_names_the_first_event(tmp_path: Path) -> None:
    dying = [sys.executable, "-m", "tests.crash.serve_and_die", "read:2"]
    server = Server(tmp_path, {}, dying).start()
    key = server.key()
    body = {"event_name": "once", "participant_id": "p", "idempotency_key": "k"}
    with server.client(key) as client:
        first = client.post("/ingest/events", json=body).json()["message_id"]
        with contextlib.suppress(httpx.TransportError):
            client.get("/api/v1/events/count")
            client.post("/ingest/events/sync", json=body | {"idempotency_key": "another"})
    assert server.wait() == -signal.SIGKILL

    server = Server(tmp_path).start()
    try:
        with server.client(key) as client:
            assert client.post("/ingest/events", json=body).json()["message_id"] == first
            reply = client.get("/api/v1/events/count?group_by=name").json()["data"]
            assert reply["total"] in (1, 2), "the second may have become durable before the crash"
    finally:
        assert server.stop() == 0
