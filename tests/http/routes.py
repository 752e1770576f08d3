"""Every route of the dialects' tables: who may call it, what a good request to it is, and how it says no.

A new route is in MOUNTED, and one that reads in READ, without being written down here.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from headrace.dialects.route import Ingest as Takes
from headrace.dialects.route import Tell
from headrace.dialects.table import DIALECTS
from headrace.model.keys import Scope
from tests.http.families import ERRORS
from tests.server import Client

UNKNOWN_ID = "550e8400-e29b-41d4-a716-446655440000"


class Route(NamedTuple):
    """`status` of a good request; `body` is that request's, None for a GET."""

    method: str
    path: str
    dialect: str
    scope: Scope
    status: int
    body: Any = None
    for_browsers: bool = False
    template: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Ingest(NamedTuple):
    """A route that takes events. `wrap` makes a body of events, each the text of a JSON value."""

    route: Route
    wrap: Callable[[Sequence[bytes]], bytes]
    accepts_some: bool  # answers a bad event among its events, and not in place of them

    def __str__(self) -> str:
        return str(self.route)

    @property
    def path(self) -> str:
        return self.route.path

    @property
    def dialect(self) -> str:
        return self.route.dialect


def _mounted() -> tuple[Route, ...]:
    """Each route of the tables once, at an address that fits it; a body that no dialect takes with one that has a body."""
    return tuple(
        Route(
            route.method,
            re.sub(r"{[^}]*}", UNKNOWN_ID, route.path),
            dialect.name,
            route.scope,
            404 if "{" in route.path else route.status,
            None if route.method == "GET" else {},
            isinstance(route.does, Takes | Tell),
            route.path,
        )
        for dialect in DIALECTS
        for route in dialect.routes
        if not (isinstance(route.does, Takes) and route.does.is_claimant)
    )


MOUNTED = _mounted()
_BY_NAME = {str(route): route for route in MOUNTED}


# An event with only what its dialect requires.
MINIMAL: dict[str, dict[str, Any]] = {
    "flux": {"name": "n"},
    "bricqs": {"event_name": "n", "participant_id": "p"},
    "solute": {
        "type": "page",
        "timestamp": "2025-01-15T10:30:00Z",
        "messageId": "m",
        "context": {},
    },
    "hogsend": {"name": "n", "userId": "u"},
}


def _one(events: Sequence[bytes]) -> bytes:
    [event] = events
    return event


def _some(events: Sequence[bytes]) -> bytes:
    return b'{"events":[%b]}' % b",".join(events)


def _solute(events: Sequence[bytes]) -> bytes:
    return b'{"batch":[%b],"sentAt":"2025-01-15T10:30:05Z"}' % b",".join(events)


def _ingest(path: str, wrap: Callable[[Sequence[bytes]], bytes]) -> Ingest:
    route = _BY_NAME[f"POST {path}"]
    body = json.loads(wrap([json.dumps(MINIMAL[route.dialect]).encode()]))
    return Ingest(route._replace(body=body), wrap, wrap is not _one)


INGEST = (
    _ingest("/api/v1/events", _one),
    _ingest("/api/v1/events/batch", _some),
    _ingest("/api/v1/ingest/events", _one),
    _ingest("/api/v1/ingest/events/batch", _some),
    _ingest("/api/v1/ingest/events/sync", _one),
    _ingest("/ingest/events", _one),
    _ingest("/ingest/events/batch", _some),
    _ingest("/ingest/events/sync", _one),
    _ingest("/api/events", _solute),
    _ingest("/v1/events", _one),
)
LISTS = tuple(
    _BY_NAME[f"GET {path}"]
    for path in (
        *("/api/v1/events", "/api/v1/events/count", "/api/v1/events/stats", "/v1/admin/events", "/api/v1/catalog"),
    )
)
STREAMS = ("/api/v1/live",)
"""Whose reply goes on for as long as somebody reads it."""
_NEEDED = {"/v1/contacts/find": "?userId=u"}
"""What a good request has to ask for."""
READ = tuple(
    route._replace(path=route.path + _NEEDED.get(route.path, ""))
    for route in MOUNTED
    if route.method == "GET" and route.scope != "ingest" and route.path not in STREAMS
)
REPLAY = _BY_NAME["POST /v1/admin/events/replay"]._replace(body={"eventIds": ["x"]})
APPLY_RULES = _BY_NAME["PUT /api/v1/rules"]
EVERY = (*(each.route for each in INGEST), *READ, REPLAY, APPLY_RULES)
"""All of which a good request is known."""

FLUX_CODES = {
    400: {
        "missing_name",
        "invalid_timestamp",
        "batch_too_large",
        "invalid_tags",
        "invalid_type",
        "invalid_value",
        "invalid_request",
    },
    401: {"missing_api_key", "invalid_api_key"},
    403: {"forbidden"},
    404: {"not_found"},
    405: {"invalid_request"},
    413: {"payload_too_large"},
    429: {"rate_limited"},
    503: {"unavailable"},
}
SOLUTE_CODES = {
    400: "VALIDATION_ERROR",
    401: "INVALID_API_KEY",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    429: "RATE_LIMIT_EXCEEDED",
    503: "UNAVAILABLE",
}


class Answer(Protocol):
    """What httpx and the raw socket of raw.py both give."""

    status_code: int
    text: str

    def json(self) -> Any: ...


def assert_refused(answer: Any, dialect: str, status: int) -> None:
    """The answer has this status and exactly the shape in which the dialect says no."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == f"application/{'problem+' if dialect == 'native' else ''}json"
    document = answer.json()
    if dialect == "native":
        message = document["detail"]
        assert document == {"type": "about:blank", "title": document["title"], "status": status, "detail": message}
    elif dialect == "flux":
        message = document["error"]["message"]
        code = document["error"]["code"]
        assert document == {"error": {"code": code, "message": message}}
        assert code in FLUX_CODES[status]
    elif dialect == "bricqs":
        message = document["detail"]
        assert document == {"detail": message}
    elif dialect == "solute":
        message = document["error"]["message"]
        error = {"code": SOLUTE_CODES[status], "message": message, "details": {}}
        assert document == {"error": error, "statusCode": status}
    elif dialect in ERRORS:
        message = document.get("message") or document.get("detail") or document["error"]
        assert document == ERRORS[dialect](status, message)
    else:
        message = document["error"]
        assert document == {"error": message}
        assert status != 401 or dialect != "hogsend" or message == "Unauthorized"
    assert type(message) is str
    assert message.strip()
    assert "unexpectedly" not in message


def assert_rejected(answer: Any, dialect: str, indexes: Sequence[int], accepted: int = 0) -> None:
    """The answer of a batch takes `accepted` events and says no to those at these indexes."""
    assert answer.status_code in (200, 201, 202), f"{answer.status_code}: {answer.text}"
    document = answer.json()
    if dialect == "flux":
        document = document["data"]
        keys, wanted = {"index", "code", "message"}, {"accepted": accepted, "rejected": len(indexes)}
        assert {error["code"] for error in document["errors"]} <= FLUX_CODES[400] | FLUX_CODES[413]
    elif dialect == "bricqs":
        keys, wanted = {"index", "error"}, {"accepted": accepted, "rejected": len(indexes)}
        assert len(document.pop("message_ids")) == accepted
    else:
        keys = {"index", "error"}
        wanted = {"success": accepted > 0, "processed": accepted, "failed": len(indexes)}
    errors = document.pop("errors")
    assert document == wanted
    assert [error["index"] for error in errors] == list(indexes)
    for error in errors:
        assert error.keys() == keys
        assert all(error[key] for key in keys - {"index"})


def send(client: Client, route: Route, **options: Any) -> Any:
    """A good request to a route, unless the options say otherwise."""
    if route.body is not None and "content" not in options:
        options = {"json": route.body} | options
    return client.request(route.method, route.path, **options)


def stored(client: Client) -> int:
    """How many events the client's project and mode hold."""
    return client.get("/v1/admin/events", params={"limit": 1}).json()["total"]
