"""Participants, the ledger and leaderboards over HTTP: pages, ranks, neighbours, and whose they are."""

from typing import Any

import pytest

from tests.http.routes import assert_refused
from tests.server import Client, Server

RULES = {
    "facts": [{"id": "buy", "event": "order", "fact_type": "purchase", "points": 10}],
    "challenges": [{"id": "often", "fact": "purchase", "goal": 1, "repeat": True}],
}


@pytest.fixture
def shop(client: Client) -> Client:
    """Points of four users: 30, 10, 10 and 10, one of them long ago."""
    assert client.put("/api/v1/rules", json=RULES).status_code == 200
    days = [("ann", 1), ("ann", 2), ("ann", 3), ("bob/ é", 3), ("cid", 4), ("dan", 1)]
    body = [{"name": "order", "user_id": user, "timestamp": f"2025-01-0{day}"} for user, day in days]
    assert client.post("/api/v1/events/batch", json=body).status_code == 201
    return client


def ranks(client: Client, path: str, **params: Any) -> list[tuple[int, str]]:
    return [(row["rank"], row["participant"]) for row in client.get(path, params=params).json()["data"]]


@pytest.mark.parametrize("path", ["/api/v1/points/leaderboard", "/api/v1/challenges/often/leaderboard"])
def test_equal_scores_share_a_rank_on_any_page_and_among_neighbours(shop: Client, path: str) -> None:
    everybody = [(1, "ann"), (2, "bob/ é"), (2, "cid"), (2, "dan")]
    assert ranks(shop, path) == everybody
    assert ranks(shop, path, limit=2, offset=2) == everybody[2:]
    assert ranks(shop, path, limit=3, around="dan") == everybody[2:]
    found = shop.get(path, params={"limit": 1, "around": "bob/ é"}).json()
    assert found["meta"] == {"limit": 1, "offset": 1, "total": 4}
    assert_refused(shop.get(path, params={"around": "nobody"}), "native", 404)
    assert_refused(shop.get(path, params={"around": "ann", "offset": 1}), "native", 400)


def test_a_leaderboard_of_a_time_counts_what_happened_then(shop: Client) -> None:
    path = "/api/v1/points/leaderboard"
    assert ranks(shop, path, **{"from": "2025-01-03", "to": "2025-01-03"}) == [(1, "ann"), (1, "bob/ é")]
    assert ranks(shop, path, **{"from": "2025-01-04"}) == [(1, "cid")]
    assert ranks(shop, path, to="2024-12-31") == []
    for params in ({"from": "2025-01-02", "to": "2025-01-01"}, {"from": "soon"}, {"form": "2025-01-01"}):
        assert_refused(shop.get(path, params=params), "native", 400)


def test_the_ledger_is_paged_and_a_cursor_belongs_to_its_participant(shop: Client) -> None:
    first = shop.get("/api/v1/points", params={"participant": "ann", "limit": 2}).json()
    assert {key: first["meta"][key] for key in ("total", "points")} == {"total": 3, "points": 30}
    cursor = first["meta"]["next_cursor"]
    rest = shop.get("/api/v1/points", params={"participant": "ann", "limit": 2, "cursor": cursor}).json()
    assert [row["timestamp"][:10] for row in first["data"] + rest["data"]] == ["2025-01-03", "2025-01-02", "2025-01-01"]
    assert rest["meta"]["next_cursor"] is None
    assert shop.get("/api/v1/points").json()["meta"]["total"] == 6
    assert_refused(shop.get("/api/v1/points", params={"cursor": cursor}), "native", 400)
    assert_refused(shop.get("/api/v1/points", params={"cursor": "Lng="}), "native", 400)
    assert shop.get("/api/v1/points", params={"participant": "nobody"}).json()["data"] == []


def test_participants_are_paged_by_name(shop: Client) -> None:
    found, cursor = [], None
    while cursor != "":
        page = shop.get("/api/v1/participants", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert page["meta"]["total"] == 4
        found += page["data"]
        cursor = page["meta"]["next_cursor"] or ""
    assert found == [
        {"id": "ann", "points": 30, "badges": 0},
        {"id": "bob/ é", "points": 10, "badges": 0},
        {"id": "cid", "points": 10, "badges": 0},
        {"id": "dan", "points": 10, "badges": 0},
    ]


@pytest.mark.parametrize("path", ["/api/v1/participants", "/api/v1/points", "/api/v1/points/leaderboard"])
def test_nobody_sees_another_projects_or_modes_points(shop: Client, server: Server, project: str, path: str) -> None:
    for key in (server.key(f"{project}-2"), server.key(project, "test")):
        with server.client(key) as stranger:
            assert stranger.get(path).json()["data"] == []


def test_rules_that_starve_others_are_warned_of(client: Client) -> None:
    document = RULES | {"badges": [{"id": "old", "fact": "custom.order", "count": 1}]}
    [warning] = client.put("/api/v1/rules", json=document, params={"dry_run": "true"}).json()["data"]["warnings"]
    assert warning["path"] == "badges[0].fact"
    assert "never counts anything" in warning["detail"]
