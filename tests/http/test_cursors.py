"""Cursors: each belongs to one list and its filters, and whatever a client makes up is refused or ignored, never a failure."""

import base64

import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.http.routes import assert_refused
from tests.http.test_rebuild import RULES, apply
from tests.server import Client

LISTS = (
    "catalog",
    "participants",
    "points",
    "points?participant=u1",
    "users",
    "users/u1/events",
    "users/u2/events",
    "webhooks",
    "webhooks/first/deliveries",
    "webhooks/second/deliveries",
    "keys",
    "audit",
    "erasures",
)


@pytest.fixture
def filled(client: Client, keys: Keys, project: str) -> Client:
    """Something on two pages of every list."""
    keys.create(project, "live", "flux", None, clock_ms())
    apply(client, RULES)
    for name in ("first", "second"):
        hook = {"id": name, "url": "https://hook.invalid/", "topics": ["points.changed"]}
        assert client.post("/api/v1/webhooks", json=hook).status_code == 201
    for user in ("u1", "u2", "u3"):
        client.post("/v1/identify", json={"userId": user, "traits": {"a": 1}})
        for name in ("order", "visit", "order"):
            client.post("/v1/track", json={"userId": user, "event": name})
    client.get("/api/v1/participants/u1")
    for name in ("first", "second"):
        for _ in range(2):
            assert client.post(f"/api/v1/webhooks/{name}/test").status_code == 202
    for user in ("gone1", "gone2"):
        client.post("/v1/track", json={"userId": user, "event": "visit"})
        assert client.delete(f"/api/v1/users/{user}").status_code == 202
    return client


def page(client: Client, listed: str, cursor: str = "") -> str:
    return f"/api/v1/{listed}{'&' if '?' in listed else '?'}limit=1{f'&cursor={cursor}' if cursor else ''}"


def test_a_cursor_continues_its_own_list_and_no_other(filled: Client) -> None:
    cursors = {listed: filled.get(page(filled, listed)).json()["meta"]["next_cursor"] for listed in LISTS}
    assert all(cursors.values()), cursors
    for listed in LISTS:
        for of, cursor in cursors.items():
            reply = filled.get(page(filled, listed, cursor))
            if of == listed:
                assert reply.status_code == 200, (listed, reply.text)
            else:
                assert_refused(reply, "native", 400)
                assert "another list" in reply.json()["detail"]


MADE_UP = (
    "",
    "0",
    "-1",
    "x",
    "\0",
    "'",
    "9" * 19,
    "9" * 20,
    "9" * 400,
    "1/" + "9" * 19,
    "9" * 19 + "/1",
    "1.2.3",
    "1:2:3",
    "\u0663",
    "a" * 40000,
)


def test_no_cursor_that_somebody_makes_up_makes_the_server_fail(filled: Client) -> None:
    """The binding is no secret: it stands in front of the place, and only the place is made up here."""
    for listed in LISTS:
        own = base64.urlsafe_b64decode(filled.get(page(filled, listed)).json()["meta"]["next_cursor"])
        for place in MADE_UP:
            cursor = base64.urlsafe_b64encode(own.partition(b".")[0] + b"." + place.encode()).decode()
            assert filled.get(page(filled, listed, cursor)).status_code in (200, 400), (listed, place[:30])
