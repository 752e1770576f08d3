"""Requests that are sent without waiting for replies, and what comes between and behind requests."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.http.raw import Connection, request
from tests.http.routes import stored
from tests.server import Client, Server

FLUX = "/api/v1/events"
SYNC = "/api/v1/ingest/events/sync"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: headrace\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives up after a second."""
    settings = {"HEADRACE_BODY_TIMEOUT_S": "1", "HEADRACE_KEEP_ALIVE_S": "1", "HEADRACE_ADMIN_KEY": "secret"}
    server = Server(tmp_path_factory.mktemp("hasty"), settings).start()
    yield server
    assert server.stop() == 0


def resident_mb(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


REFUSED = {
    "what is no HTTP": (b"garbage\r\n\r\n", 400),
    "a version that is not spoken": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a head without end": (b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, 400),
    "a broken chunk": (request("POST", FLUX, "secret", b"", CHUNKED) + b"no size\r\n", 400),
    "half a head": (b"POST /api/v1/events HTTP/1.1\r\nHost:", 503),
    "half a body": (request("POST", FLUX, "secret", b'{"name":"half"}')[:-1], 503),
}


@pytest.mark.parametrize(("refused", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_comes_before_a_refused_request_is_answered_first(hasty: Server, refused: bytes, status: int) -> None:
    with hasty.client("secret") as client:
        before = stored(client)
    with Connection(hasty.url) as connection:  # after that, for it ends if nothing comes within a second
        sync = request("POST", SYNC, "secret", b'{"event_name":"n","participant_id":"p"}')
        with suppress(ConnectionError):
            connection.send(sync + request("POST", FLUX, "secret", b'{"name":"n"}') + refused)
        assert statuses(connection.rest()) == [200, 201, status]
    with hasty.client(
        "secret"
    ) as client:  # another one: the server ends connections that have waited as long as that took
        assert stored(client) == before + 2


def test_after_a_refusal_nothing_is_taken(hasty: Server) -> None:
    with hasty.client("secret") as client:
        before = stored(client)
    event = request("POST", FLUX, "secret", b'{"name":"n"}')
    with Connection(hasty.url) as connection:
        connection.send(event + b"garbage\r\n\r\n" + event * 20)
        assert statuses(connection.rest()) == [201, 400]
    with hasty.client("secret") as client:
        assert stored(client) == before + 1


def test_requests_that_wait_for_their_turn_wait_as_bytes(server: Server) -> None:
    before = resident_mb(server)
    with Connection(server.url) as connection:
        connection.send(HEALTH * 50_000)
        for _ in range(1000):
            assert connection.answer().status_code == 200
        assert resident_mb(server) - before < 60


def test_requests_of_every_size_that_wait_for_their_turn_are_answered_in_order(client: Client, server: Server) -> None:
    key = client.headers["Authorization"].removeprefix("Bearer ")
    sizes = [0, 10, 500, 900, 1100, 5000, 70_000, 200_000, 3, 40_000, 1, 0]
    with Connection(server.url) as connection:
        for lines in (b"", b"Connection: upgrade\r\nUpgrade: h2c\r\n"):
            for number, size in enumerate(sizes):
                body = b'{"name":"n%d","properties":{"x":"%b"}}' % (number, b"\\r\\n" * (size // 4))
                chunks = b"%x\r\n%b\r\n0\r\nX-Trailer: x\r\n\r\n" % (len(body), body)
                connection.send(request("POST", FLUX, key, body, lines) + HEALTH)
                connection.send(request("POST", FLUX, key, b"", CHUNKED + lines) + chunks + HEALTH)
            for number, _ in enumerate(sizes):
                for _ in range(2):
                    assert connection.answer().json()["data"]["name"] == f"n{number}"
                    assert connection.answer().json() == {"status": "ok"}


def test_offers_of_other_protocols_are_ignored_however_many_come_at_once(server: Server) -> None:
    with Connection(server.url) as connection:
        connection.send(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") * 3000)
        for _ in range(3000):
            assert connection.answer().status_code == 200


@pytest.mark.parametrize("trailer", [b"X-A: b\r\n" * 1000, b"x" * 8000], ids=["many fields", "one field"])
def test_trailers_without_end_are_refused_long_before_they_fill_the_memory(server: Server, trailer: bytes) -> None:
    with Connection(server.url) as connection:
        connection.send(request("POST", FLUX, None, b"", CHUNKED) + b"2\r\n{}\r\n")
        assert connection.answer().status_code == 401
        connection.send(b"0\r\n")
        with pytest.raises(ConnectionError):
            connection.send(trailer * 10_000)


def test_a_trailer_is_no_header(client: Client, server: Server) -> None:
    trailer = b"Authorization: %b\r\n" % client.headers["Authorization"].encode()
    with Connection(server.url) as connection:
        body = b'c\r\n{"name":"n"}\r\n0\r\n%b\r\n' % trailer
        connection.send(request("POST", FLUX, None, b"", CHUNKED) + body)
        assert connection.answer().status_code == 401
    assert stored(client) == 0


def test_a_connection_is_idle_also_after_empty_lines_and_after_the_rest_of_a_refused_body(hasty: Server) -> None:
    with Connection(hasty.url) as connection:
        connection.send(HEALTH)
        assert connection.answer().status_code == 200
        connection.send(b"\r\n")
        assert connection.rest() == b""
    with Connection(hasty.url) as connection:
        connection.send(request("POST", FLUX, None, b"", b"Content-Length: 3\r\n") + b"{")
        assert connection.answer().status_code == 401
        connection.send(b"}\n")
        assert connection.rest() == b""
