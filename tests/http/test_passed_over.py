"""Events that a rule's condition did not look at: counted, listed to their own tenant, and made up for by a replay."""

from pathlib import Path
from typing import Any

from tests.http.routes import assert_refused
from tests.server import Client, Server

COSTLY = {"id": "many", "event": "order", "when": "size(event.properties.l) > 0", "fact_type": "many"}
OTHER = {"id": "any", "event": "order", "fact_type": "any"}
FACTS = {"facts": [COSTLY, OTHER]}
CHALLENGES = {"challenges": [{"id": "c", "fact": "many", "goal": 1, "points": 5}]}
PATH = "/api/v1/rules/fact/many/passed_over"


def apply(client: Client, document: dict[str, Any]) -> None:
    reply = client.put("/api/v1/rules", json=document)
    assert reply.status_code == 200, reply.text


def order(client: Client, items: int) -> str:
    body = {"name": "order", "user_id": "u", "properties": {"l": [1] * items}}
    event_id = client.post("/api/v1/events", json=body).json()["data"]["id"]
    effects = client.get(f"/api/v1/events/{event_id}/effects")  # waits until it has been reacted to
    assert effects.status_code == 200
    return event_id


def rule_of(client: Client, rule_id: str) -> dict[str, Any]:
    [rule] = [each for each in client.get("/api/v1/rules").json()["data"]["rules"] if each["id"] == rule_id]
    return rule


def completions(client: Client) -> int:
    [challenge] = client.get("/api/v1/participants/u").json()["data"]["challenges"]
    return challenge["completions"]


def test_events_too_large_for_a_rule_are_counted_listed_and_made_up_for_by_a_replay(client: Client) -> None:
    apply(client, FACTS | CHALLENGES)
    large = order(client, 60_000)
    assert (rule_of(client, "many")["passed_over"], rule_of(client, "any")["passed_over"]) == (1, 0)
    assert completions(client) == 0
    order(client, 3)
    assert (rule_of(client, "many")["passed_over"], completions(client)) == (1, 1), "other events are looked at"
    old = rule_of(client, "many")["version"]
    [row] = client.get(PATH).json()["data"]
    assert row["event_id"] == large
    assert "too large" in row["why"]

    mended = COSTLY | {"when": "event.value == null"}
    apply(client, {"facts": [mended, OTHER]} | CHALLENGES)
    assert rule_of(client, "many")["passed_over"] == 0
    assert client.get(PATH).json() == {"data": [], "meta": {"limit": 50, "next_cursor": None}}
    assert client.get(PATH, params={"version": old}).json()["data"] == [row]
    assert completions(client) == 0, "another meaning begins anew"
    replayed = client.post("/v1/admin/events/replay", json={"eventIds": [row["event_id"]]})
    assert replayed.json() == {"replayed": 1, "errors": []}
    assert completions(client) == 1
    effects = client.get(f"/api/v1/events/{large}/effects").json()["data"]
    assert [(each["kind"], each["rule"]) for each in effects] == [
        ("fact", "any"),
        ("fact", "many"),
        ("challenge", "c"),
        ("points", "c"),
    ], "what it caused before is not caused again"


def test_the_list_is_paged(client: Client) -> None:
    apply(client, FACTS)
    sent = [order(client, 30_000) for _ in range(3)]
    first = client.get(PATH, params={"limit": 2}).json()
    rest = client.get(PATH, params={"limit": 2, "cursor": first["meta"]["next_cursor"]}).json()
    assert [each["event_id"] for each in first["data"] + rest["data"]] == sent
    assert rest["meta"] == {"limit": 2, "next_cursor": None}
    for wrong in ({"limit": 0}, {"limit": 101}, {"cursor": "ä"}):
        assert_refused(client.get(PATH, params=wrong), "native", 400)


def test_only_the_projects_own_keys_of_the_same_mode_see_them(server: Server, project: str, client: Client) -> None:
    apply(client, FACTS)
    order(client, 60_000)
    with server.client(server.key(f"{project}-2")) as stranger:
        assert_refused(stranger.get(PATH), "native", 404)
        apply(stranger, FACTS)
        assert stranger.get(PATH).json()["data"] == []
        assert rule_of(stranger, "many")["passed_over"] == 0
    with server.client(server.key(project, "test")) as tester:
        assert tester.get(PATH).json()["data"] == [], "it could not replay them"
        assert rule_of(tester, "many")["passed_over"] == 1, "a rule is both modes'"
    assert len(client.get(PATH).json()["data"]) == 1


def test_a_rule_that_there_is_not_is_not_found(client: Client) -> None:
    apply(client, FACTS)
    for path in ("fact/none", "challenge/many", "nonsense/many"):
        assert_refused(client.get(f"/api/v1/rules/{path}/passed_over"), "native", 404)
    assert_refused(client.get(PATH, params={"version": "0123456789abcdef"}), "native", 404)
    assert client.get("/api/v1/rules/passed_over").json() == {"data": [], "meta": {"limit": 50, "next_cursor": None}}


def test_each_mode_of_a_project_without_a_backlog_has_no_lag(client: Client) -> None:
    apply(client, FACTS)
    order(client, 3)
    assert client.get("/api/v1/rules").json()["meta"]["reactions"] == [
        {"mode": mode, "waiting": 0, "lag_seconds": 0.0, "passed_over": 0} for mode in ("live", "test")
    ]


def test_a_rule_that_is_always_too_costly_is_put_aside_and_comes_back_with_the_next_document(tmp_path: Path) -> None:
    server = Server(tmp_path, {"HEADRACE_PUT_ASIDE_EVENTS": "3", "HEADRACE_PUT_ASIDE_S": "0.001"}).start()
    try:
        with server.client(server.key()) as client:
            apply(client, FACTS)
            sent = [order(client, 30_000) for _ in range(3)]
            [aside] = rule_of(client, "many")["put_aside"]
            assert (aside["mode"], aside["event_id"]) == ("live", sent[-1])
            assert "too large" in aside["why"]
            assert rule_of(client, "any")["put_aside"] == []
            assert client.get("/api/v1/status").json()["data"]["reactions"]["rules_put_aside"] == 1
            assert 'headrace_rules_put_aside{mode="live",project="default"} 1.0' in client.get("/metrics").text
            small = order(client, 1)
            effects = client.get(f"/api/v1/events/{small}/effects").json()["data"]
            assert [each["rule"] for each in effects] == ["any"], "the other rules go on"
            assert client.get(PATH).json()["data"][-1]["event_id"] == small
            [line] = server.said("rule_put_aside")
            assert (line["rule"], f"evt_{line['event_id']}") == ("many", sent[-1])

            apply(client, {"facts": [COSTLY | {"when": "event.value == null"}, OTHER]})
            assert rule_of(client, "many")["put_aside"] == []
            again = order(client, 30_000)
            effects = client.get(f"/api/v1/events/{again}/effects").json()["data"]
            assert {each["rule"] for each in effects} == {"many", "any"}
    finally:
        server.stop()
