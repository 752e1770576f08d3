"""Log shippers: newline-delimited JSON on Flux's batch route and on the native one."""

import gzip
import json

import pytest

from tests.http.conftest import MakeServer
from tests.http.routes import assert_refused, stored
from tests.server import Client, Server

LINES = b'{"name":"a","message":"m"}\n{"name":"b","message":"\\ud83d"}\nnot json\n'
HEADERS = {"Content-Type": "application/x-ndjson"}
PATHS = pytest.mark.parametrize("path", ["/api/v1/events/batch", "/api/v1/lines"])


@PATHS
def test_each_line_is_an_event_and_a_bad_one_costs_no_other(client: Client, path: str) -> None:
    for content, headers in (
        (LINES, HEADERS),
        (gzip.compress(LINES), HEADERS | {"Content-Encoding": "gzip"}),
        (LINES, {"Content-Type": "application/x-www-form-urlencoded"}),
        (LINES, {}),
    ):
        answer = client.post(path, content=content, headers=headers)
        assert answer.status_code == 201
        data = answer.json()["data"]
        assert (data["accepted"], data["rejected"]) == (2, 1)
        assert [each["index"] for each in data["errors"]] == [2]
    assert stored(client) == 8


def test_native_lines_are_found_by_what_they_hold(client: Client) -> None:
    sent = [
        {"timestamp": "2025-01-15T10:30:00.123456Z", "host": "web-1", "level": "error", "message": "timed out"},
        {"timestamp": 1736937001.25, "log": "GET /", "name": "access", "tags": {"env": "prod"}},
    ]
    body = "\n".join(map(json.dumps, sent))
    assert client.post("/api/v1/lines?name=log.line", content=body, headers=HEADERS).status_code == 201
    listed = client.get("/api/v1/events?host=web-1&properties[level]=error").json()["data"]
    assert [(row["name"], row["timestamp"]) for row in listed] == [("log.line", "2025-01-15T10:30:00.123Z")]
    assert client.get("/api/v1/events?name=access").json()["data"][0]["timestamp"] == "2025-01-15T10:30:01.250Z"
    event = client.get(f"/api/v1/events/{listed[0]['id']}").json()["data"]
    assert (event["source"], event["host"]) == ("native", "web-1")
    sources = client.get("/v1/admin/events/sources").json()["sources"]
    assert [(each["name"], each["kind"]) for each in sources] == [("native", "builtin")]


def test_lines_of_which_none_can_be_accepted_are_refused_as_a_problem(client: Client) -> None:
    for content in (b"", b"\n\n", b"not json\n", b'{"message":"no name"}\n', b"[]", b"7\n8\n"):
        assert_refused(client.post("/api/v1/lines", content=content, headers=HEADERS), "native", 400)
    too_many = client.post("/api/v1/lines", content=b"{}\n" * 50_001, headers=HEADERS)
    assert_refused(too_many, "native", 413)
    assert stored(client) == 0


@PATHS
def test_many_lines_at_once_are_stored_in_their_order(client: Client, path: str) -> None:
    body = b"".join(b'{"name":"e%d"}\n' % number for number in range(6000))
    answer = client.post(path, content=body, headers=HEADERS)
    assert answer.json() == {"data": {"accepted": 6000, "rejected": 0}}
    assert stored(client) == 6000
    newest = client.get("/api/v1/events?limit=2").json()["data"]
    assert [row["name"] for row in newest] == ["e5999", "e5998"]


def test_lines_are_not_under_the_limit_of_fluxs_batches_but_under_their_own(make_server: MakeServer) -> None:
    limits = {"HEADRACE_RATE_LIMITS": "on", "HEADRACE_LIMIT_FLUX_BATCH": "1", "HEADRACE_LIMIT_LINES": "3"}
    server = make_server(limits)
    with server.client("secret") as client:
        batch = {"events": [{"name": "n"}]}
        assert client.post("/api/v1/events/batch", json=batch).status_code == 201
        assert_refused(client.post("/api/v1/events/batch", json=batch), "flux", 429)
        for path in ("/api/v1/events/batch", "/api/v1/lines", "/api/v1/events/batch"):
            assert client.post(path, content=b'{"name":"n"}\n', headers=HEADERS).status_code == 201
        assert_refused(client.post("/api/v1/events/batch", content=b"{}", headers=HEADERS), "flux", 429)
        assert_refused(client.post("/api/v1/lines", content=b"{}", headers=HEADERS), "native", 429)


def test_a_repeat_of_lines_under_one_header_key_is_stored_once(client: Client) -> None:
    headers = HEADERS | {"Idempotency-Key": "ship-1"}
    for _ in range(3):
        assert client.post("/api/v1/lines", content=b'{"name":"a"}\n{"name":"b"}\n', headers=headers).status_code == 201
    assert stored(client) == 2


def test_lines_need_a_key_that_may_send(server: Server, project: str) -> None:
    with server.client() as nobody:
        assert_refused(nobody.post("/api/v1/lines", content=LINES, headers=HEADERS), "native", 401)
