"""Old events go for good, whatever crashes meanwhile, and neither a start nor a check takes them for lost."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.test_check import run as check
from tests.crash.test_lost_files import TRIMMED
from tests.forks import run as run_forked
from tests.server import Client, Server

NOW = "2025-01-15T10:30:00Z"  # of events that are old
PATHS = ("/api/v1/events/count", "/api/v1/events?limit=100", "/api/v1/catalog", "/api/v1/events/count?group_by=name")


def send(client: Client, name: str, timestamp: str, count: int) -> None:
    for number in range(count):
        one = {"name": name, "user_id": "u", "timestamp": timestamp, "idempotency_key": f"{name}-{number}"}
        assert client.post("/api/v1/events", json=one).status_code == 201


def figures(client: Client) -> dict[str, Any]:
    found = {path: client.get(path).json() for path in PATHS}
    for row in found[PATHS[1]]["data"]:
        row.pop("id")
    for row in found[PATHS[2]]["data"]:
        row.pop("example")
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", ["none", "prune", "pruned"])
def test_what_is_old_is_gone_and_figures_are_those_of_a_list_without_it(tmp_path: Path, step: str) -> None:
    command_line = [sys.executable, "-m", "tests.crash.serve_and_die", f"{step}:1"]
    server = Server(tmp_path, TRIMMED, None if step == "none" else command_line).start()
    keys = [server.key("whole"), server.key("spared")]
    with server.client(keys[0]) as whole, server.client(keys[1]) as spared:
        send(whole, "old", NOW, 5)
        for client in (whole, spared):
            send(client, "young", "2200-01-01T00:00:00Z", 3)
        try:
            assert whole.put("/api/v1/retention", json={"keep": "90d"}).status_code == 200
            while whole.get("/api/v1/retention").json()["data"]["pruned"] < 5:
                wake(whole)
        except httpx.TransportError:
            assert server.wait() == -signal.SIGKILL
            server = Server(tmp_path, TRIMMED).start()
            whole.base_url = spared.base_url = server.url
            while whole.get("/api/v1/events/count").json()["data"]["total"] > 3:
                wake(whole)
        assert figures(whole) == figures(spared)
        send(whole, "old", NOW, 5)
        assert figures(whole) == figures(spared), "a retry of what was pruned is a repeat"
    code, report = check(tmp_path)
    assert (code, report.problems) == (0, [])
    assert server.stop() == 0
    server = Server(tmp_path, TRIMMED).start()
    with server.client(keys[0]) as whole, server.client(keys[1]) as spared:
        assert figures(whole) == figures(spared)
    lost = {"store_lost_events", "log_lost_events", "store_is_behind"}
    assert not lost & {line.get("event") for line in server.logs}
    assert server.stop() == 0
    command_line = [sys.executable, "-m", "headrace.cli.main", "prune", "--older-than", "1h", "--project", "spared"]
    done = run_forked([*command_line, "--data", str(tmp_path)])
    assert (done.returncode, done.stdout[:9]) == (0, "0 events "), done.stderr


def wake(client: Client) -> None:
    """A setting that changes is applied at once, and not only at the next look."""
    for keep in ("91d", "90d"):
        assert client.put("/api/v1/retention", json={"keep": keep}).status_code == 200
    time.sleep(0.2)
