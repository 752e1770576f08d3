"""A server from start to end: what keeps it from starting, what ends it, and what its settings change."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.http.conftest import FullLog, MakeServer
from tests.http.raw import Connection, request
from tests.http.routes import EVERY, INGEST, assert_refused, send, stored
from tests.server import Client, Server
from tests.waiting import until

FLUX = "/api/v1/events"
COMMAND = [sys.executable, "-m", "headrace.cli.main", "serve"]
ADMIN = {"HEADRACE_ADMIN_KEY": "secret"}


def begin(*arguments: str, settings: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
    """`headrace serve` that is expected not to start."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, env=environ | dict(settings))


def refusal(process: "subprocess.Popen[str]") -> str:
    """What it says when it does not start: one line, and exit code 2. The engine's own words are log lines before it."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    *log, message = errors.splitlines()
    assert message.startswith("headrace: ")
    assert [json.loads(line)["level"] for line in log] == ["info"] * len(log), errors
    return message


# What keeps a server from starting


def test_a_second_server_on_a_data_folder_is_refused(server: Server) -> None:
    message = refusal(begin("--port", "0", "--data", str(server.data)))
    assert str(server.data) in message
    assert "running" in message
    with server.client() as client:
        assert client.get("/ready").json() == {"status": "ready"}


def test_a_port_that_is_taken_is_refused(server: Server, tmp_path: Path) -> None:
    port = urlsplit(server.url).port
    message = refusal(begin("--port", str(port), "--data", str(tmp_path)))
    assert f":{port}" in message
    assert "in use" in message
    with server.client() as client:
        assert client.get("/ready").json() == {"status": "ready"}


def test_a_setting_that_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = {
        "HEADRACE_PORT": "abc",
        "HEADRACE_SYNC_DEADLINE_S": "0",
        "HEADRACE_ADMIN_KEY": "x" * 1000,
        "HEADRACE_DATA": str(tmp_path / "file"),
    }
    good = {"HEADRACE_PORT": "0", "HEADRACE_DATA": str(tmp_path / "data")}
    started = [(name, begin(settings=good | {name: value})) for name, value in wrong.items()]
    for name, process in started:
        assert name in refusal(process)


# What ends one


def wait_until_refused(url: str) -> None:
    """Until the server no longer accepts connections, for a minute at most."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            Connection(url).__exit__()
        except ConnectionError:
            return
    raise AssertionError("the server went on accepting connections")


def test_after_sigterm_requests_in_flight_are_answered_and_what_was_acknowledged_stays(
    make_server: MakeServer,
) -> None:
    server = make_server({"HEADRACE_SHUTDOWN_TIMEOUT_S": "1000"})
    acknowledged: list[str] = []
    under_way = threading.Barrier(5)

    def write() -> None:
        """Send events until the server is gone."""
        with server.client("secret") as client:
            for number in itertools.count():
                if number == 3:
                    under_way.wait(60)
                try:
                    response = client.post(FLUX, json={"name": "busy"})
                except httpx.TransportError:
                    return
                if response.status_code == 201:
                    acknowledged.append(response.json()["data"]["id"])

    keyed = {"name": "keyed", "idempotency_key": "k"}
    with server.client("secret") as client:
        first = client.post(FLUX, json=keyed).json()["data"]["id"]
    body = b'{"name":"in flight"}'
    lines = b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(body)
    with ThreadPoolExecutor(4) as threads, Connection(server.url) as slow:
        writers = [threads.submit(write) for _ in range(4)]
        under_way.wait(60)
        slow.send(request("POST", FLUX, "secret", b"", lines))
        assert slow.answer().status_code == 100  # so the server has begun with it
        os.kill(server.pid, signal.SIGTERM)
        wait_until_refused(server.url)
        slow.send(body)
        answer = slow.answer()
        assert answer.status_code == 201
        acknowledged.append(answer.json()["data"]["id"])
        assert server.wait() == 0
        for writer in writers:
            writer.result()

    server.start()
    with server.client("secret") as client:
        assert client.post(FLUX, json=keyed).json()["data"]["id"] == first
        found: list[str] = []
        while page := client.get(FLUX, params={"limit": 1000, "offset": len(found)}).json()["data"]:
            found += [row["id"] for row in page]
    assert len(found) == len(set(found))
    assert {first, *acknowledged} <= set(found)
    assert_idle_connections_do_not_hold_up(server, signal.SIGINT)


def assert_idle_connections_do_not_hold_up(server: Server, end: signal.Signals) -> None:
    with (
        Connection(server.url) as silent,
        Connection(server.url) as used,
        Connection(server.url) as half,
    ):
        used.send(request("GET", "/health", None))
        assert used.answer().status_code == 200
        half.send(b"GET /hea")
        os.kill(server.pid, end)
        assert server.wait() == 0  # within a minute: requests in flight would get a quarter of an hour; there are none
        assert silent.rest() == used.rest() == half.rest() == b""


# What settings change


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little of everything."""
    settings = {
        "HEADRACE_MAX_REQUEST_BYTES": "2000",
        "HEADRACE_MAX_EVENT_BYTES": "1000",
        "HEADRACE_MAX_NAME_CHARS": "10",
        "HEADRACE_MAX_TAGS": "1",
        "HEADRACE_MAX_TAG_CHARS": "10",
        "HEADRACE_MAX_CONNECTIONS": "10",
        "HEADRACE_BODY_TIMEOUT_S": "2",
        "HEADRACE_SYNC_DEADLINE_S": "0.000001",
        "HEADRACE_SOLUTE_DUPLICATES": "reject",
        "HEADRACE_RATE_LIMITS": "on",
        "HEADRACE_LIMIT_FLUX_BATCH": "0",
        "HEADRACE_LIMIT_FLUX_QUERY": "0",
        "HEADRACE_LIMIT_SOLUTE": "3",
    }
    server = Server(tmp_path_factory.mktemp("small"), settings | ADMIN).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def owner(small: Server, project: str) -> Iterator[Client]:
    with small.client(small.key(project)) as client:
        yield client


def test_the_admin_key_has_every_scope_on_the_default_projects_live_mode(small: Server) -> None:
    with small.client("secret") as admin, small.client(small.key("default", "live")) as same:
        for route in EVERY:
            if route.path != "/api/events":
                assert send(admin, route).status_code in (route.status, 202)
        assert stored(admin) == stored(same) > 0
    with small.client("secret2") as stranger:
        assert stranger.get(FLUX).status_code == 401
    with small.client(small.key("default", "test")) as other:
        assert stored(other) == 0


def test_sizes_are_as_set(owner: Client) -> None:
    assert owner.post(FLUX, json={"name": "n" * 10}).status_code == 201
    for event in (
        {"name": "n" * 11},
        {"name": "n", "tags": {"a": "", "b": ""}},
        {"name": "n", "tags": {"a": "x" * 11}},
    ):
        assert_refused(owner.post(FLUX, json=event), "flux", 400)
    assert_refused(owner.post(FLUX, json={"name": "n", "properties": {"p": "x" * 1000}}), "flux", 413)
    for ingest in INGEST[:8]:
        assert_refused(owner.post(ingest.path, content=b" " * 2001), ingest.dialect, 413)
    assert stored(owner) == 1


def test_the_sync_route_answers_like_the_asynchronous_one_when_the_deadline_passes(owner: Client) -> None:
    event = {"event_name": "n", "participant_id": "p"}
    for path in ("/ingest/events/sync", "/api/v1/ingest/events/sync"):
        response = owner.post(path, json=event)
        assert response.status_code == 202
        assert response.json().keys() == {"accepted", "message_id"}
    assert stored(owner) == 2


def test_a_solute_duplicate_fails_when_told_to(owner: Client) -> None:
    event = {"type": "page", "timestamp": "2025-01-15", "messageId": "m", "context": {}}
    batch = {"batch": [event, {}, event], "sentAt": "2025-01-15"}
    response = owner.post("/api/events", json=batch)
    assert response.status_code == 200
    errors = response.json()["errors"]
    assert response.json() == {"success": True, "processed": 1, "failed": 2, "errors": errors}
    assert [error["index"] for error in errors] == [1, 2]
    assert errors[1]["error"] == "duplicate"
    again = owner.post("/api/events", json=batch | {"batch": [event]}).json()
    assert again == {
        "success": False,
        "processed": 0,
        "failed": 1,
        "errors": [{"index": 0, "error": "duplicate"}],
    }
    assert stored(owner) == 1


def test_a_limit_that_is_set_holds_and_one_set_to_0_does_not(owner: Client) -> None:
    body = {"batch": [{}], "sentAt": "2025-01-15"}
    for _ in range(3):
        assert owner.post("/api/events", json=body).status_code == 200
    refused = owner.post("/api/events", json=body)
    assert_refused(refused, "solute", 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Policy"] == '"solute";q=3;w=60'
    for _ in range(15):
        response = owner.post(f"{FLUX}/batch", json=[{"name": "n"}])
        assert response.status_code == 201
        assert "X-RateLimit-Limit" not in response.headers


@pytest.mark.parametrize("sent", [b"", b"{", b'{"name":"n"'])
def test_a_body_that_does_not_arrive_is_given_up(small: Server, sent: bytes) -> None:
    with ExitStack() as stack:
        waiting = [(each, stack.enter_context(Connection(small.url))) for each in INGEST[:8]]
        for ingest, connection in waiting:
            head = request("POST", ingest.path, "secret", b"", b"Content-Length: 1000\r\n")
            connection.send(head + sent)
        for ingest, connection in waiting:
            answer = connection.answer()
            assert_refused(answer, ingest.dialect, 503)
            assert int(answer.headers["retry-after"]) >= 1
            assert connection.rest() == b""


def test_a_head_that_does_not_arrive_is_given_up(small: Server) -> None:
    with Connection(small.url) as silent:
        assert silent.rest() == b""
    with Connection(small.url) as slow:
        slow.send(b"POST /api/v1/events HTTP/1.1\r\nHost:")
        assert_refused(slow.answer(), "flux", 503)
        assert slow.rest() == b""


def test_a_connection_too_many_is_refused_with_retry_after(small: Server) -> None:
    held = [Connection(small.url) for _ in range(10)]
    try:
        for connection in held:
            connection.send(request("GET", "/health", None))
            assert connection.answer().status_code == 200
        for path, dialect in (("/v1/admin/events", "hogsend"), (FLUX, "flux"), ("/api/x", "solute")):
            with Connection(small.url) as late:
                late.send(request("GET", path, "secret"))
                answer = late.answer()
                assert_refused(answer, dialect, 503)
                assert int(answer.headers["retry-after"]) >= 1
                assert late.rest() == b""
    finally:
        for connection in held:
            connection.__exit__()


def test_a_full_log_is_answered_503_with_retry_after_and_stores_nothing(full_log: FullLog) -> None:
    with full_log.server.client(full_log.server.key()) as client:
        for ingest in INGEST:
            response = send(client, ingest.route)
            assert_refused(response, ingest.dialect, 503)
            assert int(response.headers["Retry-After"]) >= 1
        full_log.told.write_text("ok")
        until(lambda: client.get("/ready").status_code == 200)  # until then queries may be refused at once
        assert stored(client) == 1
    assert full_log.server.stop() == 0
