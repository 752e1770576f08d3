"""The event catalogue: what came in by any API, one entry a name."""

from typing import Any

import pytest

from tests.http.routes import assert_refused
from tests.server import Client

CATALOG = "/api/v1/catalog"


def entries(client: Client, **params: Any) -> list[dict[str, Any]]:
    response = client.get(CATALOG, params=params)
    assert response.status_code == 200, response.text
    return response.json()["data"]


def test_an_unknown_name_is_discovered_whichever_api_it_comes_by(client: Client) -> None:
    client.post("/api/v1/events", json={"name": "seen", "properties": {"a": 1}, "timestamp": "2025-01-02"})
    sync = {"event_name": "seen", "participant_id": "p", "properties": {"b": True}, "timestamp": "2025-01-01"}
    client.post("/ingest/events/sync", json=sync)
    event = {"type": "track", "event": "seen", "timestamp": "2025-01-03", "messageId": "m", "context": {}}
    client.post("/api/events", json={"batch": [event | {"properties": {"a": "x"}}], "sentAt": "2025-01-15"})
    [entry] = entries(client)
    example = entry.pop("example")
    assert entry == {
        "name": "seen",
        "count": 3,
        "first_seen_at": "2025-01-01T00:00:00Z",
        "last_seen_at": "2025-01-03T00:00:00Z",
        "properties": [{"name": "a", "types": ["string", "number"]}, {"name": "b", "types": ["boolean"]}],
        "properties_truncated": False,
        "used_by": [],
    }
    assert (example["properties"], example["timestamp"]) == ({"a": "x"}, "2025-01-03T00:00:00Z")
    assert client.get(f"{CATALOG}/seen").json() == {"data": entry | {"example": example}}


@pytest.mark.parametrize("name", ["a/b", "a/", "/", "a//", "a b", "é😀", "a?b=c", "..", "%", "*", "catalog/x"])
def test_an_entry_is_found_by_any_name_there_may_be(client: Client, name: str) -> None:
    client.post("/api/v1/events", json={"name": name})
    client.post("/api/v1/events", json={"name": "another"})
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    assert client.get(f"{CATALOG}/{quoted}").json()["data"]["name"] == name


def test_the_names_are_paged_by_cursor_and_none_is_left_out(client: Client) -> None:
    names = sorted(f"n{number}" for number in range(7))
    client.post("/api/v1/events/batch", json=[{"name": name} for name in names])
    found, cursor = [], ""
    while cursor is not None:
        reply = client.get(CATALOG, params={"limit": 3, "cursor": cursor}).json()
        assert reply["meta"]["total"] == 7
        found += [entry["name"] for entry in reply["data"]]
        cursor = reply["meta"]["next_cursor"]
    assert found == names
    assert [entry["name"] for entry in entries(client, name="n1*")] == ["n1"]
    assert [entry["name"] for entry in entries(client, name="n2")] == ["n2"]
    assert len(entries(client, name="*", search="N")) == 7


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=%25", "cursor=é", "cursor=_w"])
def test_a_malformed_question_is_refused_as_a_problem(client: Client, query: str) -> None:
    assert_refused(client.get(f"{CATALOG}?{query}"), "native", 400)


def test_a_name_that_nothing_has_is_not_found(client: Client) -> None:
    assert_refused(client.get(f"{CATALOG}/nothing"), "native", 404)
