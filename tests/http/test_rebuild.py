"""Corrected rules and replays: nothing is paid twice, a dry run says what would be, and a rebuild settles the rest."""

from typing import Any

import pytest

from tests.http.routes import assert_refused
from tests.http.test_replay import EVENTS, replay
from tests.http.test_replay_jobs import ended
from tests.server import Client

FACT = {"id": "buy", "event": "order", "fact_type": "purchase", "fields": {"amount": "properties.amount"}, "points": 7}
CHALLENGE = {"id": "often", "fact": "purchase", "goal": 2, "repeat": True, "points": 10}
RULES: dict[str, Any] = {"facts": [FACT], "challenges": [CHALLENGE]}


def apply(client: Client, document: dict[str, Any]) -> list[dict[str, Any]]:
    reply = client.put("/api/v1/rules", json=document)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]["changes"]


def order(client: Client, amount: int, user: str = "u") -> None:
    body = {"name": "order", "user_id": user, "properties": {"amount": amount}}
    assert client.post("/api/v1/events", json=body).status_code == 201


def balance(client: Client, user: str = "u") -> int:
    return client.get(f"/api/v1/participants/{user}").json()["data"]["points"]["balance"]


def rebuild(client: Client) -> dict[str, Any]:
    reply = client.post(f"{EVENTS}/replay", json={"rebuild": True})
    assert reply.status_code == 202, reply.text
    return ended(client, reply.json()["replay"])


@pytest.fixture
def paid(client: Client) -> Client:
    """Five orders of one user: five facts and two completions."""
    apply(client, RULES)
    for amount in (10, 20, 30, 40, 50):
        order(client, amount)
    assert balance(client) == 5 * 7 + 2 * 10
    return client


def test_a_field_more_changes_nobodys_result_and_a_replay_pays_nothing_again(paid: Client) -> None:
    more = FACT | {"fields": {"amount": "properties.amount", "user": "user_id"}}
    assert apply(paid, RULES | {"facts": [more]}) == [
        {"kind": "fact", "id": "buy", "change": "changed", "starts_anew": True}
    ], "the challenge measures no field"
    dry = replay(paid, filter={"event": "order"}, dryRun=True)
    assert (dry["points"], {each["type"] for each in dry["effects"]}) == (0, {"fact"})
    replay(paid, filter={"event": "order"})
    assert balance(paid) == 55
    order(paid, 60)
    assert balance(paid) == 6 * 7 + 3 * 10


def test_a_challenge_with_another_goal_pays_only_beyond_what_was_paid(paid: Client) -> None:
    apply(paid, RULES | {"challenges": [CHALLENGE | {"goal": 1}]})
    dry = replay(paid, filter={"event": "order"}, dryRun=True)
    assert dry["points"] == 3 * 10
    assert [each.get("credited", 0) for each in dry["effects"] if each["type"] == "points"] == [10, 10, 0, 0, 0]
    replay(paid, filter={"event": "order"})
    assert balance(paid) == 5 * 7 + 5 * 10
    apply(paid, RULES | {"challenges": [CHALLENGE | {"goal": 5}]})
    replay(paid, filter={"event": "order"})
    assert balance(paid) == 5 * 7 + 5 * 10, "a replay takes nothing away"


def test_a_rebuild_brings_balances_to_what_the_rules_give_by_entries_that_say_so(paid: Client) -> None:
    order(paid, 1, "v")
    apply(paid, {"facts": [FACT | {"when": "event.properties.amount > 20.0", "points": 2}]})
    rehearsed = replay(paid, rebuild=True, dryRun=True)
    wanted = [("u", "challenge", -20), ("u", "fact", 3 * 2 - 35), ("v", "fact", -7)]
    corrections = rehearsed["corrections"]
    assert sorted((each["participant"], each["kind"], each["points"]) for each in corrections["entries"]) == wanted
    assert (corrections["total"], corrections["points"], rehearsed["points"]) == (3, -56, 0)
    assert (balance(paid), balance(paid, "v")) == (55, 7), "a dry run changes nothing"

    job = rebuild(paid)
    assert (job["status"], job["rebuild"], job["corrections"], job["correctedPoints"]) == ("done", True, 3, -56)
    assert (balance(paid), balance(paid, "v")) == (3 * 2, 0)
    entries = paid.get("/api/v1/participants/u").json()["data"]["points"]["ledger"]
    [entry] = [each for each in entries if each["rule"] == "often" and each["entry"] == "rebuilt"]
    assert (entry["points"], entry["event_id"]) == (-20, None)
    assert entry["reason"] == "the rules in force give 0 for it; 20 had been paid"
    again = rebuild(paid)
    assert (again["corrections"], balance(paid)) == (0, 6)


def test_a_rebuild_pays_what_changed_points_are_worth_and_events_that_only_the_new_rule_counts(paid: Client) -> None:
    apply(paid, RULES | {"challenges": [CHALLENGE | {"points": 100}]})
    replay(paid, filter={"event": "order"})
    assert balance(paid) == 55, "the points of a rule are not its meaning"
    assert rebuild(paid)["correctedPoints"] == 2 * 90
    order(paid, 60)
    assert balance(paid) == 6 * 7 + 3 * 100


def test_a_dry_run_of_a_rebuild_works_through_every_event_and_counts_what_it_does_not_list(client: Client) -> None:
    events = [{"name": "order", "user_id": f"u{number % 1100}", "properties": {"amount": 1}} for number in range(500)]
    for batch in range(21):
        for number, each in enumerate(events):
            each["user_id"] = f"u{(500 * batch + number) % 1100}"
        assert client.post("/api/v1/events/batch", json={"events": events}).status_code == 201
    apply(client, RULES)
    dry = replay(client, rebuild=True, dryRun=True)
    # Each of 1,100 users has 9 or 10 orders: a fact for each and its points, a completion for each second and its points.
    completions = sum(len(range(user, 10_500, 1100)) // 2 for user in range(1100))
    assert (dry["replayed"], dry["points"]) == (10_500, 7 * 10_500 + 10 * completions)
    assert (len(dry["effects"]), dry["leftOut"]["effects"]) == (10_000, 2 * (10_500 + completions) - 10_000)
    assert dry["corrections"] == {"total": 0, "points": 0, "entries": []}, "the replay itself pays what is due"

    job = rebuild(client)
    assert (job["status"], job["corrections"], balance(client, "u7")) == ("done", 0, 10 * 7 + 5 * 10)
    apply(client, {"facts": [FACT | {"points": 1}]})
    dry = replay(client, rebuild=True, dryRun=True)
    assert dry["corrections"]["total"] == 2 * 1100
    assert dry["corrections"]["points"] == -6 * 10_500 - 10 * completions
    assert (len(dry["corrections"]["entries"]), dry["leftOut"]["corrections"]) == (1000, 1200)


@pytest.mark.parametrize(
    "body",
    [
        {"rebuild": True, "eventIds": ["x"]},
        {"rebuild": True, "filter": {"event": "n"}},
        {"rebuild": True, "limit": 5},
        {"rebuild": True, "force": True},
        {"rebuild": True, "async": False},
        {"rebuild": True, "dryRun": True, "async": True},
        {"rebuild": False},
        {"rebuild": 1},
        {"rebuilt": True},
    ],
)
def test_a_rebuild_takes_every_event_or_nothing(client: Client, body: dict[str, Any]) -> None:
    assert_refused(client.post(f"{EVENTS}/replay", json=body), "hogsend", 400)
