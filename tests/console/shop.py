"""A project with something to see: events through several dialects, people, rules, refusals, a replay."""

import datetime as dt
import math
import random
import time
from typing import Any

from tests.server import Client, Server

RULES = """\
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
                "value": (number * 735) % 12_000 / 100 if number % 5 == 2 else None,
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


_SCENES = ("page.viewed",) * 9 + ("product.viewed",) * 5 + ("cart.updated",) * 4 + ("signup",) + ("order.placed",) * 2


def visit(client: Client, *, seconds: float) -> None:
    """People in the shop for so long, through several SDKs at once: some twenty events a second, in waves.

    The last thing that happens is ada's third order, which completes a challenge and brings her a badge.
    """
    chance = random.Random(7)
    until = time.monotonic() + seconds
    for _ in range(2):
        _happen(client, "order.placed", "ada", chance)
    while (left := until - time.monotonic()) > 0:
        for _ in range(round(6 + 3 * math.sin(left / 4) + chance.random() * 3)):
            _happen(client, chance.choice(_SCENES), f"user_{chance.randrange(400)}", chance)
        time.sleep(0.4)
    _happen(client, "order.placed", "ada", chance)


def _happen(client: Client, name: str, person: str, chance: random.Random) -> None:
    properties = {"plan": chance.choice(("free", "pro", "team")), "country": chance.choice(("DE", "NP", "BR"))}
    if name == "order.placed":
        track = {"type": "track", "event": name, "userId": person, "messageId": f"order-{chance.randrange(10**6)}"}
        body = {"batch": [{**track, "properties": {**properties, "items": chance.randrange(1, 5)}}]}
        client.post("/v1/batch", json=body)
    elif name == "signup":
        body = {"event_name": name, "participant_id": person, "properties": properties}
        client.post("/api/v1/ingest/events", json=body)
    elif name == "product.viewed":
        key = client.headers["Authorization"].removeprefix("Bearer ")
        sent = {"event": name, "distinct_id": person, "properties": properties}
        client.post("/batch", json={"api_key": key, "batch": [sent]})
    else:
        value = {"value": round(chance.uniform(5, 180), 2)} if name == "cart.updated" else {}
        client.post("/api/v1/events", json={"name": name, "user_id": person, "properties": properties, **value})
