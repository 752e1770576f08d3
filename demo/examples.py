"""Every request example of the four documents as it stands there, and what this server should answer to it.

Only host and key are replaced when they are sent. A request marked "ours" is in no document.
"""

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

EVT = re.compile(r"evt_[0-9a-f]{32}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FACT = re.compile(r"fact_[0-9a-f]{32}")
MESSAGE = re.compile(r"\d{13}-\d+")
NOW = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


class Request(NamedTuple):
    """What goes over the wire; `target` is path and query, `headers` still hold the document's key."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None


class Example(NamedTuple):
    """A request as a curl command, and the answer: its status and its JSON, with patterns where it varies."""

    curl: str
    status: int
    reply: Any
    note: str = ""


class Document(NamedTuple):
    """`style` is the style of the key that its clients carry."""

    title: str
    style: str
    examples: tuple[Example, ...]


_options = argparse.ArgumentParser(prog="curl", exit_on_error=False)
_options.add_argument("url")
_options.add_argument("-X")
_options.add_argument("-H", action="append", default=[])
_options.add_argument("-d")
_options.add_argument("-g", action="store_true")


def parse_curl(command: str) -> Request:
    """What a curl command sends. In double quotes a shell drops a backslash with the line's end; shlex does not."""
    return parse_words(shlex.split(command.replace("\\\n", "")))


def parse_words(words: Sequence[str]) -> Request:
    """What curl sends, called with these words, for the few options that are used here."""
    given = _options.parse_args(words[1:])
    body = None if given.d is None else given.d.encode()
    return Request(
        method=given.X or ("GET" if body is None else "POST"),
        target="/" + given.url.split("/", 3)[3],
        headers=dict(header.split(": ", 1) for header in given.H),
        body=body,
    )


def differences(expected: Any, got: Any, where: str = "") -> Iterator[str]:
    """What differs, a line each: other keys, another length, another value, or one that fits no pattern."""
    if isinstance(expected, re.Pattern):
        if not (isinstance(got, str) and expected.fullmatch(got)):
            yield f"{where}: expected {expected.pattern}, got {got!r:.200}"
    elif isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        for key in expected:
            yield from differences(expected[key], got[key], f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (wanted, element) in enumerate(zip(expected, got, strict=True)):
            yield from differences(wanted, element, f"{where}[{index}]")
    elif expected != got or isinstance(expected, bool) is not isinstance(got, bool):
        yield f"{where or 'reply'}: expected {expected!r:.200}, got {got!r:.200}"


FLUX = Document(
    "Flux: track events, then list, count and add them up",
    "flux",
    (
        Example(
            r"""curl https://flux.brainzlab.ai/api/v1/events \
  -H "Authorization: Bearer sk_live_xxx" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "user.signup",
    "timestamp": "2024-01-15T10:30:00Z",
    "user_id": "user_123",
    "value": 29.99,
    "properties": {
      "plan": "pro",
      "source": "google_ads",
      "referrer": "blog-post-123"
    },
    "tags": {
      "environment": "production",
      "region": "us-east"
    }
  }'""",
            201,
            {
                "data": {
                    "id": EVT,
                    "name": "user.signup",
                    "timestamp": "2024-01-15T10:30:00Z",
                    "user_id": "user_123",
                    "value": 29.99,
                }
            },
        ),
        Example(
            r"""curl https://flux.brainzlab.ai/api/v1/events/batch \
  -H "Authorization: Bearer sk_live_xxx" \
  -H "Content-Type: application/json" \
  -d '{
    "events": [
      {
        "name": "page.viewed",
        "user_id": "user_123",
        "properties": { "page": "/pricing" }
      },
      {
        "name": "button.clicked",
        "user_id": "user_123",
        "properties": { "button": "signup_cta" }
      }
    ]
  }'""",
            201,
            {"data": {"accepted": 2, "rejected": 0}},
        ),
        Example(
            r"""curl https://flux.brainzlab.ai/api/v1/events/batch \
  -H "Authorization: Bearer sk_live_xxx" \
  -H "Content-Type: application/json" \
  -d '{
    "events": [
      { "name": "order.placed", "timestamp": "2024-01-10T09:00:00Z", "value": 10 },
      { "name": "order.placed", "timestamp": "2024-01-11T09:00:00Z", "value": 20 },
      { "name": "order.placed", "timestamp": "2024-01-12T09:00:00Z", "value": 60 },
      {
        "name": "user:signed_up",
        "timestamp": "2025-01-15T10:30:00Z",
        "user_id": "user_abc123",
        "properties": { "plan": "pro", "source": "website" }
      }
    ]
  }'""",
            201,
            {"data": {"accepted": 4, "rejected": 0}},
            "Ours: the events that the documents' queries ask about.",
        ),
        Example(
            r"""curl "https://flux.brainzlab.ai/api/v1/events?\
name=user.signup&\
from=2024-01-01T00:00:00Z&\
to=2024-01-31T23:59:59Z&\
tags[plan]=pro&\
limit=50" \
  -H "Authorization: Bearer sk_live_xxx" """,
            200,
            {
                "data": [
                    {
                        "id": EVT,
                        "name": "user.signup",
                        "timestamp": "2024-01-15T10:30:00Z",
                        "user_id": "user_123",
                        "value": 29.99,
                        "properties": {
                            "plan": "pro",
                            "source": "google_ads",
                            "referrer": "blog-post-123",
                        },
                        "tags": {"environment": "production", "region": "us-east"},
                    }
                ],
                "meta": {"total": 1, "limit": 50, "offset": 0},
            },
        ),
        Example(
            r"""curl "https://flux.brainzlab.ai/api/v1/events/count?\
name=user.signup&\
from=2024-01-01&\
to=2024-01-31&\
interval=1d" \
  -H "Authorization: Bearer sk_live_xxx" """,
            200,
            {"data": {"total": 1, "series": [{"timestamp": "2024-01-15T00:00:00Z", "count": 1}]}},
        ),
        Example(
            r"""curl "https://flux.brainzlab.ai/api/v1/events/count?\
name=user.signup&\
group_by=tags.plan" \
  -H "Authorization: Bearer sk_live_xxx" """,
            200,
            {"data": {"total": 1, "groups": {"pro": 1}}},
        ),
        Example(
            r"""curl "https://flux.brainzlab.ai/api/v1/events/stats?\
name=order.placed&\
field=value&\
from=2024-01-01&\
to=2024-01-31" \
  -H "Authorization: Bearer sk_live_xxx" """,
            200,
            {
                "data": {
                    "count": 3,
                    "sum": 90.0,
                    "avg": 30.0,
                    "min": 10.0,
                    "max": 60.0,
                    "p50": 20.0,
                    "p95": 56.0,
                    "p99": 59.2,
                }
            },
        ),
    ),
)

BRICQS = Document(
    "Bricqs: one event, a batch, and one that is processed before the answer",
    "bricqs",
    (
        Example(
            r"""curl -X POST https://YOUR_API_DOMAIN/api/v1/ingest/events \
  -H "X-API-Key: bq_live_your_key" \
  -H "Content-Type: application/json" \
  -d '{
    "event_name": "purchase_completed",
    "participant_id": "user_123",
    "properties": {
      "amount": 49.99,
      "currency": "USD",
      "product_id": "prod_abc"
    },
    "timestamp": "2026-04-10T10:30:00Z"
  }'""",
            202,
            {"accepted": True, "message_id": MESSAGE},
        ),
        Example(
            r"""curl -X POST https://YOUR_API_DOMAIN/api/v1/ingest/events/batch \
  -H "X-API-Key: bq_live_your_key" \
  -H "Content-Type: application/json" \
  -d '{
    "events": [
      {
        "event_name": "page_view",
        "participant_id": "user_123",
        "properties": {"page": "/products"}
      },
      {
        "event_name": "add_to_cart",
        "participant_id": "user_123",
        "properties": {"product_id": "prod_abc", "quantity": 1}
      },
      {
        "event_name": "purchase_completed",
        "participant_id": "user_123",
        "properties": {"amount": 49.99, "currency": "USD"}
      }
    ]
  }'""",
            202,
            {"accepted": 3, "rejected": 0, "message_ids": [MESSAGE, MESSAGE, MESSAGE]},
        ),
        Example(
            r"""curl -X POST https://YOUR_API_DOMAIN/api/v1/ingest/events/sync \
  -H "X-API-Key: bq_live_your_key" \
  -H "Content-Type: application/json" \
  -d '{
    "event_name": "level_completed",
    "participant_id": "user_123",
    "properties": {
      "level": 5,
      "score": 9200,
      "time_seconds": 120
    }
  }'""",
            200,
            {
                "event_id": EVT,
                "fact_id": FACT,
                "fact_type": "custom.level_completed",
                "processed_at": NOW,
            },
        ),
    ),
)

SOLUTE = Document(
    "Solute: a batch from its SDK",
    "solute",
    (
        Example(
            r"""curl -X POST https://api.solute.dev/api/events \
  -H "Content-Type: application/json" \
  -H "X-Api-Key: your_api_key" \
  -d '{
    "batch": [
      {
        "type": "track",
        "event": "Button Clicked",
        "properties": {
          "button_id": "cta-signup",
          "page": "/homepage"
        },
        "timestamp": "2025-01-15T10:30:00Z",
        "userId": "user_123",
        "anonymousId": "anon_456",
        "messageId": "msg_789",
        "context": {
          "page": {
            "path": "/homepage",
            "url": "https://example.com/homepage",
            "title": "Homepage"
          },
          "library": {
            "name": "@solute-ai/sdk",
            "version": "0.1.2"
          },
          "sessionId": "session_abc"
        }
      }
    ],
    "sentAt": "2025-01-15T10:30:05Z"
  }'""",
            200,
            {"success": True, "processed": 1, "failed": 0},
        ),
    ),
)

HOGSEND = Document(
    "Hogsend: browse events, and replay them",
    "admin",
    (
        Example(
            r"""curl -H "Authorization: Bearer your-admin-api-key" \
"http://localhost:3002/v1/admin/events?event=user:signed_up&from=2025-01-01T00:00:00Z" """,
            200,
            {
                "events": [
                    {
                        "id": UUID,
                        "userId": "user_abc123",
                        "event": "user:signed_up",
                        "properties": {"plan": "pro", "source": "website"},
                        "occurredAt": "2025-01-15T10:30:00.000Z",
                    }
                ],
                "total": 1,
                "limit": 50,
                "offset": 0,
            },
        ),
        Example(
            r"""curl -H "Authorization: Bearer your-admin-api-key" \
http://localhost:3002/v1/admin/events/550e8400-e29b-41d4-a716-446655440000""",
            404,
            {"error": "Event not found"},
            "The document's ids are placeholders, so they are not found.",
        ),
        Example(
            r"""curl -X POST http://localhost:3002/v1/admin/events/replay \
-H "Authorization: Bearer your-api-key" \
-H "Content-Type: application/json" \
-d '{
"eventIds": ["event-uuid-1", "event-uuid-2"],
"limit": 100
}'""",
            200,
            {
                "replayed": 0,
                "errors": [
                    {"eventId": "event-uuid-1", "error": "Event not found"},
                    {"eventId": "event-uuid-2", "error": "Event not found"},
                ],
            },
        ),
        Example(
            r"""curl -X POST http://localhost:3002/v1/admin/events/replay \
-H "Authorization: Bearer your-api-key" \
-H "Content-Type: application/json" \
-d '{
"filter": {
"event": "user:signed_up",
"userId": "user_abc123",
"from": "2025-01-01T00:00:00Z",
"to": "2025-01-15T00:00:00Z"
},
"limit": 500
}'""",
            200,
            {"replayed": 0, "errors": []},
            "The one sign-up came at 10:30 on the last day, after this filter's end.",
        ),
        Example(
            r"""curl -X POST http://localhost:3002/v1/admin/events/replay \
-H "Authorization: Bearer your-api-key" \
-H "Content-Type: application/json" \
-d '{
"filter": { "event": "user:signed_up" },
"limit": 100
}'""",
            200,
            {"replayed": 1, "errors": []},
        ),
    ),
)

DOCUMENTS = (FLUX, BRICQS, SOLUTE, HOGSEND)
EVENTS = 1 + 2 + 4 + 1 + 3 + 1 + 1  # what all of them store
