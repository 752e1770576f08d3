"""What a page in a browser needs of every route that takes events, and publishable keys."""

import json
from collections.abc import Iterator

import httpx
import pytest

from headrace.dialects.route import Ingest as Takes
from headrace.dialects.table import DIALECTS
from headrace.model.errors import InvalidRequest
from headrace.model.keys import parse_origins
from tests.http.routes import INGEST, Ingest, assert_refused, stored
from tests.server import Client, Server

PAGE = "https://app.example"
ROUTES = [route for dialect in DIALECTS for route in dialect.routes if isinstance(route.does, Takes)]
ALL_PATHS = sorted({route.path for route in ROUTES})
PATHS = sorted({route.path for route in ROUTES if route.method == "POST"})  # those of images: test_pixels.py


def assert_shown_to_the_page(response: httpx.Response) -> None:
    """A browser shows a page the reply, also to a request with credentials, and keeps it for no other page."""
    assert response.headers["Access-Control-Allow-Origin"] == response.request.headers.get("Origin", "*")
    assert response.headers.get("Access-Control-Allow-Credentials") == (
        "true" if "Origin" in response.request.headers else None
    )
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ALL_PATHS)
def test_a_preflight_allows_whatever_headers_an_sdk_sends(server: Server, path: str) -> None:
    asked = "anonymousid,content-encoding,ce-id, X-Client-Version ,b@d,"
    with server.client() as nobody:
        response = nobody.options(
            path,
            headers={
                "Origin": PAGE,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": asked,
            },
        )
    assert response.status_code == 204
    assert_shown_to_the_page(response)
    allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
    assert set(allowed) >= {"authorization", "content-type", "x-api-key", "anonymousid", "content-encoding", "ce-id"}
    assert "x-client-version" in allowed
    assert "b@d" not in allowed


@pytest.mark.parametrize("path", PATHS)
def test_a_publishable_key_works_on_its_own_pages_alone(server: Server, project: str, path: str) -> None:
    key = server.key(project, style="publishable", origins=parse_origins(f"{PAGE},https://*.b.example"))
    with server.client(key) as page:
        for origin in (PAGE, "https://x.b.example", "https://X.y.b.example"):
            allowed = page.post(path, json={"nothing": "that any dialect takes"}, headers={"Origin": origin})
            assert allowed.status_code != 403, allowed.text
            assert_shown_to_the_page(allowed)
        for origin in (
            *("https://evil.example", "http://app.example", "https://app.example:444", "https://app.example.evil"),
            *("https://b.example", "https://xb.example", "null", "", "https://x.b.example.evil"),
        ):
            refused = page.post(path, json={}, headers={"Origin": origin} if origin else {})
            assert refused.status_code == 403, (origin, refused.text)  # the client holds its shape against the document
            assert_shown_to_the_page(refused)  # or it could not read why
            assert PAGE in refused.text


def test_a_publishable_key_reads_nothing(server: Server, project: str) -> None:
    with server.client(server.key(project, style="publishable")) as page:
        assert page.post("/api/v1/events", json={"name": "n"}).status_code == 201
        assert_refused(page.get("/api/v1/events"), "flux", 403)
        assert_refused(page.get("/v1/admin/events"), "hogsend", 403)
        assert_refused(page.get("/api/v1/metrics"), "flux", 403)


def test_a_key_without_origins_asks_nobody_where_they_come_from(server: Server, project: str) -> None:
    with server.client(server.key(project, style="publishable")) as page:
        for headers in ({}, {"Origin": "https://anywhere.example"}, {"Origin": "null"}):
            assert page.post("/api/v1/events", json={"name": "n"}, headers=headers).status_code == 201


@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_a_beacon_is_taken_with_its_key_in_the_query(
    server: Server, project: str, client: Client, ingest: Ingest
) -> None:
    """navigator.sendBeacon sets no header and, so that no preflight is needed, labels JSON as text/plain."""
    key = server.key(project, style="publishable", origins=(PAGE,))
    body = json.dumps(ingest.route.body).encode()
    with server.client() as page:
        headers = {"Origin": PAGE, "Content-Type": "text/plain;charset=UTF-8"}
        response = page.post(ingest.path, params={"api_key": key}, content=body, headers=headers)
    assert response.status_code == ingest.route.status
    assert stored(client) == 1


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://app.example", ("https://app.example",)),
        ("HTTPS://App.Example/", ("https://app.example",)),
        ("https://app.example:443,http://app.example:80", ("https://app.example", "http://app.example")),
        ("http://localhost:3000, http://[::1]:8080", ("http://localhost:3000", "http://[::1]:8080")),
        ("https://*.app.example", ("https://*.app.example",)),
        ("https://a.example,https://a.example", ("https://a.example",)),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, origins: tuple[str, ...]) -> None:
    assert parse_origins(text) == origins


@pytest.mark.parametrize(
    "text",
    [
        *("", " , ", "app.example", "*", "https://*", "https://", "ftp://a.example", "https://a.example/path"),
        *("https://a b", "https://u@a.example", "https://a.*.example", "null", "https://a.example?x"),
        ",".join(f"http://h{number}" for number in range(51)),
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_origins(text)


# Too large, and too often


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits: one request a minute, and 2000 bytes."""
    small = {"HEADRACE_MAX_REQUEST_BYTES": "2000"}
    rare = {f"HEADRACE_LIMIT_{route.limit.upper()}": "1" for route in ROUTES}
    server = Server(tmp_path_factory.mktemp("strict"), small | rare | {"HEADRACE_RATE_LIMITS": "on"}).start()
    yield server
    assert server.stop() == 0


POSTHOG = ("/batch", "/e", "/i/v0/e", "/i/v0/ai/batch", "/capture")


@pytest.mark.parametrize("path", PATHS)
def test_every_413_names_limit_and_size_and_every_429_says_when_to_come_back(strict: Server, path: str) -> None:
    with strict.client(strict.key()) as client:
        large = client.post(path, content=b"x" * 2001)
        assert large.status_code == 413
        assert "2000" in large.text
        assert "2001" in large.text
        client.post(path, content=b"{}")  # where the body says which limit it is, the large one did not count
        again = client.post(path, content=b"{}")
        assert again.status_code == (503 if path in POSTHOG else 429), "posthog-js drops what is answered 429"
        assert int(again.headers["Retry-After"]) >= 1
        assert "retry-after" in again.headers["Access-Control-Expose-Headers"]


# Batches that are nothing but an array.
ARRAYS = ("/track", "/import", "/v1/cloudevents")


def items(path: str) -> list[dict[str, object]]:
    """A good item, and one of more than 256 KiB: each in the words of all dialects."""
    usual: dict[str, object] = {
        "specversion": "1.0",
        "id": "1",
        "source": "/shop",
        "event_type": "n",
        "user_id": "u",
        "name": "n",
        "type": "track",
        "event": "n",
        "event_name": "n",
        "userId": "u",
        "distinct_id": "u",
        "context": {},
    }
    usual |= {"participant_id": "p", "timestamp": "2025-01-15T10:30:00Z", "messageId": "m"}
    if "metrics" in path:
        usual |= {"type": "gauge", "value": 1}
    return [usual, usual | {"messageId": "m2", "properties": {"p": "x" * 300_000}}]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/events/batch",
        "/api/v1/metrics/batch",
        "/api/v1/ingest/events/batch",
        "/api/events",
        "/api/v1/flux/batch",
        "/v1/batch",
        "/batch",
        "/track?verbose=1",
        "/import?strict=0",
        "/v1/cloudevents",
    ],
)
def test_an_item_too_large_is_named_by_its_index_with_its_size_and_the_limit(client: Client, path: str) -> None:
    both = items(path)
    size = len(compact(both[1]))
    body = {"events": both, "metrics": both, "batch": both, "sentAt": "2025-01-15"}
    if "flux" in path:
        del body["metrics"]
    if path == "/v1/batch":  # three copies would be too large together
        body = {"batch": both}
    response = client.post(path, content=compact(both if path.startswith(ARRAYS) else body))
    assert response.status_code < 300, response.text
    [error] = _errors(response)
    assert "1" in str(error.get("index", error))
    assert str(size) in str(error)
    assert "262144" in str(error)


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/ingest/events", "/api/v1/metrics", "/v1/events"])
def test_a_single_event_too_large_gets_413_with_its_size_and_the_limit(client: Client, path: str) -> None:
    event = items(path)[1]
    response = client.post(path, json=event)
    assert response.status_code == 413
    assert "262144" in response.text
    assert str(len(response.request.content)) in response.text


def test_amplitudes_sdks_are_told_which_events_to_leave_out_and_which_limit_the_first_is_over(client: Client) -> None:
    both = items("/2/httpapi")
    response = client.post("/2/httpapi", content=compact({"events": [*both, both[1]]}))
    assert response.status_code == 400, "on 413 they would send the same again in halves"
    assert response.json()["events_with_invalid_fields"] == {"event": [1, 2]}
    for part in ("event 1:", str(len(compact(both[1]))), "262144"):
        assert part in response.json()["error"]
    assert stored(client) == 0


@pytest.mark.parametrize(
    "path", ["/2/httpapi", "/track", "/import", "/engage", "/groups", "/capture", "/v1/cloudevents"]
)
def test_events_all_too_large_get_413_with_the_index_the_size_and_the_limit(client: Client, path: str) -> None:
    event = items(path)[1]
    response = client.post(path, content=compact({"events": [event]} if path == "/2/httpapi" else [event]))
    assert response.status_code == 413
    for part in ("vent 0:", str(len(compact(event))), "262144"):
        assert part in response.text


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _errors(response: httpx.Response) -> list[dict[str, object]]:
    document = response.json()
    document = document.get("data", document)
    return document["errors" if "errors" in document else "failed_records"]


def test_a_script_element_may_ask_for_an_sdks_configuration_and_a_strange_page_may_not(
    server: Server, project: str
) -> None:
    key = server.key(project, style="publishable", origins=(PAGE,))
    with server.client() as page:
        for path in (f"/array/{key}/config.js", f"/v1/projects/{key}/settings", f"/api/feature-flags?api_key={key}"):
            assert page.get(path).status_code == 200
            assert page.get(path, headers={"Origin": "https://evil.example"}).status_code == 403
