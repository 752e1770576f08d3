"""More than a server can hold at once: bodies, connections, and requests over a limit."""

import gzip
import json
import re
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.http.conftest import MakeServer
from tests.http.raw import Connection
from tests.http.raw import request as http_request
from tests.http.routes import INGEST, assert_refused, send
from tests.server import Server
from tests.waiting import until

FLUX = "/api/v1/events"
BODY = json.dumps({"name": "n", "properties": {"x": "y" * 90_000}}).encode()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that holds bodies of 300 kB in all, and lets a few requests a minute in on some routes."""
    settings = {
        "HEADRACE_MAX_REQUEST_BYTES": "250000",
        "HEADRACE_MAX_BODIES_BYTES": "300000",
        "HEADRACE_ADMIN_KEY": "secret",
        "HEADRACE_RATE_LIMITS": "on",
        "HEADRACE_LIMIT_BRICQS": "25",
        "HEADRACE_LIMIT_HOGSEND": "5",
        "HEADRACE_LIMIT_FLUX_QUERY": "0",
    }
    server = Server(tmp_path_factory.mktemp("crowded"), settings).start()
    yield server
    assert server.stop() == 0


def held(server: Server) -> int:
    """Bytes of bodies that the server says it holds."""
    with server.client() as client:
        found = re.search(r"^headrace_bodies_bytes (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found
    return int(float(found[1]))


def begin(connection: Connection, path: str, size: int, lines: bytes = b"") -> None:
    """Send a request of `size` bytes but for the last of them."""
    head = http_request("POST", path, "secret", b"", b"Content-Length: %d\r\n" % size + lines)
    connection.send(head + b" " * (size - 1))


def test_bodies_that_together_are_too_large_are_refused_until_others_are_answered(crowded: Server) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(Connection(crowded.url)) for _ in range(3)]
        for number, connection in enumerate(waiting):
            connection.send(
                http_request("POST", FLUX, "secret", b"", b"Content-Length: %d\r\n" % len(BODY)) + BODY[:-1]
            )
            until(lambda number=number: held(crowded) >= (number + 1) * (len(BODY) - 1))
        for path, dialect in ((FLUX, "flux"), ("/ingest/events", "bricqs"), ("/api/events", "solute")):
            with Connection(crowded.url) as late:
                begin(late, path, 90_000)
                answer = late.answer()
                assert_refused(answer, dialect, 503)
                assert int(answer.headers["retry-after"]) >= 1
        with crowded.client("secret") as client:
            small = client.post(FLUX, json={"name": "small"})
            assert small.status_code == 201, "there is room for it"
            packed = gzip.compress(b" " * 100_000)
            assert client.post(FLUX, content=packed).status_code == 503, "what it inflates to counts"
        for connection in waiting:
            connection.send(BODY[-1:])
            assert connection.answer().status_code == 201
        until(lambda: not held(crowded))
        with Connection(crowded.url) as again:
            again.send(http_request("POST", FLUX, "secret", BODY))
            assert again.answer().status_code == 201


@pytest.mark.parametrize("ending", ["gone", "too large", "refused"])
def test_what_a_body_held_is_given_back_however_its_request_ends(crowded: Server, ending: str) -> None:
    for _ in range(8):
        with Connection(crowded.url) as connection:
            if ending == "gone":
                begin(connection, FLUX, 100_000)
                until(lambda: held(crowded))
            elif ending == "too large":
                line = b"Transfer-Encoding: chunked\r\n"
                connection.send(http_request("POST", FLUX, "secret", b"", line) + b"3d091\r\n" + b" " * 0x3D091)
                assert connection.answer().status_code == 413
            else:
                connection.send(http_request("POST", FLUX, "secret", b" " * 100_000))
                assert connection.answer().status_code == 400
        until(lambda: not held(crowded))


def test_requests_at_once_do_not_get_past_a_limit_and_each_is_told_what_is_left(crowded: Server, project: str) -> None:
    key = crowded.key(project)
    event = {"event_name": "n", "participant_id": "p"}

    def post(number: int) -> httpx.Response:
        body = event if number % 2 else {}
        with crowded.client(key) as client:
            return client.post("/ingest/events", json=body)

    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(post, range(80)))
    assert sum(reply.status_code in (202, 400) for reply in replies) == 25
    assert {reply.status_code for reply in replies} <= {202, 400, 429}
    left = sorted(int(reply.headers["X-RateLimit-Remaining"]) for reply in replies)
    assert left == [0] * 55 + list(range(25)), "no two were told the same"
    for reply in replies:
        assert reply.headers["X-RateLimit-Limit"] == "25"
        assert reply.headers["RateLimit-Policy"] == '"bricqs";q=25;w=60'
        assert (reply.status_code == 429) == ("Retry-After" in reply.headers)
    with crowded.client(key) as client:
        stored = client.get(f"{FLUX}/count").json()["data"]["total"]
    assert stored == sum(reply.status_code == 202 for reply in replies)


def test_every_error_of_a_limited_route_says_what_is_left(crowded: Server, project: str) -> None:
    with crowded.client(crowded.key(project)) as client:
        for path, status in (("?limit=x", 400), ("/550e8400-e29b-41d4-a716-446655440000", 404), ("/names", 200)):
            reply = client.get(f"/v1/admin/events{path}")
            assert reply.status_code == status
            assert reply.headers["X-RateLimit-Limit"] == "5"
        too_large = client.post("/v1/admin/events/replay", content=b" " * 250_001)
        assert (too_large.status_code, too_large.headers["X-RateLimit-Remaining"]) == (413, "1")


def test_a_body_that_does_not_arrive_is_told_what_is_left(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_BODY_TIMEOUT_S": "3", "HEADRACE_RATE_LIMITS": "on"})
    with Connection(server.url) as slow:
        slow.send(http_request("POST", f"{FLUX}/batch", "secret", b"", b"Content-Length: 10\r\n") + b"[")
        answer = slow.answer()
        assert_refused(answer, "flux", 503)
        assert answer.headers["x-ratelimit-remaining"] == "9"


def resident_mb(server: Server) -> float:
    return int(Path(f"/proc/{server.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def test_a_thousand_slow_connections_cost_little_and_hold_up_nobody(make_server: MakeServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))  # what many systems begin with
    patience = {"HEADRACE_BODY_TIMEOUT_S": "600", "HEADRACE_KEEP_ALIVE_S": "600"}
    server = make_server({"HEADRACE_MAX_CONNECTIONS": "1500"} | patience)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    starts = (
        b"",
        b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        http_request("POST", FLUX, "secret", b"", b"Content-Length: 100000\r\n") + b" " * 1000,
        http_request("GET", "/health", None),
    )
    with ExitStack() as stack, server.client("secret") as client:
        for ingest in INGEST:
            assert send(client, ingest.route).status_code == ingest.route.status
        before = resident_mb(server)
        early = stack.enter_context(Connection(server.url))
        early.send(http_request("GET", "/health", None))
        assert early.answer().status_code == 200
        for number in range(1400):
            connection = stack.enter_context(Connection(server.url))
            connection.send(starts[number % 4])
            if number % 4 == 3:
                assert connection.answer().status_code == 200
        for ingest in INGEST:
            assert send(client, ingest.route).is_success
        assert client.get(f"{FLUX}/count").json()["data"]["total"] > 0
        assert resident_mb(server) - before < 150
        for _ in range(100):
            stack.enter_context(Connection(server.url)).send(starts[1])  # the last makes it one too many, or the next
        for _ in range(20):
            connection = stack.enter_context(Connection(server.url))
            connection.send(starts[2])
            assert_refused(connection.answer(), "flux", 503)
        early.send(http_request("POST", FLUX, "secret", b'{"name":"still here"}'))
        assert early.answer().status_code == 201, "a connection it has stays"


@pytest.fixture
def unread(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Server, Connection]]:
    """A server, and a client that has asked for 8 MB and reads none of it."""
    server = Server(tmp_path, {"HEADRACE_ADMIN_KEY": "secret", "HEADRACE_MAX_UNREAD_BYTES": "1000000"} | request.param)
    with server.start().client("secret") as client:
        event = {"name": "large", "properties": {"x": "y" * 200_000}}
        assert client.post(f"{FLUX}/batch", json=[event] * 40).status_code == 201
    with Connection(server.url, receives_bytes=4096) as connection:
        connection.send(http_request("GET", FLUX, "secret"))
        yield server, connection
    assert server.stop() == 0


def unread_bytes(server: Server) -> float:
    with server.client() as client:
        text = client.get("/metrics").text
    return float(next(line for line in text.splitlines() if line.startswith("headrace_unread_bytes ")).split()[1])


@pytest.mark.parametrize("unread", [{}], indirect=True)
def test_while_large_replies_wait_to_be_read_queries_are_refused_and_events_taken(
    unread: tuple[Server, Connection],
) -> None:
    server, connection = unread
    until(lambda: unread_bytes(server) >= 1_000_000)
    with server.client("secret") as client:
        refused = client.get(f"{FLUX}/count")
        assert_refused(refused, "flux", 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert client.post(FLUX, json={"name": "small"}).status_code == 201
        assert len(connection.answer().json()["data"]) == 40, "and it gets all of it, however late it reads"
        until(lambda: not unread_bytes(server))
        assert client.get(f"{FLUX}/count").json()["data"]["total"] == 41


@pytest.mark.parametrize("unread", [{"HEADRACE_REPLY_TIMEOUT_S": "0.5"}], indirect=True)
def test_a_client_that_does_not_read_its_reply_is_hung_up_on(unread: tuple[Server, Connection]) -> None:
    server, connection = unread
    assert server.said("reply_not_read")
    until(lambda: not unread_bytes(server))
    assert len(connection.rest()) < 8_000_000
