"""The tables of the Hogsend document: one test per parameter and field."""

from typing import Any

import httpx
import pytest

from tests.server import Client, Server

EVENTS = "/v1/admin/events"
REPLAY = f"{EVENTS}/replay"


def track(client: Client, name: str = "n", **event: Any) -> None:
    response = client.post("/api/v1/events", json={"name": name, **event})
    assert response.status_code == 201, response.text


def listed(client: Client, **parameters: Any) -> list[str]:
    """The names of the events on a page; the reply has the document's shape."""
    response = client.get(EVENTS, params=parameters)
    assert response.status_code == 200, response.text
    document = response.json()
    assert list(document) == ["events", "total", "limit", "offset"]
    for event in document["events"]:
        assert list(event) == ["id", "userId", "event", "properties", "occurredAt"]
    return [event["event"] for event in document["events"]]


def refused(response: httpx.Response) -> bool:
    assert response.json().keys() == {"error"}
    assert response.json()["error"]
    return response.status_code == 400


def replayed(client: Client, **body: Any) -> int:
    response = client.post(REPLAY, json=body)
    assert response.status_code == 200, response.text
    assert response.json().keys() == {"replayed", "errors"}
    return response.json()["replayed"]


def test_every_route_requires_the_admin_key(server: Server, project: str) -> None:
    requests = [("GET", EVENTS), ("GET", f"{EVENTS}/x"), ("POST", REPLAY)]
    requests += [("GET", f"{EVENTS}/names"), ("GET", f"{EVENTS}/sources")]
    with server.client() as nobody, server.client(server.key(project, style="flux")) as other:
        for method, path in requests:
            response = nobody.request(method, path)
            assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})
            response = other.request(method, path)
            assert response.status_code == 403
            assert response.json().keys() == {"error"}


# Query Parameters


def test_events_are_listed_by_occurred_at_descending(client: Client) -> None:
    for day in (3, 1, 2):
        track(client, f"day{day}", timestamp=f"2025-01-0{day}")
    assert listed(client) == ["day3", "day2", "day1"]


def test_limit_is_1_to_100_and_defaults_to_50(client: Client) -> None:
    client.post("/api/v1/events/batch", json=[{"name": "n"}] * 120)
    for limit, shown in ((None, 50), (1, 1), (100, 100)):
        document = client.get(EVENTS, params={} if limit is None else {"limit": limit}).json()
        assert len(document["events"]) == document["limit"] == shown
        assert (document["total"], document["offset"]) == (120, 0)
    for wrong in (0, 101, -1, "x", "1.5"):
        assert refused(client.get(EVENTS, params={"limit": wrong}))


def test_offset_skips_events_and_defaults_to_0(client: Client) -> None:
    for day in (1, 2, 3):
        track(client, f"day{day}", timestamp=f"2025-01-0{day}")
    assert listed(client, offset=1) == ["day2", "day1"]
    assert listed(client, offset=3) == []
    assert client.get(EVENTS, params={"offset": 2}).json()["offset"] == 2
    for wrong in (-1, "x", "0.5"):
        assert refused(client.get(EVENTS, params={"offset": wrong}))


def test_user_id_filters_by_user_or_anonymous_id(client: Client) -> None:
    track(client, "a", user_id="u")
    track(client, "b", user_id="u2")
    page = {"type": "page", "timestamp": "2025-01-15", "messageId": "m", "context": {}}
    client.post("/api/events", json={"batch": [page | {"anonymousId": "u"}], "sentAt": "2025-01-15"})
    assert listed(client, userId="u") == ["a", "page.viewed"]


def test_event_filters_by_the_whole_name(client: Client) -> None:
    for name in ("user:signed_up", "user:signed_up2", "user:*"):
        track(client, name)
    assert listed(client, event="user:signed_up") == ["user:signed_up"]
    assert listed(client, event="user:*") == ["user:*"]


def test_from_is_an_inclusive_iso8601_lower_bound(client: Client) -> None:
    track(client, "before", timestamp="2024-12-31T23:59:59.999Z")
    track(client, "at", timestamp="2025-01-01")
    assert listed(client, **{"from": "2025-01-01T00:00:00Z"}) == ["at"]
    assert listed(client, **{"from": "2025-01-01T01:00:00+01:00"}) == ["at"]
    assert refused(client.get(EVENTS, params={"from": "yesterday"}))


def test_to_is_an_inclusive_iso8601_upper_bound(client: Client) -> None:
    track(client, "at", timestamp="2025-01-15T00:00:00Z")
    track(client, "after", timestamp="2025-01-15T23:59:59.999Z")
    track(client, "tomorrow", timestamp="2025-01-16")
    assert listed(client, to="2025-01-15T00:00:00Z") == ["at"]
    assert listed(client, to="2025-01-15") == ["after", "at"]
    assert refused(client.get(EVENTS, params={"to": "tomorrow"}))


def test_source_filters_by_dialect(client: Client) -> None:
    track(client, "a")
    client.post("/ingest/events", json={"event_name": "b", "participant_id": "p"})
    assert listed(client, source="bricqs") == ["b"]
    assert listed(client, source="flux") == ["a"]
    assert listed(client, source="hogsend") == []


# Path Parameters


def test_id_is_an_event_uuid(client: Client) -> None:
    track(client, "a", timestamp="2025-01-15T10:30:00Z", properties={"plan": "pro"})
    [event] = client.get(EVENTS).json()["events"]
    assert client.get(f"{EVENTS}/{event['id']}").json() == {"event": event}
    assert event["occurredAt"] == "2025-01-15T10:30:00.000Z"
    assert event["properties"] == {"plan": "pro"}
    assert event["userId"] is None


@pytest.mark.parametrize("event_id", ["550e8400-e29b-41d4-a716-446655440000", "x", "1", "%00", "é"])
def test_an_id_that_no_event_has_is_not_found(client: Client, event_id: str) -> None:
    response = client.get(f"{EVENTS}/{event_id}")
    assert (response.status_code, response.json()) == (404, {"error": "Event not found"})


# Beside the document


def test_names_and_sources_are_those_observed(client: Client) -> None:
    assert client.get(f"{EVENTS}/names").json()["events"] == []
    assert client.get(f"{EVENTS}/sources").json() == {"sources": []}
    track(client, "b", timestamp="2025-01-01T00:00:00.5Z")
    track(client, "b", timestamp="2025-01-03")
    track(client, "a", timestamp="2025-01-02")
    first, last = "2025-01-01T00:00:00.500Z", "2025-01-03T00:00:00.000Z"
    day = "2025-01-02T00:00:00.000Z"
    a = {"name": "a", "occurrences": 1, "firstSeenAt": day, "lastSeenAt": day, "usedBy": []}
    b = {"name": "b", "occurrences": 2, "firstSeenAt": first, "lastSeenAt": last, "usedBy": []}
    everything = client.get(f"{EVENTS}/names").json()
    assert everything["events"] == [b, a]
    assert client.get(f"{EVENTS}/names", params={"search": "A"}).json()["events"] == [a]
    some = client.get(f"{EVENTS}/names", params={"limit": 1}).json()
    assert some["events"] == [b]
    assert "there are more" in some["note"]
    assert "there are more" not in everything["note"]
    for limit in ("0", "201", "x"):
        assert client.get(f"{EVENTS}/names", params={"limit": limit}).status_code == 400
    assert client.get(f"{EVENTS}/sources").json() == {
        "sources": [
            {"name": "flux", "kind": "builtin", "label": "Flux"}
            | {"occurrences": 3, "firstSeenAt": first, "lastSeenAt": last}
        ]
    }


def test_a_name_tells_which_rules_are_about_it(client: Client) -> None:
    rules = {
        "facts": [{"id": "exact", "event": "order.placed", "fact_type": "bought"}, {"id": "any", "event": "order.*"}],
        "challenges": [
            {"id": "direct", "fact": "custom.order.placed", "goal": 1},
            {"id": "c", "fact": "bought", "goal": 1},
        ],
        "badges": [{"id": "none", "challenge": "c"}, {"id": "any", "fact": "custom.order.*", "count": 2}],
    }
    assert client.put("/api/v1/rules", json=rules).status_code == 200
    for name in ("order.placed", "order.sent", "visit"):
        track(client, name)
    used_by = {row["name"]: row["usedBy"] for row in client.get(f"{EVENTS}/names").json()["events"]}
    assert used_by == {
        "order.placed": ["rule:exact", "rule:any", "rule:direct"],
        "order.sent": ["rule:any"],
        "visit": [],
    }


# Replay: Request Body


def test_event_ids_is_an_array_of_ids(client: Client) -> None:
    track(client, "a")
    [event] = client.get(EVENTS).json()["events"]
    assert replayed(client, eventIds=[event["id"]]) == 1
    for wrong in ("x", {}, 7, [1], [None], [event["id"], []]):
        assert refused(client.post(REPLAY, json={"eventIds": wrong}))


def test_at_least_one_of_event_ids_and_filter_is_required(client: Client) -> None:
    empty = {"event": None, "userId": ""}
    for body in ({}, {"limit": 5}, {"eventIds": [], "filter": {}}, {"filter": empty}, {"eventIds": None}):
        response = client.post(REPLAY, json=body)
        assert refused(response)
        assert "eventIds" in response.json()["error"]
        assert "filter" in response.json()["error"]


def test_filter_is_an_object(client: Client) -> None:
    track(client, "a")
    assert replayed(client, filter={"event": "a"}) == 1
    for wrong in ([], "x", 7, True):
        assert refused(client.post(REPLAY, json={"filter": wrong}))


def test_filter_event_filters_by_name(client: Client) -> None:
    track(client, "a")
    track(client, "b")
    assert replayed(client, filter={"event": "a"}) == 1
    assert replayed(client, filter={"event": "x"}) == 0
    assert refused(client.post(REPLAY, json={"filter": {"event": 1}}))


def test_filter_user_id_filters_by_user(client: Client) -> None:
    track(client, "a", user_id="u")
    track(client, "a", user_id="u2")
    assert replayed(client, filter={"userId": "u"}) == 1
    assert refused(client.post(REPLAY, json={"filter": {"userId": []}}))


def test_filter_from_is_an_inclusive_lower_bound(client: Client) -> None:
    track(client, timestamp="2024-12-31T23:59:59.999Z")
    track(client, timestamp="2025-01-01")
    assert replayed(client, filter={"from": "2025-01-01"}) == 1
    for wrong in ("x", 7, {}):
        assert refused(client.post(REPLAY, json={"filter": {"from": wrong}}))


def test_filter_to_is_an_inclusive_upper_bound(client: Client) -> None:
    track(client, timestamp="2025-01-15T23:59:59.999Z")
    track(client, timestamp="2025-01-16")
    assert replayed(client, filter={"to": "2025-01-15"}) == 1
    assert replayed(client, filter={"to": "2025-01-15T00:00:00Z"}) == 0
    for wrong in ("x", 7, {}):
        assert refused(client.post(REPLAY, json={"filter": {"to": wrong}}))


def test_limit_is_1_to_10000_and_for_a_filter_100_by_default(client: Client) -> None:
    client.post("/api/v1/events/batch", json=[{"name": "a"}] * 130)
    pages = [client.get(EVENTS, params={"limit": 100, "offset": offset}) for offset in (0, 100)]
    ids = [event["id"] for page in pages for event in page.json()["events"]]
    assert replayed(client, filter={"event": "a"}) == 100
    assert replayed(client, filter={"event": "a"}, limit=10_000) == 130
    assert replayed(client, filter={"event": "a"}, limit=7) == 7
    assert replayed(client, eventIds=ids) == 130
    assert replayed(client, eventIds=ids, limit=7) == 7
    for wrong in (0, -1, 10_001, "7", 7.5, True, []):
        assert refused(client.post(REPLAY, json={"filter": {"event": "a"}, "limit": wrong}))
