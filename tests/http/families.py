"""The SDK families: where each sends its events, and how one event and its key look there."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Family(NamedTuple):
    """`body` makes a request of an event's name, its id (the sender's own) and a key; the key "" is left out."""

    dialect: str
    path: str
    body: Callable[[str, str, str], Any]
    limit: str
    error: Callable[[int, str], dict[str, Any]]  # the whole reply that says no, given the status and the message

    def __str__(self) -> str:
        return f"{self.dialect} {self.path}"

    def message(self, document: dict[str, Any]) -> str:
        return next(document[name] for name in ("message", "detail", "error") if name in document)


def _key(name: str, key: str) -> dict[str, str]:
    return {name: key} if key else {}


def _segment(name: str, event_id: str, key: str) -> Any:
    event = {"type": "track", "event": name, "userId": "u", "messageId": event_id}
    return {"batch": [event], "sentAt": "2025-01-15T10:30:05Z"} | _key("writeKey", key)


def _segment_call(name: str, event_id: str, key: str) -> Any:
    return {"event": name, "userId": "u", "messageId": event_id} | _key("writeKey", key)


_SEGMENT_CODES = {
    400: "invalid_request",
    401: "invalid_write_key",
    403: "forbidden",
    405: "method_not_allowed",
    413: "payload_too_large",
    429: "rate_limited",
    503: "unavailable",
}


def _segment_error(status: int, message: str) -> dict[str, Any]:
    return {"success": False, "code": _SEGMENT_CODES[status], "message": message}


FAMILIES = (
    Family("segment", "/v1/batch", _segment, "segment", _segment_error),
    Family("segment", "/v1/import", _segment, "segment", _segment_error),
    Family("segment", "/v1/track", _segment_call, "segment", _segment_error),
    Family("segment", "/v1/t", _segment_call, "segment", _segment_error),
)


def text(body: Any) -> bytes:
    return json.dumps(body).encode()
