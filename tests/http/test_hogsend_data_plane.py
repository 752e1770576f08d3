"""Hogsend's POST /v1/events and Solute's feature flags: what their clients ask for beside what the documents show."""

from typing import Any

import pytest

from tests.http.routes import assert_refused, stored
from tests.server import Client, Server

EVENTS = "/v1/events"


def test_the_pages_example_is_stored_with_who_and_what_apart(client: Client) -> None:
    body = {
        "name": "signup",
        "email": " Ada@Example.com ",
        "userId": "user_123",
        "eventProperties": {"source": "web"},
        "contactProperties": {"plan": "pro"},
        "lists": {"product-updates": True},
        "idempotencyKey": "evt_signup_user_123",
        "timestamp": "2026-01-15T10:30:00.000Z",
    }
    response = client.post(EVENTS, json=body)
    assert response.status_code == 202
    reply = response.json()
    assert "listsError" in reply
    assert (reply["stored"], reply["exits"], reply["contactKey"]) == (True, [], "user_123")
    [row] = client.get("/v1/admin/events").json()["events"]
    assert (row["userId"], row["event"], row["properties"]) == ("user_123", "signup", {"source": "web"})
    assert row["occurredAt"] == "2026-01-15T10:30:00.000Z"
    whole = client.get(f"/api/v1/events/{row['id']}").json()["data"]
    assert (whole["traits"], whole["source"]) == ({"plan": "pro", "email": "ada@example.com"}, "hogsend")
    assert whole["context"] == {"lists": {"product-updates": True}}


def test_a_repeat_is_not_stored_again_and_the_header_wins(client: Client) -> None:
    event = {"name": "signup", "userId": "u", "idempotencyKey": "k"}
    replies = [
        client.post(EVENTS, json=event).json()["stored"],
        client.post(EVENTS, json=event).json()["stored"],
        client.post(EVENTS, json=event, headers={"Idempotency-Key": "other"}).json()["stored"],
        client.post(EVENTS, json=event | {"idempotencyKey": "other"}).json()["stored"],
    ]
    assert replies == [True, False, True, False]
    assert stored(client) == 2


@pytest.mark.parametrize(
    ("who", "key"),
    [
        ({"email": "Ada@example.com"}, "ada@example.com"),
        ({"userId": "u", "email": "ada@example.com"}, "u"),
        ({"anonymousId": "a"}, "a"),
        ({"userId": "u", "anonymousId": "a"}, "u"),
    ],
)
def test_the_contact_key_finds_the_event_again(client: Client, who: dict[str, str], key: str) -> None:
    assert client.post(EVENTS, json={"name": "n"} | who).json() == {"stored": True, "exits": [], "contactKey": key}
    assert client.get("/v1/admin/events", params={"userId": key}).json()["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"userId": "u"},
        {"name": " ", "userId": "u"},
        {"name": "n"},
        {"name": "n", "email": ""},
        {"name": "n", "userId": 5},
        {"name": "n", "userId": "u", "eventProperties": [1]},
        {"name": "n", "userId": "u", "lists": [1]},
        {"name": "n", "userId": "u", "timestamp": "soon"},
        [],
    ],
)
def test_a_bad_event_is_refused(client: Client, body: Any) -> None:
    assert_refused(client.post(EVENTS, json=body), "hogsend", 400)
    assert stored(client) == 0


def test_feature_flags_are_an_empty_valid_set(server: Server, project: str) -> None:
    with server.client(server.key(project, style="solute")) as client:
        reply = client.get("/api/feature-flags", params={"userId": "u", "anonymousId": "a"})
        assert reply.status_code == 200
        assert reply.json().keys() == {"flags", "experiments", "timestamp"}
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
    with server.client() as nobody:
        assert_refused(nobody.get("/api/feature-flags"), "solute", 401)
