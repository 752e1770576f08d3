"""Imports over HTTP: everything once, as it was, and without reactions unless they are asked for."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.http.conftest import MakeServer, make_server
from tests.moving.test_export import EXPORT, IMPORT, MIXED, exported, send
from tests.server import Client, Server

__all__ = ["make_server"]
RULES = """
facts:
  - {id: bought, event: order, fact_type: purchase}
challenges:
  - {id: buyer, title: Buyer, fact: purchase, goal: 1}
"""


def take(client: Client, body: bytes, **query: str) -> dict[str, Any]:
    reply = client.post(IMPORT, content=body, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def figures(data: dict[str, Any]) -> tuple[int, int, int, int]:
    return data["imported"], data["duplicates"], data["erased"], data["rejected"]


def lines(*events: dict[str, Any]) -> bytes:
    full = [{"source": "flux", "timestamp": "2024-01-15T10:30:00Z"} | event for event in events]
    return b"\n".join(json.dumps(event).encode() for event in full)


@pytest.fixture
def other(server: Server, project: str) -> Any:
    """A client of an empty project."""
    with server.client(server.key(f"{project}-copy")) as client:
        yield client


def without_identity(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that an import keeps: not the id, nor when the event was received, nor whether its key is its old id."""
    return [
        {
            **row,
            "id": None,
            "received_at": None,
            "message_id": None if (row["message_id"] or "").startswith("evt_") else row["message_id"],
        }
        for row in rows
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_import_stores_what_was_exported_once_however_often(client: Client, other: Client, form: str) -> None:
    send(client, MIXED)
    body = client.get(EXPORT, params={"format": form}).content
    assert figures(take(other, body, format=form)) == (3, 0, 0, 0)
    assert figures(take(other, body, format=form)) == (0, 3, 0, 0)
    assert without_identity(exported(other)) == without_identity(exported(client))


def test_an_export_comes_back_to_where_it_was_made_without_a_trace(client: Client, other: Client) -> None:
    send(client, MIXED)
    take(other, client.get(EXPORT).content)
    assert figures(take(client, client.get(EXPORT).content)) == (0, 3, 0, 0)
    assert figures(take(client, other.get(EXPORT).content)) == (0, 3, 0, 0)
    assert len(exported(client)) == 3


def test_what_a_client_sent_with_a_key_is_not_stored_again_by_an_import(client: Client) -> None:
    client.post(
        "/v1/track", json={"event": "order", "userId": "u", "messageId": "m-1", "timestamp": "2024-01-15T10:30:00Z"}
    )
    line = {"type": "track", "event": "order", "userId": "u", "messageId": "m-1", "timestamp": "2024-01-15T10:30:00Z"}
    assert figures(take(client, json.dumps(line).encode(), **{"from": "segment"})) == (0, 1, 0, 0)


def test_repeats_are_known_for_ever(make_server: MakeServer) -> None:
    """The log remembers keys for a moment here; the store has the events."""
    server = make_server({"HEADRACE_DEDUP_WINDOW_S": "0.001"})
    with server.client("secret") as client:
        body = lines({"name": "a", "message_id": "m"}, {"name": "b"}, {"name": "c", "id": "evt_" + "1" * 32})
        assert figures(take(client, body)) == (3, 0, 0, 0)
        assert len(exported(client)) == 3  # all are in the store
        assert figures(take(client, body)) == (0, 3, 0, 0)


def test_bad_lines_are_named_and_cost_no_neighbour(client: Client) -> None:
    body = b"\n".join([lines({"name": "a"}), b"", b"{", lines({"name": ""}), lines({"name": "b"})])
    data = take(client, body)
    assert figures(data) == (2, 0, 0, 2)
    assert [each["index"] for each in data["errors"]] == [1, 2]
    assert [row["name"] for row in exported(client)] == ["a", "b"]


def fired(client: Client, event_id: str) -> set[str]:
    """The rules that an event has set off."""
    effects = client.get(f"/api/v1/events/{event_id}/effects").json()["data"]
    return {each["rule"] for each in effects} - {"default-fact"}


def test_history_fires_no_rule_unless_it_is_asked_for(client: Client) -> None:
    assert client.put("/api/v1/rules", content=RULES).status_code == 200
    assert figures(take(client, lines({"name": "order", "user_id": "u", "message_id": "1"}))) == (1, 0, 0, 0)
    [old] = exported(client)
    assert fired(client, old["id"]) == set()
    later = lines({"name": "order", "user_id": "v", "message_id": "2"})
    assert figures(take(client, later, reactions="true")) == (1, 0, 0, 0)
    assert fired(client, exported(client)[1]["id"]) == {"bought", "buyer"}
    # Whoever wants it later asks for a replay.
    reply = client.post("/v1/admin/events/replay", json={"eventIds": [old["id"]]})
    assert reply.status_code == 200, reply.text
    assert fired(client, old["id"]) == {"bought", "buyer"}


def test_what_history_says_of_people_is_known(client: Client) -> None:
    line = {"type": "identify", "userId": "u", "anonymousId": "a", "traits": {"plan": "pro"}, "messageId": "m"}
    take(client, json.dumps(line | {"timestamp": "2024-01-15T10:30:00Z"}).encode(), **{"from": "rudderstack"})
    person = client.get("/api/v1/users/u").json()["data"]
    assert sorted(person["ids"]) == ["a", "u"]


QUERIES = (
    "/api/v1/events/count?interval=1d&group_by=name",
    "/api/v1/events/count?group_by=tags.plan",
    "/api/v1/events/count?tags[plan]=pro",
    "/api/v1/events/count?properties[n]=3",
    "/api/v1/events/count?user_id=u1&from=2024-01-02",
    "/api/v1/events/stats",
    "/api/v1/events/stats?field=properties.n",
)


def test_an_import_into_an_empty_project_answers_queries_like_the_original(client: Client, other: Client) -> None:
    send(
        client,
        [
            {
                "name": ("order", "open", "view")[n % 3],
                "user_id": f"u{n % 5}",
                "value": n / 8,
                "timestamp": f"2024-01-0{1 + n % 7}T0{n % 9}:00:00Z",
                "tags": {"plan": "pro" if n % 2 else "free"},
                "properties": {"n": n % 10, "deep": {"a": [n]}},
            }
            for n in range(700)
        ],
    )
    client.post("/v1/identify", json={"userId": "u1", "anonymousId": "a1", "messageId": "i", "traits": {"x": 1}})
    client.post("/api/v1/ingest/events", json={"event_name": "read", "participant_id": "u2", "value": 3})
    body = client.get(EXPORT).content
    assert figures(take(other, body)) == (702, 0, 0, 0)
    for query in QUERIES:
        assert other.get(query).json() == client.get(query).json(), query
    ours, theirs = (each.get("/api/v1/users/u1").json()["data"] for each in (client, other))
    assert (ours["ids"], ours["traits"]) == (theirs["ids"], theirs["traits"])
    catalog = [
        [{**entry, "example": None} for entry in each.get("/api/v1/catalog").json()["data"]] for each in (client, other)
    ]
    assert catalog[0] == catalog[1]


POINTS: list[dict[str, Any]] = [
    {"name": "load", "type": "gauge", "value": -1.5, "timestamp": "2024-01-15T10:30:00Z", "tags": {"host": "a"}},
    {"name": "calls", "type": "counter", "timestamp": "2024-01-15T10:31:00Z", "idempotency_key": "k"},
    {"name": "took", "type": "distribution", "value": 3, "timestamp": "2024-01-15T10:32:00Z"},
    *({"name": "users", "type": "set", "value": f"=u{n}", "timestamp": "2024-01-15T10:33:00Z"} for n in range(3)),
]
METRICS = "/api/v1/metrics"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_points_of_metrics_move_by_themselves_and_stay_points(client: Client, other: Client, form: str) -> None:
    assert client.post(f"{METRICS}/batch", json={"metrics": POINTS}).json()["data"]["rejected"] == 0
    send(client, MIXED)
    body = client.get(EXPORT, params={"of": "metrics", "format": form}).content
    assert figures(take(other, body, format=form)) == (6, 0, 0, 0)
    assert figures(take(other, body, format=form)) == (0, 6, 0, 0)
    assert figures(take(client, body, format=form)) == (0, 6, 0, 0)
    assert exported(other) == [], "no point is an event"
    assert without_identity(exported(other, of="metrics")) == without_identity(exported(client, of="metrics"))
    for path in ("", *(f"/{name}/query" for name in ("load", "calls", "took", "users"))):
        assert other.get(METRICS + path).json() == client.get(METRICS + path).json(), path
    assert [row["name"] for row in exported(client, of="metrics", name="load")] == ["load"]
    assert len(exported(client)) == 3


def test_events_and_points_in_one_file_become_what_they_are(client: Client, other: Client) -> None:
    client.post(f"{METRICS}/batch", json={"metrics": POINTS})
    send(client, MIXED)
    body = client.get(EXPORT).content + client.get(EXPORT, params={"of": "metrics"}).content
    assert figures(take(other, body)) == (9, 0, 0, 0)
    assert (len(exported(other)), len(exported(other, of="metrics"))) == (3, 6)


@pytest.mark.parametrize(
    "line",
    [
        {"name": "a/b", "group_id": "gauge", "value": 1},
        {"name": "a", "group_id": "plan", "value": 1},
        {"name": "a", "group_id": "gauge"},
        {"name": "a", "group_id": "set", "value": 1},
        {"name": 7, "group_id": "gauge", "value": 1},
    ],
)
def test_a_line_that_is_no_valid_point_is_refused(client: Client, line: dict[str, Any]) -> None:
    assert figures(take(client, lines({"source": "flux.metrics"} | line))) == (0, 0, 0, 1)
    assert exported(client) == exported(client, of="metrics") == []


def test_points_are_asked_for_by_their_word_and_belong_to_no_person(client: Client) -> None:
    assert client.get(EXPORT, params={"of": "people"}).status_code == 400
    assert client.get(EXPORT, params={"of": "metrics", "user_id": "u", "merged": "true"}).status_code == 400


def test_what_became_of_each_line_is_counted(client: Client) -> None:
    def counted() -> dict[str, float]:
        text = client.get("/metrics").text
        return {
            found[1]: float(found[2])
            for found in re.finditer(
                r'^headrace_events_total{outcome="(\w+)",source="import.segment"} (\S+)$', text, re.MULTILINE
            )
        }

    before = counted()
    line = {"type": "track", "event": "e", "userId": "u", "messageId": "m", "timestamp": "2024-01-15T10:30:00Z"}
    body = b"\n".join([json.dumps(line).encode(), b"{", json.dumps(line | {"messageId": "n"}).encode()])
    take(client, body, **{"from": "segment"})
    take(client, body, **{"from": "segment"})
    more = {outcome: value - before.get(outcome, 0) for outcome, value in counted().items()}
    assert more == {"accepted": 2, "duplicate": 2, "rejected": 2}


def test_an_import_of_too_much_at_once_is_refused_whole(client: Client) -> None:
    assert client.post(IMPORT, content=b"{}\n" * 10_001).status_code == 413
    assert client.post(IMPORT, content=b"").status_code == 400
    assert exported(client) == []
