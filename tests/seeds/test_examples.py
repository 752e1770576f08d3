"""Every request example of the four documents, byte for byte, and what the documents say it answers."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.seeds.conftest import Send
from tests.seeds.examples import Example, document, documented_json, shape
from tests.server import Client

TRACK = Example("flux", "curl https://flux.brainzlab.ai/api/v1/events \\\n", "  }'")
BATCH = Example("flux", "curl https://flux.brainzlab.ai/api/v1/events/batch \\\n", "]\n  }'")
LIST = Example("flux", 'curl "https://flux.brainzlab.ai/api/v1/events?\\\n', 'sk_live_xxx"')
COUNT = Example(
    "flux",
    'curl "https://flux.brainzlab.ai/api/v1/events/count?\\\nname=user.signup&\\\nfrom=',
    'sk_live_xxx"',
)
GROUPS = Example(
    "flux",
    'curl "https://flux.brainzlab.ai/api/v1/events/count?\\\nname=user.signup&\\\ngroup_by=',
    'sk_live_xxx"',
)
STATS = Example("flux", 'curl "https://flux.brainzlab.ai/api/v1/events/stats?\\\n', 'sk_live_xxx"')
ASYNC = Example("bricqs", "curl -X POST https://YOUR_API_DOMAIN/api/v1/ingest/events \\\n", "\n  }'")
BRICQS_BATCH = Example("bricqs", "curl -X POST https://YOUR_API_DOMAIN/api/v1/ingest/events/batch \\\n", "\n  }'")
SYNC = Example("bricqs", "curl -X POST https://YOUR_API_DOMAIN/api/v1/ingest/events/sync \\\n", "\n  }'")
SOLUTE = Example("solute", "curl -X POST https://api.solute.dev/api/events \\\n", "\n  }'")
BROWSE = Example(
    "hogsend",
    'curl -H "Authorization: Bearer your-admin-api-key" \\\n"http://localhost:3002/v1/admin/events?',
    'from=2025-01-01T00:00:00Z"',
)
INSPECT = Example(
    "hogsend",
    'curl -H "Authorization: Bearer your-admin-api-key" \\\nhttp://localhost:3002/v1/admin/events/550e',
    "446655440000",
)
REPLAY = Example("hogsend", "curl -X POST http://localhost:3002/v1/admin/events/replay \\\n", "\n}'")

EVERY = [
    *(TRACK, BATCH, LIST, COUNT, GROUPS, STATS),
    *(ASYNC, BRICQS_BATCH, SYNC, SOLUTE, BROWSE, INSPECT, REPLAY),
]
EVT = r"evt_[0-9a-f]{32}"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def test_no_command_in_the_documents_is_left_out() -> None:
    for name in ("flux", "bricqs", "solute", "hogsend"):
        examples = [example for example in EVERY if example.dialect == name]
        assert document(name).count("curl ") == len(examples)


def post_batch(client: Client, events: list[dict[str, Any]]) -> None:
    for start in range(0, len(events), 500):
        chunk = events[start : start + 500]
        response = client.post("/api/v1/events/batch", json={"events": chunk})
        assert response.json() == {"data": {"accepted": len(chunk), "rejected": 0}}


# Flux


def test_flux_tracks_the_documents_event(send: Send, client: Client) -> None:
    reply = send(TRACK.text)
    documented = documented_json("flux", '"region": "us-east"\n    }\n  }\'')
    assert reply.status == 201
    assert reply.json.keys() == {"data"}
    assert re.fullmatch(EVT, reply.json["data"]["id"])
    assert reply.json["data"] == documented["data"] | {"id": reply.json["data"]["id"]}
    event = client.get(f"/api/v1/events/{reply.json['data']['id']}").json()["data"]
    assert event["properties"] == {
        "plan": "pro",
        "source": "google_ads",
        "referrer": "blog-post-123",
    }
    assert event["tags"] == {"environment": "production", "region": "us-east"}


def test_flux_accepts_the_documents_batch(send: Send, client: Client) -> None:
    reply = send(BATCH.text)
    assert reply.status == 201
    assert reply.json == documented_json("flux", '"signup_cta" }\n      }\n    ]\n  }\'')
    rows = client.get("/api/v1/events").json()["data"]
    assert {(row["name"], row["user_id"], *row["properties"].items()) for row in rows} == {
        ("page.viewed", "user_123", ("page", "/pricing")),
        ("button.clicked", "user_123", ("button", "signup_cta")),
    }


def test_flux_lists_what_the_document_lists(send: Send, client: Client) -> None:
    wanted = documented_json("flux", 'limit=50" \\\n  -H "Authorization: Bearer sk_live_xxx"')
    row = wanted["data"][0]
    event = {key: value for key, value in row.items() if key != "id"}
    older = [event | {"timestamp": f"2024-01-{1 + number % 14:02d}T00:00:00Z"} for number in range(233)]
    tagged = event | {"properties": {}, "tags": {"plan": "pro"}, "timestamp": "2024-01-01T00:00:00Z"}
    others = [
        event | {"name": "user.signup2"},
        event | {"timestamp": "2023-12-31T23:59:59.999Z"},
        event | {"timestamp": "2024-01-31T23:59:59.001Z"},
        event | {"properties": {"plan": "starter"}},
        event | {"tags": {"plan": "starter"}},
        event | {"properties": {}},
    ]
    post_batch(client, [event, *older[1:], tagged, *others])
    reply = send(LIST.text)
    assert reply.status == 200
    assert reply.json.keys() == {"data", "meta"}
    assert reply.json["meta"] == wanted["meta"]
    assert len(reply.json["data"]) == 50
    first = reply.json["data"][0]
    assert re.fullmatch(EVT, first["id"])
    assert first == row | {"id": first["id"]}


def test_flux_counts_by_day_what_the_document_counts(send: Send, client: Client) -> None:
    wanted = documented_json("flux", 'interval=1d" \\\n  -H "Authorization: Bearer sk_live_xxx"')
    series = wanted["data"]["series"]
    # The document shows the first three days of the month and the total of all.
    rest = wanted["data"]["total"] - sum(bucket["count"] for bucket in series)
    last = {"timestamp": "2024-01-31T23:59:59.999Z", "count": rest}  # `to` is a day and means all of it
    events = [
        {"name": "user.signup", "timestamp": bucket["timestamp"]}
        for bucket in [*series, last]
        for _ in range(bucket["count"])
    ]
    outside = [
        {"name": "user.signup", "timestamp": "2024-02-01T00:00:00Z"},
        {"name": "user.signup", "timestamp": "2023-12-31T23:59:59.999Z"},
        {"name": "user.login", "timestamp": "2024-01-02T00:00:00Z"},
    ]
    post_batch(client, [*events, *outside])
    reply = send(COUNT.text)
    assert reply.status == 200
    wanted["data"]["series"].append({"timestamp": "2024-01-31T00:00:00Z", "count": rest})
    assert reply.json == wanted


def test_flux_groups_by_tag_what_the_document_groups(send: Send, client: Client) -> None:
    wanted = documented_json("flux", 'group_by=tags.plan" \\\n  -H "Authorization: Bearer sk_live_xxx"')
    groups = wanted["data"]["groups"]
    tagged = [
        {"name": "user.signup", "tags": {"plan": plan}}
        for plan in sorted(groups)  # not the order of the answer
        for _ in range(groups[plan])
    ]
    post_batch(client, [*tagged, {"name": "user.login", "tags": {"plan": "pro"}}])
    reply = send(GROUPS.text)
    assert reply.status == 200
    assert reply.json == wanted
    assert list(reply.json["data"]["groups"]) == list(groups)  # largest first


def values_with(stats: dict[str, float]) -> list[float]:
    """1234 values in order, in which each documented figure is where percentile_cont looks for it."""
    assert stats["count"] == 1234
    # Positions (count - 1) * p: 616.5, 1171.35 and 1220.67; so both neighbours are the figure itself.
    values = [stats["p50"]] * 618 + [100.0] * 553 + [stats["p95"]] * 49 + [stats["p99"]] * 14
    values[0], values[1233] = stats["min"], stats["max"]
    free = range(1, 616)
    room = round(stats["sum"] * 100) - sum(round(values[at] * 100) for at in range(1234) if at not in free)
    each, more = divmod(room, len(free))
    for at in free:
        values[at] = each / 100
    values[615] = (each + more) / 100
    assert values == sorted(values)
    return values


def test_flux_aggregates_what_the_document_aggregates(send: Send, client: Client) -> None:
    wanted = documented_json("flux", 'to=2024-01-31" \\\n  -H "Authorization: Bearer sk_live_xxx"')["data"]
    values = values_with(wanted)
    order = {"name": "order.placed", "timestamp": "2024-01-15T12:00:00Z"}
    events = [order | {"value": value} for value in values[::-1]]
    outside = [order, order | {"value": 1e6, "timestamp": "2024-02-01"}, order | {"name": "x", "value": 1e6}]
    post_batch(client, [*events, *outside])
    reply = send(STATS.text)
    assert reply.status == 200
    assert reply.json.keys() == {"data"}
    stats = reply.json["data"]
    assert stats.keys() == wanted.keys()
    assert stats["avg"] == pytest.approx(98765.43 / 1234, rel=1e-14)
    assert stats["avg"] == pytest.approx(wanted["avg"], abs=0.01)  # the document cuts it to cents
    assert stats["sum"] == pytest.approx(wanted["sum"], rel=1e-15)
    exact = {key: wanted[key] for key in wanted if key not in ("avg", "sum")}
    assert {key: stats[key] for key in exact} == exact


# Bricqs


def test_bricqs_queues_the_documents_event(send: Send, client: Client) -> None:
    reply = send(ASYNC.text)
    documented = documented_json("bricqs", '"timestamp": "2026-04-10T10:30:00Z"\n  }\'')
    assert reply.status == 202
    assert shape(reply.json) == shape(documented)
    assert reply.json["accepted"] is documented["accepted"] is True
    assert re.fullmatch(r"\d{13}-\d+", reply.json["message_id"])
    [event] = client.get("/v1/admin/events").json()["events"]
    assert event == {
        "id": event["id"],
        "userId": "user_123",
        "event": "purchase_completed",
        "properties": {"amount": 49.99, "currency": "USD", "product_id": "prod_abc"},
        "occurredAt": "2026-04-10T10:30:00.000Z",
    }


def test_bricqs_accepts_the_documents_batch(send: Send, client: Client) -> None:
    reply = send(BRICQS_BATCH.text)
    documented = documented_json("bricqs", '"currency": "USD"}\n      }\n    ]\n  }\'')
    assert reply.status == 202
    ids = reply.json["message_ids"]
    assert reply.json == documented | {"message_ids": ids}
    assert len(ids) == len(documented["message_ids"])
    order = [tuple(map(int, each.split("-"))) for each in ids]
    assert order == sorted(set(order))
    names = [row["name"] for row in client.get("/v1/admin/events/names").json()["events"]]
    assert sorted(names) == ["add_to_cart", "page_view", "purchase_completed"]


def test_bricqs_processes_the_documents_event_at_once(send: Send, client: Client) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    reply = send(SYNC.text)
    documented = documented_json("bricqs", '"time_seconds": 120\n    }\n  }\'')
    assert reply.status == 200
    assert shape(reply.json) == shape(documented)
    assert re.fullmatch(EVT, reply.json["event_id"])
    assert re.fullmatch(r"fact_[0-9a-f]{32}", reply.json["fact_id"])
    assert reply.json["fact_type"] == documented["fact_type"]
    assert before < datetime.fromisoformat(reply.json["processed_at"]) <= datetime.now(UTC)
    event = client.get(f"/api/v1/events/{reply.json['event_id']}").json()["data"]
    assert event["name"] == "level_completed"
    assert event["properties"] == {"level": 5, "score": 9200, "time_seconds": 120}


# Solute


def test_solute_processes_the_documents_batch(send: Send, client: Client) -> None:
    reply = send(SOLUTE.text)
    assert reply.status == 200
    assert reply.json == documented_json("solute", '"sentAt": "2025-01-15T10:30:05Z"\n  }\'')
    [row] = client.get("/api/v1/events").json()["data"]
    event = client.get(f"/api/v1/events/{row['id']}").json()["data"]
    shown = {
        "name": "Button Clicked",
        "type": "track",
        "timestamp": "2025-01-15T10:30:00Z",
        "sent_at": "2025-01-15T10:30:05Z",
        "user_id": "user_123",
        "anonymous_id": "anon_456",
        "message_id": "msg_789",
        "session_id": "session_abc",
        "properties": {"button_id": "cta-signup", "page": "/homepage"},
        "context": {
            "page": {
                "path": "/homepage",
                "url": "https://example.com/homepage",
                "title": "Homepage",
            },
            "library": {"name": "@solute-ai/sdk", "version": "0.1.2"},
            "sessionId": "session_abc",
        },
    }
    assert {key: event[key] for key in shown} == shown


# Hogsend

SIGNED_UP = {
    "name": "user:signed_up",
    "user_id": "user_abc123",
    "timestamp": "2025-01-15T10:30:00Z",
    "properties": {"plan": "pro", "source": "website"},
}


def test_hogsend_browses_what_the_document_browses(send: Send, client: Client) -> None:
    older = SIGNED_UP | {"timestamp": "2024-12-31T23:59:59.999Z"}
    post_batch(client, [SIGNED_UP, older, SIGNED_UP | {"name": "user:signed_in"}])
    reply = send(BROWSE.text)
    assert reply.status == 200
    [event] = reply.json["events"]
    assert re.fullmatch(UUID, event["id"])
    documented = documented_json("hogsend", "list:\n")
    documented["events"][0]["id"] = event["id"]
    assert reply.json == documented


def test_hogsend_inspects_what_the_document_inspects(send: Send, client: Client) -> None:
    reply = send(INSPECT.text)  # nobody has the document's id
    assert (reply.status, reply.json) == (404, {"error": "Event not found"})
    post_batch(client, [SIGNED_UP])
    event_id = client.get("/v1/admin/events").json()["events"][0]["id"]
    reply = send(INSPECT.text.replace("550e8400-e29b-41d4-a716-446655440000", event_id))
    assert reply.status == 200
    documented = documented_json("hogsend", "one:\n")
    documented["event"]["id"] = event_id
    assert reply.json == documented


def test_hogsend_replays_by_filter_as_the_document_does(send: Send, client: Client) -> None:
    post_batch(client, [SIGNED_UP] * 98 + [SIGNED_UP | {"name": "user:signed_in"}])
    reply = send(REPLAY.text)
    assert (reply.status, reply.json) == (200, {"replayed": 98, "errors": []})


def test_hogsend_replays_the_documents_ids_which_nobody_has(client: Client) -> None:
    text = document("hogsend")
    body = text[text.index('{\n"eventIds"') : text.index('\n}\n\n{\n"filter"') + 2]
    response = client.post("/v1/admin/events/replay", content=body)
    assert response.status_code == 200
    assert response.json() == {
        "replayed": 0,
        "errors": [
            {"eventId": "event-uuid-1", "error": "Event not found"},
            {"eventId": "event-uuid-2", "error": "Event not found"},
        ],
    }


def test_hogsend_replays_by_the_documents_whole_filter(client: Client) -> None:
    inside = [SIGNED_UP | {"timestamp": f"2025-01-{day:02d}T00:00:00Z"} for day in (1, 7, 15)]
    outside = [
        SIGNED_UP | {"timestamp": "2024-12-31T23:59:59.999Z"},
        SIGNED_UP | {"timestamp": "2025-01-15T00:00:00.001Z"},
        inside[0] | {"user_id": "user_abc124"},
        inside[0] | {"name": "user:signed_in"},
    ]
    post_batch(client, [*inside, *outside])
    text = document("hogsend")
    body = text[text.index('{\n"filter"') : text.index("\n}\n\nreplayed:") + 2]
    response = client.post("/v1/admin/events/replay", content=body)
    assert response.status_code == 200
    assert response.json() == {"replayed": 3, "errors": []}


def test_hogsend_answers_a_replay_with_an_unknown_id_as_the_document_does(client: Client) -> None:
    post_batch(client, [SIGNED_UP] * 98)
    listed = client.get("/v1/admin/events", params={"limit": 98}).json()["events"]
    body = {"eventIds": [*(event["id"] for event in listed), "event-uuid-3"], "limit": 100}
    response = client.post("/v1/admin/events/replay", json=body)
    assert response.status_code == 200
    assert response.json() == documented_json("hogsend", "replayed:\n")
