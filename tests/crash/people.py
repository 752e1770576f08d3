"""A project with a few people in it, by everything that is kept of people; and every figure and list that tells of them."""

import re
from typing import Any

from tests.server import Client

RULES = """
facts:
  - {id: seen, event: page.viewed, fact_type: view, points: 1}
challenges:
  - {id: buyer, title: Buyer, fact: custom.bought, goal: 2, points: 10}
badges:
  - {id: fan, title: Fan, challenge: buyer, points: 5}
journeys:
  - id: onboarding
    trigger: {event: joined}
    steps:
      - {id: hello, emit: {event: welcome.sent}}
      - {id: pause, wait: 30d}
      - {id: again, emit: {event: missed.you}}
"""
ALICE = ("alice-7f3a9c21", "anon-5e1d0b86", "old-94c2a7e0")
"""All ids of one person: a user's, an anonymous visitor's, and an alias."""
SECRETS = (*ALICE, "mail-c0ffee42@x.se", "purple-elephant-6b1f", "only.alice.does.this", "tag-of-alice-2d7e")


def sent_by(user: str, anonymous: str, old: str, email: str, word: str, name: str, tag: str) -> list[dict[str, Any]]:
    """What one person sends, in Segment's words: each with a message id of its own."""
    times = iter(range(10, 60))

    def item(**fields: Any) -> dict[str, Any]:
        minute = next(times)
        return {"timestamp": f"2025-01-15T10:{minute}:00Z", "messageId": f"{user}-{minute}"} | fields

    def track(event: str, **fields: Any) -> dict[str, Any]:
        return item(type="track", event=event, userId=user) | fields

    return [
        item(type="track", event="page.viewed", anonymousId=anonymous, properties={"word": word}),
        item(type="track", event="page.viewed", anonymousId=old),
        item(type="identify", userId=user, anonymousId=anonymous, traits={"email": email, "note": word}),
        item(type="alias", userId=user, previousId=old),
        item(type="group", userId=user, groupId="acme", traits={"size": 12}),
        track("joined"),
        *(track("bought", properties={"value": 3, "word": word}) for _ in range(5)),
        track("page.viewed", properties={"word": word, "plan": tag}),
        track(name, properties={"word": word}),
        track("page.viewed", timestamp="2200-01-01T00:00:00Z", properties={"word": word}),
    ]


def people() -> dict[str, list[dict[str, Any]]]:
    _, anonymous, old, email, word, name, tag = (SECRETS[0], *SECRETS[1:])
    return {
        "bob": sent_by("bob", "anon-bob", "old-bob", "bob@x.se", "hat", "shared.name", "gold"),
        "alice": sent_by(ALICE[0], anonymous, old, email, word, name, tag),
        "carol": sent_by("carol", "anon-carol", "old-carol", "carol@x.se", "shoe", "shared.name", "silver"),
    }


def set_up(client: Client, url: str = "http://127.0.0.1:9/dead") -> None:
    """Rules, and a webhook whose receiver is not there: what is to be delivered waits."""
    applied = client.put("/api/v1/rules", content=RULES)
    assert applied.status_code == 200, applied.text
    topics = ["event", "badge.awarded", "points.changed", "challenge.completed"]
    made = client.post("/api/v1/webhooks", json={"id": "hook", "url": url, "topics": topics})
    assert made.status_code == 201, made.text


def send(client: Client, items: list[dict[str, Any]]) -> None:
    reply = client.post("/v1/batch", json={"batch": items})
    assert reply.status_code == 200, reply.text


def fill(client: Client, *, without: str = "") -> None:
    everybody = {name: items for name, items in people().items() if name != without}
    for number in range(max(map(len, everybody.values()))):
        send(client, [items[number] for items in everybody.values() if number < len(items)])
    for name in everybody:
        participant = ALICE[0] if name == "alice" else name
        grant = {"points": 7, "reason": f"for {participant}", "key": f"grant-{participant}"}
        assert client.post(f"/api/v1/participants/{participant}/points", json=grant).status_code == 201
    point = {"name": "latency", "type": "gauge", "value": 1.5, "timestamp": "2025-01-15T10:30:00Z"}
    assert client.post("/api/v1/metrics", json=point).status_code in (201, 202)


FIGURES = (
    "/api/v1/events?limit=100",
    "/api/v1/events/count",
    "/api/v1/events/count?interval=1d&from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z",
    "/api/v1/events/count?group_by=name",
    "/api/v1/events/count?group_by=user_id",
    "/api/v1/events/count?name=page.viewed",
    "/api/v1/events/stats?name=bought&field=properties.value",
    "/api/v1/catalog?limit=100",
    "/v1/admin/events?limit=100",
    "/v1/admin/events/names",
    "/api/v1/users?limit=100",
    "/api/v1/groups/group/acme",
    "/api/v1/participants?limit=100",
    "/api/v1/points?limit=100",
    "/api/v1/points/leaderboard",
    "/api/v1/challenges",
    "/api/v1/challenges/buyer/leaderboard",
    "/api/v1/badges",
    "/api/v1/badges/fan/holders",
    "/api/v1/journeys",
    "/api/v1/journeys/onboarding/runs?limit=100",
    "/api/v1/metrics",
)
_THESE_YEARS = re.compile(r"20(2[6-9]|[3-9]\d)-\d\d-\d\dT")
# What tells one event or run from another of the same content.
_OWN = {"id", "event_id", "eventId", "cursor", "next_cursor", "receivedAt", "received_at", "at", "started_at", "due_at"}
_OWN |= {"evt", "place", "applied_at", "version", "moved_at", "createdAt", "created_at", "occurredAt", "granted_at"}


def figures(client: Client) -> dict[str, Any]:
    """Every figure and list, without what is never the same twice."""
    found: dict[str, Any] = {}
    for path in FIGURES:
        reply = client.get(path)
        assert reply.status_code == 200, (path, reply.text)
        found[path] = _without_own(reply.json())
    return found


def _without_own(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_own(each) for key, each in value.items()}
        if isinstance(kept.get("id"), str) and kept["id"] in ("buyer", "fan", "onboarding"):
            return {key: each for key, each in kept.items() if key not in _OWN - {"id"}}
        return {key: each for key, each in kept.items() if key not in _OWN}
    if isinstance(value, str) and _THESE_YEARS.match(value):
        return "when the test ran"
    if isinstance(value, list):
        return sorted(map(_without_own, value), key=repr) if value and isinstance(value[0], dict) else value
    return value
