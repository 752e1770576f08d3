"""A replay job whose server is killed goes on after its last event, and causes nothing twice."""

import contextlib
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.server import Server

EVENTS = 1000


@pytest.mark.parametrize("step", ["slice:3", "noted:2"])
def test_a_job_that_is_killed_replays_each_event_once(tmp_path: Path, step: str) -> None:
    dying = [sys.executable, "-m", "tests.crash.serve_and_die", step]
    server = Server(tmp_path, {"HEADRACE_REPLAY_SHARE": "1"}, dying).start()
    key = server.key()
    with server.client(key) as client:
        for _ in range(EVENTS // 500):
            assert client.post("/api/v1/events/batch", json=[{"name": "n"}] * 500).status_code == 201
        before = client.get("/api/v1/catalog").json()
        made = client.post("/v1/admin/events/replay", json={"filter": {"event": "n"}, "force": True, "async": True})
        job = made.json()["replay"]["id"]
        with contextlib.suppress(httpx.TransportError):
            while client.get("/health"):
                pass
    assert server.wait() == -signal.SIGKILL

    server = Server(tmp_path, {"HEADRACE_REPLAY_SHARE": "1"}).start()
    try:
        with server.client(key) as client:
            until = time.monotonic() + 60
            while (now := client.get(f"/v1/admin/replays/{job}").json()["replay"])["finishedAt"] is None:
                assert time.monotonic() < until, now
            # A forced replay causes an effect each time that an event goes through; so once each, and no more.
            assert (now["status"], now["total"], now["replayed"], now["effects"]) == ("done", EVENTS, EVENTS, EVENTS)
            assert now["failed"] == now["suppressed"] == 0
            assert client.get("/api/v1/catalog").json() == before
    finally:
        assert server.stop() == 0
