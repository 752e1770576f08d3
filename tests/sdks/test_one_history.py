"""The same person and purchase through every family: one history, and the same figures whichever API is asked."""

from typing import Any

import pytest

from tests.server import Client

WHEN = "2025-01-15T10:30:00.250Z"
WHEN_MS = 1_736_937_000_250
SALE = {"revenue": 49.99, "currency": "USD"}
NAME = "Order Completed"

# source → (path, body, headers)
FAMILIES: dict[str, tuple[str, Any, dict[str, str]]] = {
    "flux": ("/api/v1/events", {"name": NAME, "user_id": "user_1", "timestamp": WHEN, "properties": SALE}, {}),
    "bricqs": (
        "/api/v1/ingest/events",
        {"event_name": NAME, "participant_id": "user_1", "timestamp": WHEN, "properties": SALE},
        {},
    ),
    "solute": (
        "/api/events",
        {
            "sentAt": WHEN,
            "batch": [
                {
                    "type": "track",
                    "event": NAME,
                    "userId": "user_1",
                    "timestamp": WHEN,
                    "messageId": "m",
                    "context": {},
                    "properties": SALE,
                }
            ],
        },
        {},
    ),
    "hogsend": ("/v1/events", {"name": NAME, "userId": "user_1", "timestamp": WHEN, "properties": SALE}, {}),
    "segment": (
        "/v1/track",
        {"event": NAME, "userId": "user_1", "timestamp": WHEN, "messageId": "m", "properties": SALE},
        {},
    ),
    "posthog": (
        "/capture",
        {"event": NAME, "distinct_id": "user_1", "timestamp": WHEN, "uuid": "m", "properties": SALE},
        {},
    ),
    "amplitude": (
        "/2/httpapi",
        {
            "events": [
                {"event_type": NAME, "user_id": "user_1", "time": WHEN_MS, "insert_id": "m", "event_properties": SALE}
            ]
        },
        {},
    ),
    "mixpanel": (
        "/track",
        {"event": NAME, "properties": {"distinct_id": "user_1", "time": WHEN_MS / 1000, "$insert_id": "m"} | SALE},
        {},
    ),
    "cloudevents": (
        "/v1/cloudevents",
        {
            "specversion": "1.0",
            "id": "m",
            "source": "/shop",
            "type": NAME,
            "time": WHEN,
            "subject": "user_1",
            "data": SALE,
        },
        {},
    ),
}


def test_every_source_that_there_is_is_here() -> None:
    from headrace.http.docs import document

    assert set(document()["components"]["schemas"]["Source"]["enum"]) == set(FAMILIES)


def test_one_person_and_purchase_through_every_family_is_one_history_with_equal_figures(client: Client) -> None:
    for path, body, headers in FAMILIES.values():
        for _ in range(2):  # the second is a retry, of which each family with an id knows
            response = client.post(path, json=body, headers=headers | {"Idempotency-Key": path})
            assert response.status_code in (200, 201, 202), response.text

    number = len(FAMILIES)
    history = client.get("/v1/admin/events", params={"userId": "user_1", "event": NAME}).json()
    assert history["total"] == number
    assert {row["occurredAt"] for row in history["events"]} == {WHEN}
    by_source = {
        source: client.get("/v1/admin/events", params={"userId": "user_1", "source": source}).json()["total"]
        for source in FAMILIES
    }
    assert by_source == dict.fromkeys(FAMILIES, 1)

    figures = client.get("/api/v1/events/stats", params={"name": NAME, "field": "properties.revenue"}).json()["data"]
    assert figures["count"] == number
    assert figures["sum"] == pytest.approx(49.99 * number, rel=1e-12)
    assert (figures["min"], figures["max"], figures["p50"]) == (49.99, 49.99, 49.99)
    groups = client.get("/api/v1/events/count", params={"name": NAME, "group_by": "properties.currency"}).json()["data"]
    assert groups == {"total": number, "groups": {"USD": number}}
    users = client.get("/api/v1/events/count", params={"group_by": "user_id", "interval": "1d"}).json()["data"]
    assert users["groups"] == {"user_1": number}
    assert users["series"] == [{"timestamp": "2025-01-15T00:00:00Z", "count": number}]
