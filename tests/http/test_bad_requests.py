"""Requests that are wrong around their body: method, route, query, id, headers, and what is no HTTP at all."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.http.raw import Connection, ask, request
from tests.http.routes import EVERY, INGEST, LISTS, MOUNTED, READ, Route, assert_refused, send, stored
from tests.server import Client, Server


@pytest.fixture(scope="module")
def refuser(server: Server) -> Iterator[Client]:
    """A client on a project in which this whole module must store nothing."""
    with server.client(server.key("refused-requests")) as client:
        yield client


@pytest.fixture
def key(refuser: Client) -> str:
    return refuser.headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture(autouse=True)
def nothing_is_stored(refuser: Client) -> Iterator[None]:
    yield
    assert stored(refuser) == 0


# Method and route

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
ALLOWED: dict[str, set[str]] = {}
for each in MOUNTED:
    ALLOWED.setdefault(each.path, {"OPTIONS"}).update({"GET", "HEAD"} if each.method == "GET" else {each.method})
FOR_BROWSERS = {each.path for each in MOUNTED if each.for_browsers}
DIALECTS = {each.path: each.dialect for each in MOUNTED}


@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_a_route_does_not_have_is_refused_with_those_it_has(refuser: Client, path: str) -> None:
    for method in METHODS:
        if method in ALLOWED[path]:
            continue
        response = refuser.request(method, path)
        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) == ALLOWED[path]
        if method != "HEAD":
            assert_refused(response, DIALECTS[path], 405)
        assert ("Access-Control-Allow-Origin" in response.headers) == (path in FOR_BROWSERS)


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/openapi.json", "/docs"])
def test_a_method_that_a_route_of_our_own_does_not_have_is_refused_as_a_problem(refuser: Client, path: str) -> None:
    response = refuser.post(path)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json().keys() == {"type", "title", "status", "detail"}


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        *[(path, "flux") for path in ("/api/v1", "/api/v1/x", "/api/v1/events/a/b", "/api/v1/events/x/")],
        *[(path, "bricqs") for path in ("/api/v1/ingest", "/api/v1/ingest/x", "/ingest", "/ingest/x/y")],
        *[(path, "solute") for path in ("/api", "/api/x", "/api/events/x", "/api/v2/events", "/api/v1events")],
        *[(path, "hogsend") for path in ("/v1", "/v1/x", "/v1/admin", "/v1/admin/events/a/b")],
        *[(path, "hogsend") for path in ("/v1/%ff", "/v1/%00", "/v1/..%2f..", "/v1/" + "x" * 5000)],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_route_that_there_is_not_is_not_found(refuser: Client, path: str, dialect: str, method: str) -> None:
    if (path, method) == ("/api/v1/events/x/", "POST"):
        assert_refused(refuser.request(method, path), dialect, 405)
    else:
        assert_refused(refuser.request(method, path), dialect, 404)


@pytest.mark.parametrize("path", ["/x", "/v1x", "/apis", "/ingests/events", "/health/x", "/favicon.ico"])
def test_a_route_outside_every_dialect_is_not_found_as_a_problem(refuser: Client, path: str) -> None:
    response = refuser.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Access-Control-Allow-Origin"] == "*", "a page sees that it asks for what there is not"
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": response.json()["detail"],
    }


# Query

NO_QUERY = {
    "bytes that are no UTF-8": "name=%ff&event=%ff",
    "a sequence cut short": "name=%c3&event=%c3",
    "a surrogate": "name=%ed%a0%80&event=%ed%a0%80",
    "a name that is no UTF-8": "%ff=1",
    "a tag that is no UTF-8": "tags[%ff]=1",
    "1000 parameters": "&".join(f"p{number}=1" for number in range(1000)),
    "1000 tags": "&".join(f"tags[k{number}]=v" for number in range(1000)),
}


@pytest.mark.parametrize("query", NO_QUERY.values(), ids=NO_QUERY.keys())
def test_a_query_that_cannot_be_read_is_refused(refuser: Client, query: str) -> None:
    for route in LISTS:
        assert_refused(refuser.get(f"{route.path}?{query}"), route.dialect, 400)


ODD_QUERIES = {
    "percent signs": "from=&to=&%&%zz",
    "no names": "=&&",
    "only separators": "&;&?#",
    "an empty parameter that is unknown": "page=&sort=&debug=",
}
ODD_FILTERS = {
    "percent signs": "{user}=%1",
    "NUL": "{user}=%00",
    "60,000 characters": "{user}=" + "x" * 60_000,
    "quotes": "{user}=%27%20OR%201=1%20--&{name}=%5C",
    "placeholders": "{user}={{project:String}}&{name}=%25(x)s",
}
ODD_TAGS = {
    "NUL": "tags[%00]=%00",
    "150 tags": "&".join(f"tags[{'k' * 100}]={'v' * 100}" for _ in range(150)),
    "brackets": "tags[a]b]=x&tags[]=x&properties[[]]=x&user_id=none",
}


@pytest.mark.parametrize("query", ODD_QUERIES.values(), ids=ODD_QUERIES.keys())
def test_a_query_that_is_only_odd_finds_nothing(refuser: Client, query: str) -> None:
    for route in LISTS:
        response = refuser.get(f"{route.path}?{query}")
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("query", ODD_FILTERS.values(), ids=ODD_FILTERS.keys())
def test_a_filter_that_is_only_odd_finds_nothing(refuser: Client, query: str) -> None:
    for path, names in (
        ("/api/v1/events", {"user": "user_id", "name": "name"}),
        ("/v1/admin/events", {"user": "userId", "name": "event"}),
    ):
        response = refuser.get(f"{path}?{query.format(**names)}")
        assert response.status_code == 200, response.text
        assert response.json().get("data", response.json().get("events")) == []


@pytest.mark.parametrize("query", ODD_TAGS.values(), ids=ODD_TAGS.keys())
def test_a_tag_that_is_only_odd_finds_nothing(refuser: Client, query: str) -> None:
    response = refuser.get(f"/api/v1/events?{query}")
    assert response.status_code == 200, response.text
    assert response.json()["data"] == []


@pytest.mark.parametrize("query", [b"name=caf\xc3\xa9", b"event=\xff\xfe", b"na\xe9me=x"])
def test_a_query_with_raw_bytes_beyond_ascii_is_refused_in_the_dialects_shape(
    server: Server, key: str, query: bytes
) -> None:
    for route in EVERY:
        target = b"%b?%b" % (route.path.encode(), query)
        body = b'{"name":"n"}' if route.method == "POST" else b""
        answer = ask(server.url, request(route.method, target, key, body))
        assert_refused(answer, route.dialect, 400)


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


LONG = "9" * 5000
BAD_TIMES = ["x", "2024", "2024-13-01", "1705314600", "1969-12-31", "2262-01-01", LONG, "é", "\x00"]
BAD_NUMBERS = ["x", "1.5", "1e3", "0x1", "١", "--1", "1 2", "\x00", "NaN", "null", "true", "[]"]
BAD_PARAMETERS: dict[str, dict[str, list[str]]] = {
    "/api/v1/events": {
        "from": BAD_TIMES,
        "to": BAD_TIMES,
        "since": [*BAD_TIMES, "-1h", "1y", "9999999w", "h"],
        "until": [*BAD_TIMES, "-1h", "1y"],
        "limit": BAD_NUMBERS,
        "offset": [*BAD_NUMBERS, "-1", "-0x", "-9" * 9],
    },
    "/api/v1/events/count": {
        "from": BAD_TIMES,
        "to": BAD_TIMES,
        "interval": ["x", "1", "2h", "1d ", "\x00", LONG],
        "fill": ["1", "yes", "True", "\x00"],
        "group_by": ["tags.", "properties."],
    },
    "/api/v1/events/stats": {"from": BAD_TIMES, "to": BAD_TIMES, "field": ["properties."]},
    "/v1/admin/events": {
        "from": BAD_TIMES,
        "to": BAD_TIMES,
        "limit": [*BAD_NUMBERS, "0", "101", "-1", LONG],
        "offset": [*BAD_NUMBERS, "-1"],
    },
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in BAD_PARAMETERS.items() for name in names])
def test_a_parameter_that_is_wrong_is_refused(refuser: Client, path: str, name: str) -> None:
    for value in BAD_PARAMETERS[path][name]:
        response = refuser.get(path, params={name: value})
        assert response.status_code == 400, (value, response.text)
        assert_refused(response, DIALECTS[path], 400)


FORGED = [
    *("x", "é", "%", "====", "YQ==", "\x00", LONG),
    *map(cursor, (".", "1", "1.", ".1", "1.2.3", "x.1", "1.x", f"{LONG}.1", "1.-5")),
]


@pytest.mark.parametrize("text", FORGED, ids=lambda text: repr(text[:20]))
def test_a_cursor_that_nobody_gave_out_is_refused(refuser: Client, text: str) -> None:
    assert_refused(refuser.get("/api/v1/events", params={"cursor": text}), "flux", 400)


def test_filling_too_many_empty_buckets_is_refused(refuser: Client) -> None:
    for span in ({"from": "2024-01-01", "to": "2024-12-31"}, {"from": "1970-01-01", "to": "2261-12-31"}):
        parameters = {"interval": "1m", "fill": "true"} | span
        assert_refused(refuser.get("/api/v1/events/count", params=parameters), "flux", 400)


# Ids


@pytest.mark.parametrize(
    "event_id",
    [
        *("x", "1", "evt_", "evt_x", "null", "%00", "%ff", "%20", "é", "..%2f", "-", "*", "'", "%27--"),
        *("0" * 31, "0" * 33, "g" * 32, "evt_" + "0" * 31, "evt_evt_" + "0" * 32, "０" * 32),
        *("550e8400-e29b-41d4-a716-44665544000", "550e8400-e29b-41d4-a716-4466554400000"),
        *("{550e8400-e29b-41d4-a716-446655440000}", "550e8400e29b-41d4-a716-446655440000"),
        *("0" * 32, "f" * 32, "F" * 32, "evt_" + "f" * 32, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        *("x" * 10_000, "0" * 10_000),
    ],
    ids=lambda text: text[:40],
)
def test_an_id_that_is_malformed_or_unknown_is_not_found(refuser: Client, event_id: str) -> None:
    assert_refused(refuser.get(f"/api/v1/events/{event_id}"), "flux", 404)
    response = refuser.get(f"/v1/admin/events/{event_id}")
    assert_refused(response, "hogsend", 404)
    assert response.json() == {"error": "Event not found"}


# Headers

BAD_HEADERS = {
    "an Idempotency-Key that is too long": b"Idempotency-Key: %b\r\n" % (b"x" * 256),
    "a Content-Length that is no number": b"Content-Length: x\r\n",
    "a negative Content-Length": b"Content-Length: -1\r\n",
    "a Content-Length beyond every number": b"Content-Length: %b\r\n" % (b"9" * 40),
    "two different Content-Lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n",
    "a length and chunks": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    "an unknown Transfer-Encoding": b"Transfer-Encoding: x\r\n",
    "a header without a name": b": x\r\n",
    "a header with NUL": b"X-A: a\x00b\r\n",
    "a bare line break": b"X-A: a\rb\r\n",
}


@pytest.mark.parametrize("lines", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_header_that_is_wrong_is_refused(server: Server, key: str, lines: bytes) -> None:
    for ingest in INGEST:
        answer = ask(server.url, request("POST", ingest.path, key, b"", lines))
        assert_refused(answer, ingest.dialect, 400)


NO_HOST = {"no Host": b"", "two Hosts": b"Host: a\r\nHost: a\r\n", "three Hosts": b"Host: a\r\nHOST: b\r\nhost:\r\n"}


@pytest.mark.parametrize("lines", NO_HOST.values(), ids=NO_HOST.keys())
def test_a_request_has_one_host(server: Server, key: str, lines: bytes) -> None:
    for route in EVERY:
        data = request(route.method, route.path, key, b"{}").replace(b"Host: headrace\r\n", lines)
        answer = ask(server.url, data)
        assert_refused(answer, route.dialect, 400)
        assert "Host" in answer.text


def test_http_1_0_knows_no_host(server: Server) -> None:
    assert ask(server.url, b"GET /health HTTP/1.0\r\n\r\n").status_code == 200
    assert ask(server.url, b"GET /health HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").status_code == 400


@pytest.mark.parametrize("codings", [b"gzip, chunked", b"deflate,chunked", b"gzip\r\nTransfer-Encoding: chunked"])
def test_a_transfer_coding_that_is_not_spoken_here_is_not_implemented(server: Server, key: str, codings: bytes) -> None:
    for ingest in INGEST:
        data = request("POST", ingest.path, key, b"", b"Transfer-Encoding: %b\r\n" % codings)
        answer = ask(server.url, data + b"0\r\n\r\n")
        assert answer.status_code == 501
        assert "Content-Encoding" in answer.text
        assert answer.headers["content-type"] == "application/json"


def test_a_content_length_over_the_limit_is_refused_before_all_of_the_body(server: Server, key: str) -> None:
    for ingest in INGEST:
        with Connection(server.url) as connection:
            lines = b"Content-Length: 10485761\r\n"
            connection.send(request("POST", ingest.path, key, b"", lines) + b" ")
            assert_refused(connection.answer(), ingest.dialect, 413)


@pytest.mark.parametrize(
    "line", [b"X-A: " + b"x" * 2**20, b"Authorization: Bearer " + b"x" * 2**20, b"X" * 2**20 + b": a"]
)
def test_a_head_without_end_is_refused_long_before_it_fills_the_memory(server: Server, line: bytes) -> None:
    with Connection(server.url) as connection:
        connection.send(b"POST /api/v1/events HTTP/1.1\r\n")
        with suppress(ConnectionError):
            for at in range(0, len(line), 65_536):
                connection.send(line[at : at + 65_536])
        answer = connection.rest()  # which a client that is still sending may miss
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


NO_HTTP = [b"x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\x00" * 100]


@pytest.mark.parametrize("data", NO_HTTP)
def test_what_is_no_http_is_refused_as_a_problem(server: Server, data: bytes) -> None:
    answer = ask(server.url, data)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status", "detail"}


@pytest.mark.parametrize("target", ["http://x", "http://[::1/api/v1/events", "http://x:99999999/api/v1/events"])
def test_a_target_without_a_path_is_refused(server: Server, key: str, target: str) -> None:
    with Connection(server.url) as connection:
        connection.send(request("GET", "/health", None) + request("OPTIONS", target, key))
        assert connection.answer().status_code == 200
        assert "target" in connection.answer().json()["detail"]
    answer = ask(server.url, request("OPTIONS", target, key))
    assert answer.status_code == 400
    assert "target" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["FOO", "get", "POST/", "PRI", "PURGE"])
def test_a_method_that_http_or_the_server_does_not_have_is_refused(server: Server, key: str, method: str) -> None:
    for route in EVERY:
        answer = ask(server.url, request(method, route.path, key))
        assert_refused(answer, route.dialect, 400)


@pytest.mark.parametrize("version", [b"", b" HTTP/0.9", b" HTTP/2.0", b" HTTP/1.2", b" HTTP/3", b" HTP/1.1"])
def test_a_version_of_http_that_is_not_spoken_here_is_refused(server: Server, key: str, version: bytes) -> None:
    for route in EVERY:
        data = request(route.method, route.path, key).replace(b" HTTP/1.1", version)
        answer = ask(server.url, data)
        assert_refused(answer, route.dialect, 400)


# Bodies that do not end

FULL: dict[str, bytes] = {
    "flux": b'{"name":"n"}',
    "bricqs": b'{"event_name":"n","participant_id":"p"}',
    "hogsend": b'{"name":"n","userId":"u"}',
}
SINGLE = [each for each in INGEST if not each.accepts_some]


@pytest.mark.parametrize("ingest", SINGLE, ids=str)
def test_a_chunk_that_is_broken_after_a_whole_event_stores_nothing(server: Server, key: str, ingest: Any) -> None:
    body = FULL[ingest.dialect]
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    head = request("POST", ingest.path, key, b"", b"Transfer-Encoding: chunked\r\n")
    answer = ask(server.url, head + chunk + b"no size\r\n")
    assert_refused(answer, ingest.dialect, 400)


@pytest.mark.parametrize("ingest", SINGLE, ids=str)
@pytest.mark.parametrize("lines", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_ends_early_with_a_whole_event_in_it_stores_nothing(
    server: Server, refuser: Client, key: str, ingest: Any, lines: bytes
) -> None:
    body = FULL[ingest.dialect]
    if b"chunked" in lines:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    with Connection(server.url) as connection:
        connection.send(request("POST", ingest.path, key, b"", lines) + body)
        connection.end_sending()
        answer = connection.rest()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


def test_a_refused_request_leaves_the_connection_usable(server: Server, key: str) -> None:
    with Connection(server.url) as connection:
        for route in READ:
            path = route.path.partition("?")[0]
            connection.send(request("POST", path + "/a/b/c", key, b"x" * 300_000))
            # A name of the catalogue may hold slashes, so there every path is one.
            assert_refused(connection.answer(), route.dialect, 405 if "/catalog" in path else 404)


@pytest.mark.parametrize("route", [route for route in EVERY if route.method == "POST"], ids=str)
def test_a_refused_request_says_so_before_its_large_body_is_parsed(
    refuser: Client, server: Server, route: Route
) -> None:
    with server.client() as nobody:
        response = send(nobody, route, content=b"[" * (5 * 1024 * 1024))
    assert_refused(response, route.dialect, 401)
