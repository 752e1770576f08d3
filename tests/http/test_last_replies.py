"""A client reads the reply that ends its connection, whatever it is still sending; and one that ended its own side gets its replies."""

import json
import time
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from headrace.model.keys import Scope
from tests.http.raw import Connection, request
from tests.http.routes import INGEST, Ingest, assert_refused, stored
from tests.server import Client, Server

FLUX = "/api/v1/events"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LARGE = b" " * (13 * 1024 * 1024)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes one Flux batch a minute, and whole bodies of at most 128 MiB together."""
    settings = {"HEADRACE_RATE_LIMITS": "on", "HEADRACE_LIMIT_FLUX_BATCH": "1", "HEADRACE_ADMIN_KEY": "secret"}
    server = Server(tmp_path_factory.mktemp("narrow"), settings).start()
    yield server
    assert server.stop() == 0


def paced(connection: Connection, data: bytes, pieces: int = 20) -> None:
    """Send as a client does that makes its body while it sends it: what it gets in the meantime it reads afterwards."""
    size = -(-len(data) // pieces)
    for at in range(0, len(data), size):
        connection.send(data[at : at + size])
        time.sleep(0.01)


def test_a_body_past_the_limit_is_answered_413_to_who_reads_after_sending_all(server: Server, key: str) -> None:
    """As Python's urllib does, which always says `Connection: close`."""
    for path in (FLUX, "/2/httpapi", "/batch"):
        asked = urllib.request.Request(server.url + path, LARGE, {"Authorization": f"Bearer {key}"})
        with pytest.raises(HTTPError) as raised:
            urllib.request.urlopen(asked, timeout=60)
        with raised.value as answer:
            assert answer.code == 413
            assert answer.read()


def test_a_body_in_chunks_past_the_limit_is_answered_413(server: Server, key: str) -> None:
    with Connection(server.url) as connection:
        connection.send(request("POST", FLUX, key, b"", CHUNKED + CLOSE))
        paced(connection, b"%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE))
        assert_refused(connection.answer(), "flux", 413)
        assert connection.rest() == b""


@pytest.mark.parametrize("lines", [CLOSE, b""], ids=["close", "keep-alive"])
@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_a_key_that_is_wrong_is_told_to_a_paced_client(server: Server, ingest: Ingest, lines: bytes) -> None:
    body = b'{"x":"%b"}' % (b"x" * 500_000)
    with Connection(server.url) as connection:
        paced(connection, request("POST", ingest.path, "wrong", body, lines))
        assert_refused(connection.answer(), ingest.dialect, 401)


def test_a_key_that_may_not_is_told_to_a_paced_client(server: Server, project: str) -> None:
    with Connection(server.url) as connection:
        paced(
            connection,
            request("POST", FLUX, server.key(project, scopes=frozenset[Scope]({"query"})), b" " * 500_000, CLOSE),
        )
        assert_refused(connection.answer(), "flux", 403)


def test_a_batch_over_the_rate_limit_is_told_so(narrow: Server, project: str) -> None:
    key = narrow.key(project)
    body = json.dumps([{"name": "n", "properties": {"x": "y" * 10_000}}] * 50).encode()
    for status in (201, 429):
        with Connection(narrow.url) as connection:
            paced(connection, request("POST", f"{FLUX}/batch", key, body, CLOSE))
            answer = connection.answer()
            assert answer.status_code == status
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "head",
    [
        b"POST %b HTTP/1.1\r\nHost: x\r\nX: %b\r\n" % (FLUX.encode(), b"x" * 200_000),
        b"POST %b HTTP/1.1\r\nHost: x\r\nbad header\r\n" % FLUX.encode(),
        b"POST %b HTTP/3.0\r\nHost: x\r\n" % FLUX.encode(),
    ],
    ids=["too large", "malformed", "version"],
)
def test_headers_that_are_refused_are_answered_to_who_is_still_sending(server: Server, head: bytes) -> None:
    with Connection(server.url) as connection:
        paced(connection, head + b"Content-Length: 900000\r\n\r\n" + b" " * 900_000)
        assert_refused(connection.answer(), "flux", 400)
        assert connection.rest() == b""


def test_a_client_that_sends_for_ever_is_hung_up_on(server: Server) -> None:
    for lines in (CLOSE, b""):
        with Connection(server.url) as connection:
            connection.send(request("POST", FLUX, None, b"", b"Content-Length: 999999999\r\n" + lines))
            with pytest.raises(ConnectionError):
                connection.send(b" " * 100 * 1024 * 1024)


def test_a_client_that_waits_for_100_continue_is_refused_instead(server: Server, key: str) -> None:
    small, large = b"Content-Length: 10\r\n", b"Content-Length: 99999999\r\n"
    for method, path, who, size, status in (
        ("POST", FLUX, "wrong", small, 401),
        ("POST", f"{FLUX}/batch", None, small, 401),
        ("POST", FLUX, key, large, 413),
        ("POST", f"{FLUX}/nowhere/x", key, small, 404),
        ("DELETE", FLUX, key, small, 405),
        ("PUT", "/api/v1/rules", "wrong", small, 401),
    ):
        with Connection(server.url) as connection:
            connection.send(request(method, path, who, b"", b"Expect: 100-continue\r\n" + size))
            answer = connection.answer()
            assert answer.status_code == status
            assert answer.headers["connection"] == "close", "the client may send its body or not"
            assert connection.rest() == b""


def test_a_client_that_waits_for_100_continue_keeps_its_connection_once_told_to_go_on(server: Server, key: str) -> None:
    for path, body in ((FLUX, b'{"name":"n"}'), ("/2/httpapi", b'{"events":[{"event_type":"t","user_id":"u"}]}')):
        with Connection(server.url) as connection:
            for _ in range(2):
                lines = b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(body)
                connection.send(request("POST", path, key, b"", lines))
                assert connection.answer().status_code == 100
                connection.send(body)
                assert connection.answer().status_code in (200, 201)


# Clients that end their own side


def test_a_client_that_ends_its_side_gets_its_reply(server: Server, client: Client, key: str) -> None:
    for sent, status in (
        (request("POST", FLUX, key, b'{"name":"n"}'), 201),
        (request("GET", f"{FLUX}/count", key), 200),
        (request("POST", "/api/v1/ingest/events/sync", key, b'{"event_name":"n","participant_id":"p"}'), 200),
        (request("GET", "/health", None), 200),
    ):
        with Connection(server.url) as connection:
            connection.send(sent)
            connection.end_sending()
            assert connection.answer().status_code == status
            assert connection.rest() == b""
    assert stored(client) == 2


@pytest.mark.parametrize("tail", [b"", b"GET /hea", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"])
def test_a_client_that_ends_its_side_gets_all_its_replies(
    server: Server, client: Client, key: str, tail: bytes
) -> None:
    with Connection(server.url) as connection:
        connection.send(request("POST", FLUX, key, b'{"name":"n"}') * 30 + tail)
        connection.end_sending()
        assert connection.rest().count(b"HTTP/1.1 201 ") == 30
    assert stored(client) == 30


def test_half_a_request_gets_no_reply(server: Server, client: Client, key: str) -> None:
    for sent in (b"GET /hea", request("POST", FLUX, key, b'{"name":"n"}')[:-1]):
        with Connection(server.url) as connection:
            connection.send(sent)
            connection.end_sending()
            assert connection.rest() == b""
    assert stored(client) == 0
