"""Replay: stored events through the reactions again, and nothing else."""

from typing import Any
from uuid import UUID

import pytest

from tests.http.routes import UNKNOWN_ID, stored
from tests.server import Client, Server

EVENTS = "/v1/admin/events"


def track(client: Client, name: str = "n", **event: Any) -> str:
    """Send one event; its id as Hogsend shows it."""
    event_id = client.post("/api/v1/events", json={"name": name, **event}).json()["data"]["id"]
    return str(UUID(event_id.removeprefix("evt_")))


def replay(client: Client, **body: Any) -> dict[str, Any]:
    response = client.post(f"{EVENTS}/replay", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def replayed_names(client: Client, **body: Any) -> list[str]:
    """The names of the events that would be replayed, in order: what a forced dry run shows of them."""
    effects = replay(client, force=True, dryRun=True, **body)["effects"]
    return [effect["factType"].removeprefix("custom.") for effect in effects]


def test_replay_adds_no_event_and_changes_none(client: Client) -> None:
    for day in (1, 2, 3):
        track(client, user_id="u", timestamp=f"2025-01-0{day}", value=day)
    before = client.get("/api/v1/events").json()
    for body in ({}, {"force": True}, {"dryRun": True}, {"force": True, "dryRun": True}):
        assert replay(client, filter={"event": "n"}, **body)["replayed"] == 3
    assert client.get("/api/v1/events").json() == before
    assert client.get("/api/v1/events/stats").json()["data"]["sum"] == 6


def test_replay_is_oldest_first_and_takes_each_event_once(client: Client) -> None:
    ids = {day: track(client, f"day{day}", timestamp=f"2025-01-0{day}") for day in (2, 3, 1)}
    assert replayed_names(client, filter={"source": "flux"}) == ["day1", "day2", "day3"]
    wanted = [ids[3], ids[1], ids[3], f"evt_{UUID(ids[1]).hex}", ids[2].upper()]
    assert replayed_names(client, eventIds=wanted) == ["day1", "day2", "day3"]
    assert replay(client, eventIds=wanted) == {"replayed": 3, "errors": []}
    assert replayed_names(client, eventIds=wanted, limit=2) == ["day1", "day2"]
    assert replayed_names(client, filter={"source": "flux"}, limit=1) == ["day1"]


def test_event_ids_decide_when_both_are_given(client: Client) -> None:
    first, _ = track(client, "a"), track(client, "b")
    assert replayed_names(client, eventIds=[first], filter={"event": "b"}) == ["a"]
    assert replayed_names(client, eventIds=[], filter={"event": "b"}) == ["b"]


def test_a_filter_is_all_of_its_criteria(client: Client) -> None:
    track(client, "a", user_id="u", timestamp="2025-01-10")
    track(client, "a", user_id="v", timestamp="2025-01-10")
    track(client, "a", user_id="u", timestamp="2025-01-11")
    whole = {"event": "a", "userId": "u", "from": "2025-01-10", "to": "2025-01-10", "source": "flux"}
    assert replay(client, filter=whole)["replayed"] == 1
    for name, other in (("event", "b"), ("userId", "w"), ("source", "bricqs"), ("from", "2025-01-11")):
        assert replay(client, filter=whole | {name: other})["replayed"] == 0
    nulls = dict.fromkeys(("userId", "from", "to", "source"))
    assert replay(client, filter={"event": "a"} | nulls)["replayed"] == 3


def test_ids_that_nobody_has_are_errors_in_the_order_in_which_they_came(client: Client) -> None:
    known = track(client)
    unknown = ["x", UNKNOWN_ID, "", "\x00", "é" * 500, f"evt_{'f' * 32}"]
    reply = replay(client, eventIds=[*unknown, known, "x"])
    assert reply == {
        "replayed": 1,
        "errors": [{"eventId": each, "error": "Event not found"} for each in unknown],
    }


def test_another_projects_event_is_not_found(client: Client, server: Server, project: str) -> None:
    with server.client(server.key(f"{project}-2")) as other:
        theirs = track(other)
    reply = replay(client, eventIds=[theirs])
    assert reply == {"replayed": 0, "errors": [{"eventId": theirs, "error": "Event not found"}]}


def test_what_was_caused_already_is_caused_again_only_by_force(client: Client) -> None:
    event_id = track(client)
    sync = {"event_name": "n", "participant_id": "p"}
    fact = client.post("/ingest/events/sync", json=sync).json()
    wanted = {"eventIds": [event_id, fact["event_id"]]}
    nothing = {"replayed": 2, "errors": [], "effects": [], "points": 0, "leftOut": {"events": 0}}
    assert replay(client, dryRun=True, **wanted) == nothing
    effects = replay(client, dryRun=True, force=True, **wanted)["effects"]
    assert [effect["eventId"] for effect in effects] == [
        event_id,
        str(UUID(fact["event_id"].removeprefix("evt_"))),
    ]
    assert (effects[1]["factId"], effects[1]["factType"]) == (fact["fact_id"], "custom.n")
    again = replay(client, dryRun=True, force=True, **wanted)["effects"]
    assert again == effects


def test_a_replay_says_how_many_events_its_limit_leaves_out(client: Client) -> None:
    ids = [track(client, user_id="u") for _ in range(5)]
    for selected in ({"filter": {"event": "n"}}, {"eventIds": ids}):
        for limit, left_out in ((2, 3), (5, 0), (6, 0)):
            for flags in ({}, {"dryRun": True}):
                reply = client.post("/v1/admin/events/replay", json=selected | flags | {"limit": limit})
                assert reply.headers["Headrace-Events-Left-Out"] == str(left_out)
                assert reply.json().get("leftOut") == ({"events": left_out} if flags else None)


def test_only_a_dry_run_lists_effects(client: Client) -> None:
    track(client)
    for flag in ({}, {"dryRun": False}, {"dryRun": None}, {"force": True}, {"force": None}):
        assert replay(client, filter={"event": "n"}, **flag).keys() == {"replayed", "errors"}


def test_unknown_fields_of_a_replay_are_refused(client: Client) -> None:
    track(client)
    for body in ({"filter": {"event": "n", "x": 1}}, {"filter": {"event": "n"}, "journey": "j"}):
        assert client.post("/v1/admin/events/replay", json=body).status_code == 400


def test_ten_thousand_events_are_replayed_at_once(client: Client) -> None:
    for _ in range(20):
        client.post("/api/v1/events/batch", json=[{"name": "n"}] * 500)
    assert replay(client, filter={"event": "n"}, limit=10_000) == {"replayed": 10_000, "errors": []}
    assert replay(client, filter={"event": "n"}) == {"replayed": 100, "errors": []}
    assert stored(client) == 10_000


@pytest.mark.parametrize("kind", ["identify", "page", "group", "alias"])
def test_every_type_of_event_can_be_replayed(client: Client, kind: str) -> None:
    event = {"type": kind, "timestamp": "2025-01-15", "messageId": "m", "context": {}, "anonymousId": "a"}
    event |= {"groupId": "g", "previousId": "p"}
    client.post("/api/events", json={"batch": [event], "sentAt": "2025-01-15"})
    assert replay(client, filter={"userId": "a"})["replayed"] == 1
