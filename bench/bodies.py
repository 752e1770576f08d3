"""The request bodies that every side of a benchmark is sent: Flux's, with the fields of its own example."""

import json
from pathlib import Path

NAMES = ("page.viewed", "button.clicked", "user.signup", "order.placed", "search.run")


def event(number: int, *, keyed: bool = False) -> dict[str, object]:
    body: dict[str, object] = {
        "name": NAMES[number % len(NAMES)],
        "timestamp": f"2026-11-20T10:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "user_id": f"user_{number * 7919 % 100_000}",
        "value": 29.99 + number,
        "properties": {"plan": "pro", "source": "google_ads", "referrer": f"blog-post-{number}"},
        "tags": {"environment": "production", "region": "us-east"},
    }
    return body | {"idempotency_key": "@ID@"} if keyed else body


def write(path: Path, size: int, *, keyed: bool = False) -> None:
    """A batch, or for 1 an event alone."""
    events = [event(number + 1, keyed=keyed) for number in range(size)]
    path.write_text(json.dumps({"events": events} if size > 1 else events[0]))
