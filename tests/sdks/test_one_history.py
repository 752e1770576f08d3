"""The same person and purchase through every family: one history, and the same figures whichever API is asked."""

from collections import Counter
from typing import Any, NamedTuple

import pytest

from tests.server import Client

WHEN = "2025-01-15T10:30:00.250Z"
WHEN_MS = 1_736_937_000_250
SALE = {"revenue": 49.99, "currency": "USD"}
NAME = "Order Completed"


class Sent(NamedTuple):
    """Where a family sends, what, and the source that its events have here. The body has the id that makes a repeat one."""

    source: str
    path: str
    body: Any


_FLUX = {"name": NAME, "user_id": "user_1", "timestamp": WHEN, "properties": SALE}
_SOLUTE = {"type": "track", "event": NAME, "userId": "user_1", "timestamp": WHEN, "context": {}, "properties": SALE}
_SEGMENT = {"event": NAME, "userId": "user_1", "timestamp": WHEN, "properties": SALE}
_CLOUDEVENT = {"specversion": "1.0", "source": "/shop", "type": NAME, "time": WHEN, "subject": "user_1", "data": SALE}

FAMILIES = {
    "Flux": Sent("flux", "/api/v1/events", _FLUX | {"idempotency_key": "flux"}),
    "Flux's gem": Sent("flux", "/api/v1/flux/batch", {"events": [_FLUX | {"idempotency_key": "gem"}], "metrics": []}),
    "Bricqs": Sent(
        "bricqs",
        "/api/v1/ingest/events",
        {"event_name": NAME, "participant_id": "user_1", "timestamp": WHEN, "properties": SALE, "idempotency_key": "m"},
    ),
    "Solute": Sent("solute", "/api/events", {"sentAt": WHEN, "batch": [_SOLUTE | {"messageId": "m"}]}),
    "Hogsend": Sent(
        "hogsend",
        "/v1/events",
        {"name": NAME, "userId": "user_1", "timestamp": WHEN, "eventProperties": SALE, "idempotencyKey": "m"},
    ),
    "Segment": Sent("segment", "/v1/track", _SEGMENT | {"messageId": "segment"}),
    "RudderStack": Sent(
        "segment",
        "/v1/batch",
        {"batch": [_SEGMENT | {"type": "track", "channel": "server", "messageId": "rudder"}], "sentAt": WHEN},
    ),
    "PostHog": Sent(
        "posthog",
        "/batch",
        {"batch": [{"event": NAME, "distinct_id": "user_1", "timestamp": WHEN, "uuid": "m", "properties": SALE}]},
    ),
    "Amplitude": Sent(
        "amplitude",
        "/2/httpapi",
        {
            "events": [
                {"event_type": NAME, "user_id": "user_1", "time": WHEN_MS, "insert_id": "m", "event_properties": SALE}
            ]
        },
    ),
    "Mixpanel": Sent(
        "mixpanel",
        "/track",
        {"event": NAME, "properties": {"distinct_id": "user_1", "time": WHEN_MS / 1000, "$insert_id": "m"} | SALE},
    ),
    "CloudEvents": Sent("cloudevents", "/v1/cloudevents", _CLOUDEVENT | {"id": "m"}),
}
SOURCES = Counter(family.source for family in FAMILIES.values())


def test_every_source_that_there_is_is_here() -> None:
    from headrace.http.docs import document

    # Journeys emit events themselves; lines of log shippers have tests of their own.
    assert set(document()["components"]["schemas"]["Source"]["enum"]) - {"journey", "native"} == set(SOURCES)


def test_one_person_and_purchase_through_every_family_is_one_history_with_equal_figures(client: Client) -> None:
    for _ in range(2):  # the second time is a retry, of which each family knows by the id of its own
        for _, path, body in FAMILIES.values():
            response = client.post(path, json=body)
            assert response.status_code in (200, 201, 202), response.text

    number = len(FAMILIES)
    history = client.get("/v1/admin/events", params={"userId": "user_1", "event": NAME}).json()
    assert history["total"] == number
    assert {row["occurredAt"] for row in history["events"]} == {WHEN}
    by_source = {
        source: client.get("/v1/admin/events", params={"userId": "user_1", "source": source}).json()["total"]
        for source in SOURCES
    }
    assert by_source == SOURCES

    figures = client.get("/api/v1/events/stats", params={"name": NAME, "field": "properties.revenue"}).json()["data"]
    assert figures["count"] == number
    assert figures["sum"] == pytest.approx(49.99 * number, rel=1e-12)
    assert (figures["min"], figures["max"], figures["p50"]) == (49.99, 49.99, 49.99)
    groups = client.get("/api/v1/events/count", params={"name": NAME, "group_by": "properties.currency"}).json()["data"]
    assert groups == {"total": number, "groups": {"USD": number}}
    users = client.get("/api/v1/events/count", params={"group_by": "user_id", "interval": "1d"}).json()["data"]
    assert users["groups"] == {"user_1": number}
    assert users["series"] == [{"timestamp": "2025-01-15T00:00:00Z", "count": number}]
