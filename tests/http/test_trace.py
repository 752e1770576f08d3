"""What has become of an event, step by step."""

from typing import Any

from tests.http.routes import assert_refused
from tests.server import Client, Server


def trace(client: Client, event_id: str) -> dict[str, Any]:
    response = client.get(f"/api/v1/events/{event_id}/trace")
    assert response.status_code == 200, response.text
    return response.json()["data"]


def test_a_trace_says_how_an_event_came_where_it_is_and_what_it_set_off(client: Client) -> None:
    sync = {"event_name": "bought", "participant_id": "p", "idempotency_key": "k"}
    first = client.post("/ingest/events/sync", json=sync).json()
    repeat = client.post("/ingest/events/sync", json=sync).json()
    assert repeat["event_id"] == first["event_id"]
    found = trace(client, first["event_id"])
    one = client.get(f"/api/v1/events/{first['event_id']}").json()["data"]
    assert found["received"] == {"at": one["received_at"], "source": "bricqs", "message_id": "k"}
    assert found["deduplicated"] == {"by": "message_id", "repeat_known": True}
    assert found["stored"]["in_store"]
    assert found["stored"]["in_log"], "which keeps a second copy while the store's part is young"
    assert (found["id"], found["name"], found["reacted"]) == (first["event_id"], "bought", True)
    [fact] = found["facts"]
    assert fact["detail"]["fact_id"] == first["fact_id"]
    assert found["effects"] == []


def test_an_event_without_a_message_id_has_nothing_to_be_known_by(client: Client) -> None:
    event_id = client.post("/api/v1/events", json={"name": "n"}).json()["data"]["id"]
    found = trace(client, event_id)
    assert (found["received"]["message_id"], found["deduplicated"]) == (None, {"by": None, "repeat_known": False})


def test_a_trace_is_nobody_elses(client: Client, server: Server, project: str) -> None:
    event_id = client.post("/api/v1/events", json={"name": "n"}).json()["data"]["id"]
    with server.client(server.key(f"{project}-2")) as other:
        assert_refused(other.get(f"/api/v1/events/{event_id}/trace"), "native", 404)
    assert_refused(client.get("/api/v1/events/x/trace"), "native", 404)
