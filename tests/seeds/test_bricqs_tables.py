"""The tables of the Bricqs document: its endpoints, and one test per row of its event schema."""

import re
from typing import Any

import httpx
import pytest

from headrace.model.times import parse_time
from tests.server import Client, Server

ASYNC = "/api/v1/ingest/events"
BATCH = f"{ASYNC}/batch"
SYNC = f"{ASYNC}/sync"
EVENT = {"event_name": "n", "participant_id": "p"}


def sync(client: Client, **event: Any) -> dict[str, Any]:
    """Send one event and return it as Flux shows it afterwards."""
    response = client.post(SYNC, json=EVENT | event)
    assert response.status_code == 200, response.text
    return client.get(f"/api/v1/events/{response.json()['event_id']}").json()["data"]


def refused(client: Client, event: object) -> bool:
    """By all three endpoints, each in its way, and without a trace."""
    for path in (ASYNC, SYNC):
        response = client.post(path, json=event)
        assert response.status_code == 400, response.text
        assert response.json().keys() == {"detail"}
        assert response.json()["detail"]
    response = client.post(BATCH, json={"events": [event]})
    assert response.status_code == 202
    errors = response.json().pop("errors")
    assert response.json() == {"accepted": 0, "rejected": 1, "message_ids": [], "errors": errors}
    assert [error.keys() for error in errors] == [{"index", "error"}]
    assert errors[0]["index"] == 0
    return True


def total(client: Client) -> int:
    return client.get("/v1/admin/events", params={"limit": 1}).json()["total"]


# Authentication


@pytest.mark.parametrize(("mode", "prefix"), [("live", "bq_live_"), ("test", "bq_test_")])
def test_keys_go_in_the_x_api_key_header_and_have_a_prefix(
    server: Server, project: str, mode: Any, prefix: str
) -> None:
    key = server.key(project, mode, style="bricqs")
    assert key.startswith(prefix)
    with server.client() as client:
        assert client.post(ASYNC, json=EVENT, headers={"X-API-Key": key}).status_code == 202
        response = client.post(ASYNC, json=EVENT)
    assert response.status_code == 401
    assert response.json().keys() == {"detail"}


# Endpoints


@pytest.mark.parametrize("prefix", ["/api/v1", ""])
def test_ingest_events_queues_one_event(client: Client, prefix: str) -> None:
    response = client.post(f"{prefix}/ingest/events", json=EVENT)
    assert response.status_code == 202
    assert response.json().keys() == {"accepted", "message_id"}
    assert response.json()["accepted"] is True
    assert re.fullmatch(r"\d{13}-\d+", response.json()["message_id"])
    assert total(client) == 1


@pytest.mark.parametrize("prefix", ["/api/v1", ""])
def test_ingest_events_batch_takes_up_to_100_events(client: Client, prefix: str) -> None:
    path = f"{prefix}/ingest/events/batch"
    response = client.post(path, json={"events": [EVENT] * 100})
    assert response.status_code == 202
    assert response.json().keys() == {"accepted", "rejected", "message_ids"}
    assert (response.json()["accepted"], response.json()["rejected"]) == (100, 0)
    assert len(set(response.json()["message_ids"])) == 100
    for wrong in ({"events": [EVENT] * 101}, {"events": []}, {}, {"events": EVENT}):
        response = client.post(path, json=wrong)
        assert response.status_code == 400
        assert response.json().keys() == {"detail"}
    assert total(client) == 100


@pytest.mark.parametrize("prefix", ["/api/v1", ""])
def test_ingest_events_sync_answers_with_the_event_and_its_fact(client: Client, prefix: str) -> None:
    response = client.post(f"{prefix}/ingest/events/sync", json=EVENT)
    assert response.status_code == 200
    assert response.json().keys() == {"event_id", "fact_id", "fact_type", "processed_at"}
    assert response.json()["fact_type"] == "custom.n"


def test_a_batch_validates_each_event_on_its_own(client: Client) -> None:
    events = [EVENT, {}, EVENT | {"event_name": "m"}, EVENT | {"participant_id": 7}, None]
    response = client.post(BATCH, json={"events": events})
    assert response.status_code == 202
    reply = response.json()
    assert reply.keys() == {"accepted", "rejected", "message_ids", "errors"}
    assert (reply["accepted"], reply["rejected"], len(reply["message_ids"])) == (2, 3, 2)
    assert [error["index"] for error in reply["errors"]] == [1, 3, 4]
    listed = client.get("/v1/admin/events").json()["events"]
    assert [event["event"] for event in listed] == ["m", "n"]


def test_message_ids_rise_from_one_request_to_the_next(client: Client) -> None:
    ids = []
    for _ in range(5):
        ids.append(client.post(ASYNC, json=EVENT).json()["message_id"])
        ids += client.post(BATCH, json={"events": [EVENT] * 3}).json()["message_ids"]
    order = [tuple(map(int, each.split("-"))) for each in ids]
    assert order == sorted(set(order))


# Event Schema


def test_event_name_is_a_required_string(client: Client) -> None:
    assert sync(client, event_name="n" * 100)["name"] == "n" * 100
    for wrong in (None, "", "  ", 1, True, [], {}, "n" * 101):
        assert refused(client, EVENT | {"event_name": wrong})
    assert refused(client, {"participant_id": "p"})
    assert total(client) == 1


def test_unknown_event_names_are_discovered_and_accepted(client: Client) -> None:
    sync(client, event_name="never heard of")
    [name] = client.get("/v1/admin/events/names").json()["events"]
    assert (name["name"], name["occurrences"]) == ("never heard of", 1)


def test_participant_id_is_a_required_string(client: Client) -> None:
    assert sync(client, participant_id="p" * 255)["user_id"] == "p" * 255
    for wrong in (None, "", 1, True, [], {}, "p" * 256):
        assert refused(client, EVENT | {"participant_id": wrong})
    assert refused(client, {"event_name": "n"})
    assert total(client) == 1


def test_properties_is_an_optional_object_of_anything(client: Client) -> None:
    properties = {"b": [{"c": None}], "a": 2**70, "é": "\u0000"}
    assert sync(client, properties=properties)["properties"] == properties
    assert sync(client)["properties"] == sync(client, properties=None)["properties"] == {}
    for wrong in ([1], "x", 1, False):
        assert refused(client, EVENT | {"properties": wrong})
    assert total(client) == 3


def test_timestamp_is_an_optional_iso8601_string_and_defaults_to_server_time(client: Client) -> None:
    event = sync(client, timestamp="2026-04-10T12:30:00+02:00")
    assert event["timestamp"] == "2026-04-10T10:30:00Z"
    for absent in ({}, {"timestamp": None}):
        event = sync(client, **absent)
        assert abs(parse_time(event["timestamp"]) - parse_time(event["received_at"])) < 60_000
    for wrong in ("soon", "", 1775817000, {}, "2026-02-30"):
        assert refused(client, EVENT | {"timestamp": wrong})
    assert total(client) == 3


def first_message_id(response: httpx.Response) -> str:
    reply = response.json()
    return reply["message_ids"][0] if "message_ids" in reply else reply["message_id"]


def test_idempotency_key_is_an_optional_string_that_prevents_duplicate_processing(client: Client) -> None:
    keyed = EVENT | {"idempotency_key": "k" * 255}
    first = client.post(ASYNC, json=keyed)
    assert first.status_code == 202
    repeats = [
        client.post(ASYNC, json=keyed | {"event_name": "other"}),
        client.post(BATCH, json={"events": [keyed]}),
    ]
    assert {first_message_id(each) for each in repeats} == {first.json()["message_id"]}
    assert sync(client, **keyed)["message_id"] == "k" * 255
    assert total(client) == 1
    for wrong in (1, True, [], "k" * 256):
        assert refused(client, EVENT | {"idempotency_key": wrong})
    for none in (None, None, "", ""):
        sync(client, idempotency_key=none)
    assert total(client) == 5
