"""Points granted and deducted, levels, and badges taken back, over HTTP."""

from typing import Any

import pytest

from tests.http.routes import assert_refused
from tests.server import Client, Server

PATH = "/api/v1/participants/u%2F1/points"
RULES = {
    "badges": [{"id": "seen", "title": "Seen", "fact": "custom.visit", "count": 1, "points": 30}],
    "levels": [{"id": "bronze", "title": "Bronze", "points": 10}, {"id": "gold", "points": 100}],
}


@pytest.fixture
def club(client: Client) -> Client:
    """`u/1` has visited: 30 points and a badge."""
    assert client.put("/api/v1/rules", json=RULES).status_code == 200
    assert client.post("/api/v1/events", json={"name": "visit", "user_id": "u/1"}).status_code == 201
    return client


def one(client: Client) -> dict[str, Any]:
    return client.get("/api/v1/participants/u%2F1").json()["data"]


def test_points_are_granted_and_deducted_once_for_each_key(club: Client) -> None:
    first = club.post(PATH, json={"points": 80, "reason": "a competition", "key": "k1"})
    assert (first.status_code, first.json()["data"]) == (
        201,
        {"participant": "u/1", "points": 80, "reason": "a competition", "balance": 110, "repeated": False},
    )
    second = club.post(PATH, json={"points": -20}, headers={"Idempotency-Key": "k2"})
    assert (second.status_code, second.json()["data"]["balance"]) == (201, 90)
    again = club.post(PATH, json={"points": 80, "reason": "a competition"}, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["data"]["balance"], again.json()["data"]["repeated"]) == (200, 110, True)
    assert one(club)["points"]["balance"] == 90
    entries = [(each["entry"], each["points"], each["reason"]) for each in one(club)["points"]["ledger"]]
    assert sorted(entries) == [("earned", 30, None), ("granted", -20, None), ("granted", 80, "a competition")]


def test_a_balance_never_falls_below_zero_unless_that_is_allowed(club: Client) -> None:
    refused = club.post(PATH, json={"points": -31, "key": "k"})
    assert refused.status_code == 409
    assert "has 30 points, so 31 cannot be deducted" in refused.json()["detail"]
    allowed = club.post(PATH, json={"points": -31, "key": "k", "allow_negative": True})
    assert (allowed.status_code, allowed.json()["data"]["balance"]) == (201, -1)
    assert club.post(PATH, json={"points": -30, "key": "k", "allow_negative": True}).status_code == 409
    assert (one(club)["level"], one(club)["next_level"]["missing"]) == (None, 11)


def test_levels_follow_the_balance_up_and_down(club: Client) -> None:
    bronze = {"id": "bronze", "title": "Bronze", "points": 10}
    gold = {"id": "gold", "title": "", "points": 100}
    assert (one(club)["level"], one(club)["next_level"]) == (bronze, gold | {"missing": 70})
    club.post(PATH, json={"points": 70, "key": "up"})
    assert (one(club)["level"], one(club)["next_level"]) == (gold, None)
    club.post(PATH, json={"points": -1, "key": "down"})
    assert one(club)["level"] == bronze


def test_a_badge_is_taken_back_with_a_reason(club: Client) -> None:
    path = "/api/v1/badges/seen/revocations"
    body = {"participant": "u/1", "reason": "it was a robot"}
    [award] = one(club)["badges"]
    taken = club.post(path, json=body)
    assert taken.status_code == 201
    assert {key: taken.json()["data"][key] for key in ("badge", "participant", "event_id", "reason")} == {
        "badge": "seen",
        "event_id": award["event_id"],
    } | body
    assert club.post(path, json=body | {"reason": "again"}).json()["data"] == taken.json()["data"]
    assert club.get(path).json()["data"] == [taken.json()["data"]]
    club.post("/api/v1/events", json={"name": "visit", "user_id": "u/1"})
    assert (one(club)["badges"], one(club)["points"]["balance"]) == ([], 30)
    assert_refused(club.post(path, json=body | {"participant": "nobody"}), "native", 404)
    assert_refused(club.post("/api/v1/badges/none/revocations", json=body), "native", 404)


@pytest.mark.parametrize(
    "body",
    [
        {"points": 5},
        {"points": 0, "key": "k"},
        {"points": 1.5, "key": "k"},
        {"points": "5", "key": "k"},
        {"points": 10**9 + 1, "key": "k"},
        {"key": "k"},
        {"points": 5, "key": ""},
        {"points": 5, "key": "k" * 256},
        {"points": 5, "key": "k", "reason": "x" * 501},
        {"points": 5, "key": "k", "participant": "v"},
        {"points": 5, "key": "k", "allow_negative": "yes"},
        [],
        None,
    ],
)
def test_a_grant_that_is_not_clear_is_refused_and_changes_nothing(club: Client, body: Any) -> None:
    assert_refused(club.post(PATH, json=body), "native", 400)
    assert one(club)["points"]["balance"] == 30


@pytest.mark.parametrize("body", [{}, {"participant": "u/1"}, {"participant": "u/1", "reason": ""}, {"reason": "x"}, 5])
def test_a_badge_is_not_taken_back_without_a_participant_and_a_reason(club: Client, body: Any) -> None:
    assert_refused(club.post("/api/v1/badges/seen/revocations", json=body), "native", 400)


def test_an_id_that_ends_in_points_is_not_the_path_that_grants_points(club: Client) -> None:
    for path in ("/api/v1/participants/u", "/api/v1/participants/u%2Fpoints"):
        reply = club.post(path, json={"points": 5, "key": "k"})
        assert_refused(reply, "native", 405)
        assert reply.headers["allow"] == "GET, HEAD, OPTIONS"


def test_an_id_has_its_slashes_escaped(club: Client) -> None:
    grant = {"points": 5, "key": "k"}
    assert_refused(club.post("/api/v1/participants/u/1/points", json=grant), "native", 404)
    assert_refused(club.get("/api/v1/participants/u/1"), "native", 404)
    assert club.post("/api/v1/participants/u%2F1%2F/points", json=grant).status_code == 201
    assert club.get("/api/v1/participants/u%2F1%2F").json()["data"]["points"]["balance"] == 5


def test_two_keys_are_one_too_many(club: Client) -> None:
    reply = club.post(PATH, json={"points": 5, "key": "a"}, headers={"Idempotency-Key": "b"})
    assert_refused(reply, "native", 400)


def test_only_admins_grant_and_take_back(club: Client, server: Server, project: str) -> None:
    with server.client(server.key(project, style="flux")) as reader:
        assert_refused(reader.post(PATH, json={"points": 5, "key": "k"}), "native", 403)
        assert_refused(reader.post("/api/v1/badges/seen/revocations", json={}), "native", 403)
        assert reader.get("/api/v1/badges/seen/revocations").status_code == 200
