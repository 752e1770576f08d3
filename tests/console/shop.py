"""A project with something to see: events through several dialects, people, rules, refusals, a replay."""

import datetime as dt
from typing import Any

from tests.server import Client, Server

RULES = """
facts:
  - {id: order, event: order.placed, fact_type: order}
challenges:
  - {id: three-orders, title: Three orders, fact: order, goal: 3, points: 50}
badges:
  - {id: regular, title: A regular, challenge: three-orders}
journeys:
  - id: thanks
    title: Thank you
    trigger: {event: order.placed}
    entry: once
    steps:
      - {id: settle, wait: 30d}
      - {id: tell, call: {webhook: rewards}}
"""


def fill(server: Server, project: str = "shop", *, days: int = 14) -> str:
    """The admin's key of the project."""
    key = server.key(project)
    with server.client(key) as client:
        _fill(client, days)
    return key


def _fill(client: Client, days: int) -> None:
    now = dt.datetime.now(dt.UTC)
    # No such host, so its deliveries show what a failure looks like.
    client.post(
        "/api/v1/webhooks", json={"id": "rewards", "url": "https://hooks.invalid/rewards", "topics": ["journey.called"]}
    )
    client.put("/api/v1/rules", content=RULES.encode())
    names = ("page.viewed", "page.viewed", "order.placed", "signup", "cart.updated")
    events: list[dict[str, Any]] = []
    for number in range(420):
        at = now - dt.timedelta(hours=(number * 37) % (days * 24), minutes=number % 60)
        events.append(
            {
                "name": names[number % len(names)],
                "user_id": f"user_{number % 23}",
                "timestamp": at.isoformat(timespec="milliseconds"),
                "value": (number * 7.35) % 120 if number % 5 == 2 else None,
                "properties": {
                    "plan": ("free", "pro", "team")[number % 3],
                    "country": ("DE", "NP", "BR", "US")[number % 4],
                    "items": number % 6,
                },
                "tags": {"region": ("eu", "us")[number % 2]},
            }
        )
    client.post("/api/v1/events/batch", json={"events": events})
    for number in range(8):
        body = {
            "userId": f"user_{number}",
            "traits": {"email": f"ada{number}@example.com", "name": f"Ada {number}", "plan": "pro"},
            "anonymousId": f"anon_{number}",
        }
        client.post("/v1/batch", json={"batch": [{"type": "identify", **body}]})
    client.post("/api/v1/events", json={"value": 3})
    client.post("/api/v1/events", json={"name": "x" * 300})
    client.post(
        "/api/v1/ingest/events",
        json={
            "event_name": "level.done",
            "participant_id": "user_1/with a slash",
            "properties": {"level": 9007199254740993},
        },
    )
    client.post(
        "/api/v1/events",
        json={
            "name": "<b>\u202eevil</b>",
            "user_id": "=cmd()",
            "properties": {"<script>": "\u202etxt", "list": [1, {"a": None}]},
        },
    )
    client.post("/v1/admin/events/replay", json={"filter": {"event": "signup"}, "async": True})
    client.get("/api/v1/events/count")
