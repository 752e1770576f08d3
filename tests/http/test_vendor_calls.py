"""Solute's calls outside its batches, and Jitsu's routes: what is theirs alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.routes import assert_refused, stored
from tests.server import Client, Server

T = "2025-01-15T10:30:00Z"
CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "identify": ({"userId": "u", "traits": {"plan": "pro"}, "timestamp": T}, {"userId": "u"}, "user.identified"),
    "group": (
        {"groupId": "g", "userId": "u", "traits": {"n": 1}, "timestamp": T},
        {"groupId": "g"},
        "group.identified",
    ),
    "alias": (
        {"userId": "u", "previousId": "a", "timestamp": T},
        {"userId": "u", "previousId": "a"},
        "user.aliased",
    ),
}
EACH = pytest.mark.parametrize("call", CALLS)


@pytest.fixture(scope="module")
def nobody(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


@EACH
def test_a_call_is_the_event_that_it_is_in_a_batch(client: Client, call: str) -> None:
    body, ids, name = CALLS[call]
    answer = client.post(f"/api/{call}", json=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True} | ids)
    batch = {"batch": [body | {"type": call, "messageId": "m", "context": {}}], "sentAt": T}
    assert client.post("/api/events", json=batch).json()["processed"] == 1
    alone, batched = (
        client.get(f"/api/v1/events/{row['id']}").json()["data"] for row in client.get("/api/v1/events").json()["data"]
    )
    differ = ("id", "received_at", "message_id", "sent_at", "context")
    assert {k: v for k, v in alone.items() if k not in differ} == {k: v for k, v in batched.items() if k not in differ}
    assert alone["name"] == name


@EACH
@pytest.mark.parametrize("by", ["messageId", "header"])
def test_a_repeated_call_is_stored_once_and_answered_with_what_is_stored(client: Client, call: str, by: str) -> None:
    body, ids, _ = CALLS[call]
    key = {"messageId": "m1"} if by == "messageId" else {}
    headers = {"Idempotency-Key": "k1"} if by == "header" else {}
    first = client.post(f"/api/{call}", json=body | key, headers=headers)
    other = body | key | dict.fromkeys(ids, "other")
    assert client.post(f"/api/{call}", json=other, headers=headers).json() == first.json()
    assert stored(client) == 1


def test_one_key_for_two_calls_is_no_repeat(client: Client) -> None:
    for _ in range(2):
        for call, (body, ids, _name) in CALLS.items():
            answer = client.post(f"/api/{call}", json=body, headers={"Idempotency-Key": "k1"})
            assert answer.json() == {"success": True} | ids
    assert stored(client) == 3


def test_a_message_id_that_another_call_has_had_is_answered_with_what_is_stored(client: Client) -> None:
    client.post("/api/identify", json=CALLS["identify"][0] | {"messageId": "m1"})
    answer = client.post("/api/group", json=CALLS["group"][0] | {"messageId": "m1"})
    assert answer.json() == {"success": True, "groupId": None}
    assert stored(client) == 1


@EACH
def test_a_call_that_lacks_something_is_refused_and_says_what(client: Client, call: str) -> None:
    body, ids, _ = CALLS[call]
    for field in (*ids, "timestamp"):
        for value in (None, "", 7) if field != "timestamp" else (None, "soon", 7):
            refused = client.post(f"/api/{call}", json=body | {field: value})
            assert_refused(refused, "solute", 400)
            assert field in refused.text
    for content in (b"", b"[]", b"{", b'"x"', b"\xff"):
        assert_refused(client.post(f"/api/{call}", content=content), "solute", 400)
    assert stored(client) == 0


# Jitsu

TRACK = {"type": "track", "event": "Signed Up", "anonymousId": "a", "messageId": "m"}


@pytest.mark.parametrize("path", ["/api/s/track", "/api/s/s2s/track", "/api/s/event", "/api/s/s2s/event"])
def test_jitsus_write_key_may_be_in_its_header_with_or_without_a_secret(
    nobody: Client, client: Client, key: str, path: str
) -> None:
    for number, value in enumerate((key, f"{key}:secret", f"{key} :x")):
        body = TRACK | {"messageId": str(number)}
        assert nobody.post(path, json=body, headers={"X-Write-Key": value}).json() == {"ok": True}
    assert nobody.post(path, json=TRACK | {"writeKey": f"{key}:secret"}).json() == {"ok": True}
    assert nobody.post(path, json=TRACK, auth=(key, "secret")).json() == {"ok": True}
    for headers in ({}, {"X-Write-Key": "unknown:secret"}, {"X-Write-Key": ":secret"}, {"X-Write-Key": ""}):
        assert_refused(nobody.post(path, json=TRACK, headers=headers), "segment", 401)
    assert stored(client) == 4  # the last two are one event


def test_no_other_route_looks_at_that_header(nobody: Client, key: str) -> None:
    for path in ("/v1/track", "/v1/batch", "/api/v1/events", "/api/events"):
        assert nobody.post(path, json=TRACK, headers={"X-Write-Key": key}).status_code == 401


def test_jitsus_pixel_may_have_a_key_with_a_secret(nobody: Client, client: Client, key: str) -> None:
    query = f"event=Opened&anonymousId=a&writeKey={key}:secret"
    assert nobody.get(f"/api/px/track?{query}").headers["Content-Type"] == "image/gif"
    assert stored(client) == 1


def test_jitsus_batch_says_how_many_it_took(client: Client) -> None:
    answer = client.post("/api/s/s2s/batch", json={"batch": [TRACK, {"type": "track"}, TRACK | {"messageId": "2"}]})
    assert (answer.json()["receivedEvents"], answer.json()["okEvents"]) == (3, 2)
    assert [each["index"] for each in answer.json()["errors"]] == [1]
    assert stored(client) == 2
