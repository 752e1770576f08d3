"""How a request may come: keys, content types, encodings, slashes, CORS, and HTTP's own odd corners."""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.http import zstandard
from tests.http.raw import Connection, ask, request
from tests.http.routes import EVERY, INGEST, MINIMAL, Ingest, Route, send, stored
from tests.server import Client, Server

FLUX = "/api/v1/events"
HEALTH = b"GET /health HTTP/1.1\r\nHost: headrace\r\n\r\n"


def basic(user: str, password: str = "") -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture(scope="module")
def anonymous(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


# Keys


@pytest.mark.parametrize("route", EVERY, ids=str)
def test_every_route_takes_its_key_from_bearer_x_api_key_and_basic(
    server: Server, anonymous: Client, keys: Keys, project: str, route: Route
) -> None:
    _, secret = keys.create(project, "live", "flux", {route.scope}, clock_ms())
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"bEARER  {secret}"},
        {"X-API-Key": secret},
        {"x-api-key": secret},
        {"Authorization": basic(secret)},
        {"Authorization": basic(secret, "whatever")},
        {"authorization": basic(secret).replace("Basic", "basic")},
    ):
        assert send(anonymous, route, headers=headers).status_code == route.status


@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_a_route_that_takes_events_takes_the_key_from_the_query_too(
    anonymous: Client, client: Client, key: str, ingest: Ingest
) -> None:
    response = send(anonymous, ingest.route, params={"api_key": key, "other": "x"})
    assert response.status_code == ingest.route.status
    assert stored(client) == 1


def test_keys_are_taken_from_bearer_then_x_api_key_then_basic_then_the_query(
    server: Server, anonymous: Client, keys: Keys, project: str
) -> None:
    """Each place holds the key of a project of its own; the event shows up in the one that won."""
    owners = [f"{project}-{place}" for place in ("bearer", "header", "basic", "query")]
    bearer, header, user, query = (keys.create(owner, "live", "admin", None, clock_ms())[1] for owner in owners)
    requests: list[tuple[dict[str, str], str, str]] = [
        ({"Authorization": f"Bearer {bearer}", "X-API-Key": header}, query, bearer),
        ({"Authorization": basic(user), "X-API-Key": header}, query, header),
        ({"Authorization": basic(user)}, query, user),
        ({}, query, query),
        ({"Authorization": "Bearer ", "X-API-Key": " "}, query, query),
        ({"Authorization": "Digest x", "X-API-Key": header}, query, header),
    ]
    for number, (headers, in_query, winner) in enumerate(requests):
        name = f"event-{number}"
        raw = "".join(f"{field}: {value}\r\n" for field, value in headers.items()).encode()
        target = f"{FLUX}?api_key={in_query}"
        body = json.dumps({"name": name}).encode()
        assert ask(server.url, request("POST", target, None, body, raw)).status_code == 201
        with server.client(winner) as owner:
            assert owner.get(f"{FLUX}/count", params={"name": name}).json()["data"]["total"] == 1


def test_the_first_key_found_decides_even_if_it_does_not_work(anonymous: Client, key: str) -> None:
    for headers in (
        {"Authorization": "Bearer unknown", "X-API-Key": key},
        {"X-API-Key": "unknown", "Authorization": basic(key)},
    ):
        response = anonymous.post(f"{FLUX}?api_key={key}", json={"name": "n"}, headers=headers)
        assert response.status_code == 401


@pytest.mark.parametrize("style", ["flux", "bricqs", "solute", "admin"])
@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_a_key_of_any_style_works_with_every_dialect(
    server: Server, keys: Keys, project: str, style: Any, ingest: Ingest
) -> None:
    _, secret = keys.create(project, "live", style, None, clock_ms())
    with server.client(secret) as client:
        assert send(client, ingest.route).status_code == ingest.route.status


# Bodies


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "application/json; charset=utf-8", "text/plain", "text/plain;charset=UTF-8"),
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "x", ""),
        None,
    ],
)
def test_a_body_is_json_whatever_its_content_type_says(client: Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    for ingest in INGEST:
        body = json.dumps(ingest.route.body).encode()
        response = client.post(ingest.path, content=body, headers=headers)
        assert response.status_code == ingest.route.status
    assert stored(client) == len(INGEST)


def members(body: bytes) -> bytes:
    return b"".join(gzip.compress(body[at : at + 5]) for at in range(0, len(body), 5))


def raw_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


def zstd_frames(body: bytes) -> bytes:
    return zstandard.compress(body[:7]) + zstandard.compress(b"") + zstandard.compress(body[7:])


ENCODINGS = {
    "gzip": (gzip.compress, "gzip"),
    "GZIP": (gzip.compress, "GZIP"),
    "x-gzip": (gzip.compress, "x-gzip"),
    "gzip in many members": (members, "gzip"),
    "gzip by its first bytes": (gzip.compress, None),
    "gzip by its first bytes in many members": (members, None),
    "gzip although identity is said": (gzip.compress, "identity"),
    "identity": (bytes, "identity"),
    "an empty encoding": (bytes, ""),
    "deflate": (zlib.compress, "deflate"),
    "deflate without a header": (raw_deflate, "deflate"),
    "zstd": (zstandard.compress, "zstd"),
    "zstd in many frames": (zstd_frames, "zstd"),
}


@pytest.mark.parametrize(("encode", "name"), ENCODINGS.values(), ids=ENCODINGS.keys())
def test_a_body_is_inflated_as_its_encoding_says(client: Client, encode: Any, name: str | None) -> None:
    headers = {} if name is None else {"Content-Encoding": name}
    for ingest in INGEST:
        body = encode(json.dumps(ingest.route.body, indent=2).encode())
        response = client.post(ingest.path, content=body, headers=headers)
        assert response.status_code == ingest.route.status, response.text
    assert stored(client) == len(INGEST)


def test_a_byte_order_mark_is_skipped_also_in_an_encoding(client: Client) -> None:
    for ingest in INGEST:
        body = b"\xef\xbb\xbf" + json.dumps(ingest.route.body).encode()
        for content in (body, gzip.compress(body)):
            assert client.post(ingest.path, content=content).status_code == ingest.route.status
    assert stored(client) == 2 * len(INGEST) - 1  # Solute's has a messageId


def test_a_body_and_an_event_of_exactly_the_limits_are_taken(client: Client) -> None:
    body = b'{"name":"n"}'
    response = client.post(FLUX, content=body + b" " * (10 * 1024 * 1024 - len(body)))
    assert response.status_code == 201
    event = b'{"name":"n","properties":{"p":""}}'
    event = event[:-3] + b"x" * (256 * 1024 - len(event)) + event[-3:]
    assert len(event) == 256 * 1024
    assert client.post(FLUX, content=event).status_code == 201
    assert client.post(f"{FLUX}/batch", content=b"[%b]" % event).json()["data"]["accepted"] == 1


def test_null_counts_as_absent_in_every_optional_field(client: Client) -> None:
    optional = {
        "flux": [
            *("timestamp", "user_id", "value", "properties", "tags", "session_id", "environment"),
            *("service", "host", "request_id", "idempotency_key", "messageId"),
        ],
        "bricqs": ["properties", "timestamp", "idempotency_key"],
        "solute": [
            *("userId", "anonymousId", "event", "properties", "traits", "name", "category"),
            *("groupId", "previousId"),
        ],
        "hogsend": [
            *("email", "anonymousId", "eventProperties", "properties", "contactProperties", "lists"),
            *("idempotencyKey", "timestamp"),
        ],
    }
    for ingest in INGEST:
        event = MINIMAL[ingest.dialect] | dict.fromkeys(optional[ingest.dialect]) | {"unknown": None}
        response = client.post(ingest.path, content=ingest.wrap([json.dumps(event).encode()]))
        assert response.status_code == ingest.route.status
        assert "errors" not in response.text
    shown = [client.get(f"{FLUX}/{row['id']}").json()["data"] for row in client.get(FLUX).json()["data"]]
    assert len(shown) == len(INGEST)
    for event in shown:
        empty = ("value", "session_id", "group_id", "previous_id", "environment", "service", "host")
        assert [event[field] for field in empty] == [None] * 7
        assert event["properties"] == event["tags"] == event["traits"] == {}
        assert event["timestamp"] > "2025-01-15T10"


def test_unknown_fields_are_ignored_and_those_of_flux_are_kept(client: Client) -> None:
    kept = {"session_id": "s", "environment": "e", "service": "v", "host": "h"}
    event = {"name": "n", "request_id": "r", "id": "mine", "unknown": {"a": [1e999**0]}} | kept
    event_id = client.post(FLUX, json=event).json()["data"]["id"]
    shown = client.get(f"{FLUX}/{event_id}").json()["data"]
    assert {field: shown[field] for field in kept} == kept
    assert "unknown" not in shown
    for field, value in kept.items():
        assert client.get(FLUX, params={field: value}).json()["meta"]["total"] == 1
        assert client.get(FLUX, params={field: value + "x"}).json()["meta"]["total"] == 0


# Paths


@pytest.mark.parametrize("route", EVERY, ids=str)
def test_a_trailing_slash_is_the_same_route(client: Client, route: Route) -> None:
    with_slash = route._replace(path=route.path + "/")
    assert send(client, with_slash).status_code == route.status


def test_a_trailing_slash_before_the_query_is_the_same_route(client: Client) -> None:
    send(client, INGEST[0].route)
    assert client.get(f"{FLUX}/?name=n").json()["meta"]["total"] == 1


# CORS


@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_a_browser_may_send_events_from_anywhere(anonymous: Client, client: Client, ingest: Ingest) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-api-key",
    }
    for path in (ingest.path, ingest.path + "/"):
        response = anonymous.options(path, headers=origin | asked)
        assert response.status_code == 204
        assert response.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert "POST" in response.headers["Access-Control-Allow-Methods"].split(", ")
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(allowed) >= {"authorization", "content-type", "x-api-key", "idempotency-key"}
    for sender, body in ((client, ingest.route.body), (client, []), (anonymous, ingest.route.body)):
        response = sender.post(ingest.path, json=body, headers=origin)
        assert response.headers["Access-Control-Allow-Origin"] == origin["Origin"]


# HTTP


def test_a_body_in_chunks_is_read_to_its_end(client: Client) -> None:
    for ingest in INGEST:
        body = json.dumps(ingest.route.body).encode()
        pieces = (body[at : at + 1] for at in range(len(body)))
        assert client.post(ingest.path, content=pieces).status_code == ingest.route.status


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0", b"x"])
def test_an_upgrade_that_nobody_here_speaks_is_ignored(
    server: Server, client: Client, key: str, protocol: bytes
) -> None:
    """As Java's HttpClient and `curl --http2` offer it; the request has to be answered with its body."""
    lines = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % protocol
    with Connection(server.url) as connection:
        for number in range(3):
            body = b'{"name":"n%d","properties":{"p":"%b"}}' % (number, b"x" * 100_000 * number)
            connection.send(request("POST", FLUX, key, body, lines))
            answer = connection.answer()
            assert (answer.status_code, answer.json()["data"]["name"]) == (201, f"n{number}")
            connection.send(request("GET", f"{FLUX}/count", key, b"", lines))
            assert connection.answer().json() == {"data": {"total": number + 1}}


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(server: Server, key: str) -> None:
    body = b'{"name":"n"}'
    lines = b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(body)
    with Connection(server.url) as connection:
        connection.send(request("POST", FLUX, key, b"", lines))
        assert connection.answer().status_code == 100
        connection.send(body)
        assert connection.answer().status_code == 201


def test_requests_sent_without_waiting_are_answered_in_order(server: Server, key: str) -> None:
    with Connection(server.url) as connection:
        bodies = [b'{"name":"n%d"}' % number for number in range(50)]
        connection.send(b"".join(request("POST", FLUX, key, body) for body in bodies))
        names = [connection.answer().json()["data"]["name"] for _ in bodies]
    assert names == [f"n{number}" for number in range(50)]


def test_http_1_0_and_an_absolute_address_are_understood(server: Server, client: Client, key: str) -> None:
    body = b'{"name":"n"}'
    old = request("POST", FLUX, key, body).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert ask(server.url, old).status_code == 201
    assert ask(server.url, request("POST", f"{server.url}{FLUX}", key, body)).status_code == 201
    assert stored(client) == 2


@pytest.mark.parametrize(
    "route", [each for each in EVERY if each.method == "GET" and not each.path.endswith("/export")], ids=str
)
def test_head_is_answered_as_get_without_a_body(client: Client, route: Route) -> None:
    got, head = client.get(route.path), client.head(route.path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/docs", "/docs/start.js", "/openapi.json", "/metrics"])
def test_monitors_may_ask_with_head(server: Server, path: str) -> None:
    with Connection(server.url) as connection:
        for _ in range(2):
            connection.send(request("HEAD", path, None) + HEALTH)
            head = connection.answer_to_head()
            assert head.status_code == 200
            assert int(head.headers["content-length"]) > 0
            assert connection.answer().json() == {"status": "ok"}


def test_no_reply_is_taken_for_another_type_than_it_says(server: Server, client: Client, key: str) -> None:
    for path in ("/", "/health", "/docs", "/metrics", "/nowhere", "/api/x", *(each.path for each in EVERY)):
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            assert client.request(method, path).headers["X-Content-Type-Options"] == "nosniff"
    for refused in (b"garbage\r\n\r\n", request("GET", "/", None, b"", b"Host: second\r\n")):
        assert ask(server.url, refused).headers["x-content-type-options"] == "nosniff"


def test_the_server_itself_says_what_it_can(server: Server) -> None:
    with Connection(server.url) as connection:
        for _ in range(2):
            connection.send(request("OPTIONS", "*", None) + HEALTH)
            answer = connection.answer()
            assert answer.status_code in (200, 204)
            assert {"GET", "HEAD"} <= set(answer.headers["allow"].split(", "))
            assert connection.answer().json() == {"status": "ok"}
    assert ask(server.url, request("GET", "*", None)).status_code == 404


# Routes of our own


def test_the_first_page_leads_to_the_documentation(anonymous: Client) -> None:
    response = anonymous.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    links = re.findall(r' href="([^"]+)"', response.text)
    assert {"/console", "/docs"} <= set(links)
    for link in set(links) - {"/console"}:  # which tests/console opens
        assert anonymous.get(link).status_code == 200


def test_health_and_ready_need_no_key(anonymous: Client) -> None:
    assert anonymous.get("/health").json() == {"status": "ok"}
    assert anonymous.get("/ready").json() == {"status": "ready"}
    assert anonymous.get("/health/").status_code == 200


def metrics(client: Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_events_by_source_and_outcome(client: Client) -> None:
    before = metrics(client)
    page = MINIMAL["solute"]
    client.post("/api/events", json={"batch": [page, page, {}], "sentAt": "2025-01-15"})
    after = metrics(client)
    for outcome in ("accepted", "duplicate", "rejected"):
        name = f'headrace_events_total{{outcome="{outcome}",source="solute"}}'
        assert after[name] - before.get(name, 0) == 1


def test_an_event_whose_time_cannot_be_read_is_stored_and_told_of_in_a_metric_and_the_log(
    server: Server, client: Client
) -> None:
    before = metrics(client)
    event = {"type": "track", "event": "late", "userId": "u"}
    times = ["yesterday", "2024-01-15 10:30:00 +0100"]
    client.post("/v1/batch", json={"batch": [event | {"timestamp": each} for each in times]})
    rows = client.get("/api/v1/events?name=late").json()["data"]
    assert len(rows) == 2
    assert rows[1]["timestamp"] == "2024-01-15T09:30:00Z"
    name = 'headrace_event_warnings_total{source="segment"}'
    assert metrics(client)[name] - before.get(name, 0) == 1
    # Others have sent what is worth a warning, too.
    (line,) = server.said("events_taken_with_warnings", "'yesterday'")
    assert (line["source"], line["events"]) == ("segment", 1)


def test_metrics_name_routes_and_never_what_a_client_made_up(client: Client) -> None:
    client.get("/api/v1/events/evt_mine")
    client.get("/made/up")
    names = " ".join(metrics(client))
    assert 'route="/api/v1/events/{event_id}"' in names
    assert "evt_mine" not in names
    assert "made" not in names


def test_metrics_tell_what_to_watch(client: Client) -> None:
    names = metrics(client)
    for name in ("log_bytes", "intake_queue_bytes", "store_lag_seconds", "worker_failing", "dedup_window_seconds"):
        assert names[f"headrace_{name}"] >= 0
    assert names["headrace_worker_failing"] == 0


def test_the_openapi_document_describes_every_route(anonymous: Client) -> None:
    response = anonymous.get("/openapi.json")
    assert response.headers["Content-Type"] == "application/json"
    document = response.json()
    assert document["openapi"].startswith("3.1.")
    for route in EVERY:
        found = [
            path
            for path in document["paths"]
            if path == route.path.partition("?")[0] or ("{" in path and route.path.startswith(path.partition("{")[0]))
        ]
        assert any(route.method.lower() in document["paths"][path] for path in found), route


def test_the_viewer_needs_nothing_from_elsewhere(anonymous: Client) -> None:
    response = anonymous.get("/docs")
    assert response.headers["Content-Type"].startswith("text/html")
    page = response.text
    assert "http://" not in page
    assert "https://" not in page
    links = re.findall(r' (?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert anonymous.get(link).status_code == 200
