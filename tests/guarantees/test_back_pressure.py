"""A store that is down or slow, under more traffic than it can take."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.test_disk import stored, wait_until_counted, wait_until_ready
from tests.http.test_overload import resident_mb
from tests.server import Server
from tests.waiting import until

_BATCH = 50
_WRITERS = 4
_PADDING = "x" * 2000


def server_told(tmp_path: Path, what: str, settings: dict[str, str]) -> tuple[Server, Path]:
    """A server whose store does what the file says."""
    told = tmp_path / "told"
    told.write_text(what)
    command = [sys.executable, "-m", "tests.guarantees.serve_on_bad_store", str(told)]
    return Server(tmp_path / "data", settings, command).start(), told


class Traffic:
    """Batches from several clients at once, until so many were sent or refused: who was acknowledged."""

    def __init__(self, server: Server, key: str, *, most: int, most_refused: int) -> None:
        self.acknowledged: set[str] = set()
        self.accepted = self.refused = 0
        self._server, self._key = server, key
        self._most, self._most_refused = most, most_refused
        self._lock = threading.Lock()
        with ThreadPoolExecutor(_WRITERS) as threads:
            for done in [threads.submit(self._write, writer) for writer in range(_WRITERS)]:
                done.result()

    def _write(self, writer: int) -> None:
        with self._server.client(self._key) as client:
            number = 0
            while self.accepted + self.refused < self._most and self.refused < self._most_refused:
                users = [f"{writer}-{number}-{each}" for each in range(_BATCH)]
                events = [{"name": "n", "user_id": user, "properties": {"x": _PADDING}} for user in users]
                reply = client.post("/api/v1/events/batch", json=events)
                number += 1
                with self._lock:
                    if reply.status_code == 201:
                        self.accepted += 1
                        self.acknowledged.update(users)
                        continue
                    self.refused += 1
                assert reply.status_code == 503
                assert reply.json()["error"]["code"] == "unavailable"
                assert int(reply.headers["Retry-After"]) > 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("then", ["mended", "killed"])
def test_while_the_store_is_down_intake_goes_on_until_the_log_is_full_and_nothing_acknowledged_is_lost(
    tmp_path: Path, then: str
) -> None:
    settings = {
        "HEADRACE_LOG_MAX_BYTES": "12000000",
        "HEADRACE_FRESHNESS_TIMEOUT_S": "3",
        "HEADRACE_FLUSH_ENOUGH_EVENTS": "1",
    }
    server, told = server_told(tmp_path, "ok", settings)
    key = server.key()
    try:
        with server.client(key) as client:
            assert client.post("/api/v1/events", json={"name": "n", "user_id": "before"}).status_code == 201
            wait_until_counted(client)
            told.write_text("fail")
            before_mb = resident_mb(server)
            traffic = Traffic(server, key, most=5000, most_refused=40)
            assert traffic.accepted * _BATCH * len(_PADDING) > 4_000_000, (
                "intake went on (a text property is in the row twice)"
            )
            assert traffic.refused >= 40, "until there was no room"
            assert resident_mb(server) - before_mb < 200
            until(lambda: client.get("/ready").status_code == 503)  # after several tries
            assert client.get("/health").status_code == 200
            assert client.get("/api/v1/events/count").status_code == 503, "what was acknowledged cannot be seen now"
        if then == "killed":
            server.kill()
            server = Server(tmp_path / "data").start()
        else:
            told.write_text("ok")
            wait_until_ready(server)
        with server.client(key) as client:
            wait_until_counted(client)
            found = stored(client)
            assert len(found) == len(traffic.acknowledged) + 1, "no more than was acknowledged"
            assert set(found.values()) == traffic.acknowledged | {"before"}
            # The log is trimmed a moment after the store has caught up.
            until(lambda: client.post("/api/v1/events", json={"name": "n"}).status_code == 201)
    finally:
        server.kill()


@pytest.mark.timeout(300)
def test_a_slow_store_holds_up_no_writer_and_no_memory(tmp_path: Path) -> None:
    server, _ = server_told(tmp_path, "slow", {"HEADRACE_FLUSH_MAX_EVENTS": "500"})
    key = server.key()
    try:
        with server.client(key) as client:
            assert client.post("/api/v1/events", json={"name": "n", "user_id": "before"}).status_code == 201
            before_mb = resident_mb(server)
            traffic = Traffic(server, key, most=120, most_refused=1)
            assert traffic.refused == 0
            assert resident_mb(server) - before_mb < 200
            wait_until_counted(client)
            assert set(stored(client).values()) == traffic.acknowledged | {"before"}
        assert server.stop() == 0
    finally:
        server.kill()
