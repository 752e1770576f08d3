"""CloudEvents over HTTP: on Flux's path, where OpenMeter's clients send them, and the handshake of webhooks."""

import json
from typing import Any

import httpx
import pytest

from tests.http.conftest import MakeServer
from tests.http.routes import assert_refused, stored
from tests.server import Client, Server

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "00001",
    "source": "service-0",
    "type": "request",
    "time": "2025-01-15T10:30:00Z",
    "subject": "customer-1",
    "data": {"method": "GET", "route": "/hello", "name": "not the event's"},
}
ATTRIBUTES = {f"ce-{name}": EVENT[name] for name in ("specversion", "id", "source", "type", "time", "subject")}
ONE = {"Content-Type": "application/cloudevents+json"}
MANY = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}


def send(client: Client, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    return client.post(path, content=json.dumps(body), headers=headers)


@pytest.mark.parametrize(
    ("body", "headers", "count"),
    [
        (EVENT, ONE, 1),
        (EVENT, {"Content-Type": "Application/CloudEvents+JSON; charset=UTF-8"}, 1),
        ([EVENT, EVENT | {"id": "2"}], MANY, 2),
        (EVENT["data"], ATTRIBUTES | {"Content-Type": "application/json"}, 1),
        (EVENT["data"], {name.upper(): value for name, value in ATTRIBUTES.items()}, 1),
        ([], MANY, 0),
    ],
    ids=["structured", "structured, in capitals", "batch", "binary", "binary without a type", "empty batch"],
)
def test_cloudevents_on_fluxs_path_are_stored_as_such_and_answered_as_openmeters_clients_expect(
    client: Client, body: Any, headers: dict[str, str], count: int
) -> None:
    for path in ("/api/v1/events", "/api/v1/events/"):  # the short way and the long one
        answer = send(client, path, body, headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "Content-Length" not in answer.headers
        assert "Content-Type" not in answer.headers
    rows = client.get("/api/v1/events").json()["data"]
    assert [(row["name"], row["user_id"]) for row in rows] == [("request", "customer-1")] * count
    for row in rows:
        assert client.get(f"/api/v1/events/{row['id']}").json()["data"]["source"] == "cloudevents"


def test_attributes_in_headers_are_unquoted_and_then_percent_decoded_once(client: Client) -> None:
    """HTTP protocol binding, section 3.1.3.2."""
    given = {"ce-subject": '"Euro \\"%E2%82%AC\\" %2541"', "ce-type": '"request"', "ce-note": 'a "b"'}
    assert send(client, "/v1/cloudevents", EVENT["data"], ATTRIBUTES | given).status_code == 202
    [row] = client.get("/api/v1/events").json()["data"]
    assert (row["name"], row["user_id"]) == ("request", 'Euro "\u20ac" %41')
    assert client.get(f"/api/v1/events/{row['id']}").json()["data"]["context"]["note"] == 'a "b"'


def test_a_flux_event_stays_one_whatever_it_calls_itself(client: Client) -> None:
    for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}, {"X-Ce-Id": "1"}):
        answer = send(client, "/api/v1/events", EVENT | {"name": "signup"}, headers)
        assert answer.status_code == 201
        assert answer.json()["data"]["name"] == "signup"


def test_a_bad_event_in_a_batch_on_fluxs_path_costs_no_other_and_is_no_plain_success(client: Client) -> None:
    answer = send(client, "/api/v1/events", [EVENT, {"id": "2"}, EVENT | {"id": "3"}], MANY)
    assert answer.status_code == 202
    assert (answer.json()["accepted"], [each["index"] for each in answer.json()["errors"]]) == (2, [1])
    assert stored(client) == 2


def test_refusals_on_fluxs_path_are_in_the_words_of_cloudevents(server: Server, client: Client) -> None:
    for body, headers in (({}, ONE), ([{}], MANY), (EVENT["data"], {"ce-id": "1"}), ("x", ONE)):
        refused = send(client, "/api/v1/events", body, headers)
        assert_refused(refused, "cloudevents", 400)
    with server.client() as nobody:
        assert_refused(send(nobody, "/api/v1/events", EVENT, ONE), "cloudevents", 401)
        assert_refused(send(nobody, "/api/v1/events", EVENT, {}), "flux", 401)
    assert stored(client) == 0


def test_cloudevents_on_fluxs_path_have_the_limit_of_cloudevents(make_server: MakeServer) -> None:
    limits = {"HEADRACE_RATE_LIMITS": "on", "HEADRACE_LIMIT_FLUX_SINGLE": "1", "HEADRACE_LIMIT_CLOUDEVENTS": "2"}
    server = make_server(limits)
    with server.client("secret") as client:
        for path in ("/api/v1/events", "/v1/cloudevents"):
            assert send(client, path, EVENT, ONE).status_code in (202, 204)
        assert_refused(send(client, "/api/v1/events", EVENT, ONE), "cloudevents", 429)
        assert send(client, "/api/v1/events", {"name": "n"}, {}).status_code == 201
        granted = client.options("/v1/cloudevents", headers={"WebHook-Request-Origin": "a.example"})
        assert granted.headers["WebHook-Allowed-Rate"] == "2"


def test_an_empty_batch_is_valid(client: Client) -> None:
    answer = send(client, "/v1/cloudevents", [], MANY)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "rejected": 0})


@pytest.mark.parametrize("body", [b'"hello"', b"hello"], ids=["quoted", "as the JavaScript SDK sends it"])
def test_data_may_be_a_bare_string(client: Client, body: bytes) -> None:
    headers = ATTRIBUTES | {"Content-Type": "application/json; charset=utf-8"}
    assert client.post("/v1/cloudevents", content=body, headers=headers).status_code == 202
    assert client.get("/api/v1/events").json()["data"][0]["properties"] == {"data": "hello"}


@pytest.mark.parametrize("path", ["/v1/cloudevents", "/api/v1/events"])
def test_whoever_asks_before_it_sends_webhooks_is_allowed(server: Server, path: str) -> None:
    with server.client() as nobody:
        asked = {"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "120"}
        answer = nobody.options(path, headers=asked | {"WebHook-Request-Callback": "http://127.0.0.1:9/called"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["WebHook-Allowed-Origin"] == "*"
        assert answer.headers["WebHook-Allowed-Rate"] == "*"
        assert "POST" in answer.headers["Allow"]


def test_elsewhere_nobody_is_allowed_to_send_webhooks(server: Server) -> None:
    with server.client() as nobody:
        for path, asked in (
            ("/v1/cloudevents", {}),
            ("/v1/cloudevents", {"WebHook-Request-Origin": ""}),
            ("/v1/batch", {"WebHook-Request-Origin": "a.example"}),
            ("/api/v1/events/batch", {"WebHook-Request-Origin": "a.example"}),
        ):
            answer = nobody.options(path, headers=asked)
            assert answer.status_code == 204
            assert "WebHook-Allowed-Origin" not in answer.headers
