"""Rules over HTTP, and what can be read of what they bring about."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.http.routes import UNKNOWN_ID, assert_refused
from tests.server import Client, Server

RULES = """
facts:
  - {id: purchase, event: order.placed, when: event.properties.amount > 0.0, fact_type: purchase, fields: {amount: properties.amount}}
challenges:
  - {id: big, title: Big spender, fact: purchase, measure: {sum: amount}, goal: 500, points: 50}
  - {id: streak, fact: custom.visit, measure: streak, goal: 2}
badges:
  - {id: gold, title: Gold, challenge: big}
"""


NO_LAG = {"waiting": 0, "lag_seconds": 0.0, "passed_over": 0}


def apply(client: Client, rules: str, **params: str) -> dict[str, Any]:
    reply = client.put("/api/v1/rules", content=rules, headers={"content-type": "application/yaml"}, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def buy(client: Client, user: str, amount: object, timestamp: str = "2025-01-15T10:30:00Z") -> str:
    body = {"name": "order.placed", "user_id": user, "properties": {"amount": amount}, "timestamp": timestamp}
    return client.post("/api/v1/events", json=body).json()["data"]["id"]


def data(client: Client, path: str, **params: Any) -> Any:
    reply = client.get(path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


@pytest.fixture
def shop(client: Client) -> Client:
    apply(client, RULES)
    return client


@pytest.mark.parametrize("user", ["u/", "/", "u//", "u/v/", "u"])
def test_a_participant_is_found_whatever_slashes_the_user_id_ends_in(shop: Client, user: str) -> None:
    for each in (user, user, f"{user}/", f"{user}//"):
        buy(shop, each, 1)
    participant = data(shop, f"/api/v1/participants/{quote(user, safe='')}")
    assert (participant["id"], participant["events"]) == (user, 2)


def test_what_rules_bring_about_is_in_the_very_next_query(shop: Client) -> None:
    first = buy(shop, "u/1 é", 300)
    second = buy(shop, "u/1 é", 300.5)
    participant = data(shop, "/api/v1/participants/u%2F1%20%C3%A9")
    assert [fact["event_id"] for fact in participant["facts"]] == [second, first]
    assert participant["facts"][0]["fields"] == {"amount": 300.5}
    assert participant["challenges"] == [
        {"id": "big", "title": "Big spender", "goal": 500, "progress": 600.5, "best": 600.5, "completions": 1},
        {"id": "streak", "title": "", "goal": 2, "progress": 0, "best": 0, "completions": 0},
    ]
    award = {"event_id": second, "awarded_at": "2025-01-15T10:30:00Z"}
    assert participant["badges"] == [{"id": "gold", "title": "Gold"} | award]
    assert participant["points"]["balance"] == 50
    assert [entry["points"] for entry in participant["points"]["ledger"]] == [50]
    assert data(shop, "/api/v1/badges/gold/holders") == [{"participant": "u/1 é"} | award]
    effects = data(shop, f"/api/v1/events/{second}/effects")
    assert [(effect["kind"], effect["rule"]) for effect in effects] == [
        ("fact", "purchase"),
        ("challenge", "big"),
        ("points", "big"),
        ("badge", "gold"),
    ]


def test_challenges_and_badges_are_counted_and_ranked(shop: Client) -> None:
    for user, amount in (("a", 20), ("b", 700), ("c", 500), ("d", 20), ("b", 1)):
        buy(shop, user, amount)
    [big, streak] = data(shop, "/api/v1/challenges")
    assert (big["participants"], big["completed_by"], big["measure"]) == (4, 2, {"sum": "amount"})
    assert (streak["participants"], streak["window"]) == (0, None)
    board = data(shop, "/api/v1/challenges/big/leaderboard")
    assert [(row["rank"], row["participant"], row["completions"], row["best"]) for row in board] == [
        (1, "b", 1, 701),
        (2, "c", 1, 500),
        (3, "a", 0, 20),
        (3, "d", 0, 20),
    ]
    page = shop.get("/api/v1/challenges/big/leaderboard?limit=1&offset=2").json()
    assert page == {"data": [board[2]], "meta": {"limit": 1, "offset": 2, "total": 4}}
    assert data(shop, "/api/v1/badges") == [
        {"id": "gold", "title": "Gold", "description": "", "points": 0, "holders": 2}
    ]


def test_the_sync_reply_gives_the_fact_that_the_rule_made(shop: Client) -> None:
    body = {"event_name": "order.placed", "participant_id": "p", "properties": {"amount": 1}, "idempotency_key": "k"}
    reply = shop.post("/ingest/events/sync", json=body).json()
    assert reply["fact_type"] == "purchase"
    [fact] = data(shop, f"/api/v1/events/{reply['event_id']}/effects")
    assert fact["detail"]["fact_id"] == reply["fact_id"]
    again = shop.post("/ingest/events/sync", json=body | {"properties": {}}).json()
    assert (again["fact_id"], again["fact_type"]) == (reply["fact_id"], "purchase")
    other = shop.post("/ingest/events/sync", json={"event_name": "x", "participant_id": "p"}).json()
    assert other["fact_type"] == "custom.x"


def test_replay_causes_what_a_changed_rule_says_and_repeats_nothing(shop: Client) -> None:
    events = [buy(shop, "u", 100) for _ in range(3)]
    wanted = {"filter": {"event": "order.placed"}}
    first = shop.post("/v1/admin/events/replay", json=wanted | {"dryRun": True})
    assert first.json()["effects"] == []
    assert first.headers["Headrace-Suppressed-Effects"] == "3"
    dry = apply(shop, RULES.replace("goal: 500", "goal: 300"), dry_run="true")
    assert (dry["applied"], dry["changes"][0]) == (
        False,
        {"kind": "challenge", "id": "big", "change": "changed", "starts_anew": True},
    )
    assert apply(shop, RULES.replace("goal: 500", "goal: 300"))["applied"]
    effects = shop.post("/v1/admin/events/replay", json=wanted | {"dryRun": True}).json()["effects"]
    assert [(each["type"], each["rule"]) for each in effects] == [
        ("challenge", "big"),
        ("points", "big"),
        ("badge", "gold"),
    ]
    assert data(shop, "/api/v1/badges/gold/holders") == [], "a dry run changes nothing"
    for _ in range(2):
        assert shop.post("/v1/admin/events/replay", json=wanted).json() == {"replayed": 3, "errors": []}
    assert len(data(shop, "/api/v1/badges/gold/holders")) == 1
    assert data(shop, "/api/v1/participants/u")["points"]["balance"] == 50
    forced = shop.post("/v1/admin/events/replay", json=wanted | {"force": True})
    assert forced.headers["Headrace-Suppressed-Effects"] == "0"
    assert data(shop, "/api/v1/participants/u")["points"]["balance"] == 50
    generations = [effect["generation"] for effect in data(shop, f"/api/v1/events/{events[0]}/effects")]
    assert generations == [0, 1]


def test_rules_can_be_read_back_with_their_history_and_failures(shop: Client) -> None:
    event_id = buy(shop, "u", "much")
    shop.get("/api/v1/badges")
    reply = shop.get("/api/v1/rules").json()
    assert [rule["id"] for rule in reply["data"]["rules"]] == ["purchase", "big", "streak", "gold"]
    assert reply["data"]["rules"][0]["failures"] == 1
    assert reply["data"]["rules"][0]["last_failure"]["event_id"] == event_id
    assert (reply["data"]["rules"][0]["fired"], reply["data"]["rules"][0]["last_fired"]) == (0, None)
    bought = [buy(shop, "u", 600), buy(shop, "u", 1)]
    shop.get("/api/v1/badges")
    purchase, big, *_ = shop.get("/api/v1/rules").json()["data"]["rules"]
    assert (purchase["fired"], purchase["last_fired"]["event_id"]) == (2, bought[1])
    assert (big["fired"], big["last_fired"]["event_id"]) == (1, bought[0])
    assert shop.put("/api/v1/rules", json=reply["data"]["document"]).json()["data"]["applied"] is False
    apply(shop, "{}")
    history = shop.get("/api/v1/rules").json()
    assert [entry["version"] for entry in history["meta"]["history"]][1] == reply["data"]["version"]
    assert history["data"]["rules"] == []
    assert data(shop, "/api/v1/challenges") == []


def test_a_project_without_rules_has_none(client: Client) -> None:
    reply = client.get("/api/v1/rules").json()
    assert reply == {
        "data": {"version": None, "applied_at": None, "document": {}, "source": "", "rules": []},
        "meta": {"history": [], "reactions": [NO_LAG | {"mode": mode} for mode in ("live", "test")]},
    }


def test_bad_rules_are_refused_with_the_place_of_each_problem(shop: Client) -> None:
    reply = shop.put("/api/v1/rules", content=RULES.replace("goal: 500", "goal: 0").replace("> 0.0", ">> 0"))
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"
    errors = reply.json()["errors"]
    assert [(error["path"], error["line"]) for error in errors] == [("facts[0].when", 3), ("challenges[0].goal", 5)]
    assert data(shop, "/api/v1/challenges")[0]["goal"] == 500


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[" * 9000, b"{", b"- 1", b"a: *b", b"facts: [{id: a}]", b"null", b"3"]
)
def test_what_is_no_document_is_a_400(client: Client, body: bytes) -> None:
    assert client.put("/api/v1/rules", content=body).status_code == 400


def test_a_document_over_its_limit_is_a_413(client: Client) -> None:
    assert_refused(client.put("/api/v1/rules", content=b" " * (128 * 1024 + 1)), "native", 413)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/v1/events/{UNKNOWN_ID}/effects", 404),
        ("/api/v1/events/x/effects", 404),
        ("/api/v1/participants/nobody", 404),
        ("/api/v1/challenges/none/leaderboard", 404),
        ("/api/v1/badges/none/holders", 404),
        ("/api/v1/challenges/big/leaderboard?limit=0", 400),
        ("/api/v1/challenges/big/leaderboard?offset=-1", 400),
        ("/api/v1/badges/gold/holders?limit=x", 400),
        ("/api/v1/badges/gold/holders?offset=10001", 400),
    ],
)
def test_what_is_not_there_or_malformed_is_refused(shop: Client, path: str, status: int) -> None:
    assert_refused(shop.get(path), "native", status)


def test_a_dry_run_flag_that_is_none_is_refused(client: Client) -> None:
    assert_refused(client.put("/api/v1/rules?dry_run=maybe", content=RULES), "native", 400)


def test_other_projects_and_the_other_mode_see_nothing_of_it(shop: Client, server: Server, project: str) -> None:
    event_id = buy(shop, "u", 600)
    for key in (server.key(f"{project}-other"), server.key(project, "test")):
        with server.client(key) as other:
            assert other.get("/api/v1/participants/u").status_code == 404
            assert other.get(f"/api/v1/events/{event_id}/effects").status_code == 404
    with server.client(server.key(project, "test")) as test:
        assert data(test, "/api/v1/badges")[0]["holders"] == 0
        assert data(test, "/api/v1/challenges/big/leaderboard") == []
        assert data(test, "/api/v1/badges/gold/holders") == []


def test_only_admin_keys_may_see_and_change_rules(server: Server, project: str) -> None:
    with server.client(server.key(project, style="flux")) as client:
        assert_refused(client.get("/api/v1/rules"), "native", 403)
        assert_refused(client.put("/api/v1/rules", content=RULES), "native", 403)
        assert data(client, "/api/v1/challenges") == []


def test_how_often_a_condition_failed_is_told_to_prometheus(shop: Client) -> None:
    for amount in ("much", "more", 3):
        buy(shop, "u", amount)
    data(shop, "/api/v1/participants/u")  # answered once all has been reacted to
    assert data(shop, "/api/v1/rules")["rules"][0]["failures"] == 2
    told = shop.get("/metrics").text
    assert 'headrace_rule_failures_total{project="' in told
    assert 'rule="purchase"} 2.0' in told
    assert "headrace_unreacted_events_total 0.0" in told
