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
    unread: Callable[[int, str], dict[str, Any]] | None = None  # the same where nothing in the body told whose it is

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


def _posthog(name: str, event_id: str, key: str) -> Any:
    event = {"event": name, "distinct_id": "u", "properties": {}} | _key("uuid", event_id)
    return {"batch": [event]} | _key("api_key", key)


def _posthog_array(name: str, event_id: str, key: str) -> Any:
    return [{"event": name, "properties": {"distinct_id": "u"} | _key("token", key)} | _key("uuid", event_id)]


_POSTHOG_KINDS = {
    400: ("validation_error", "invalid_payload"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("authentication_error", "permission_denied"),
    405: ("invalid_request", "method_not_allowed"),
    413: ("validation_error", "payload_too_large"),
    429: ("throttled_error", "rate_limited"),
    503: ("server_error", "unavailable"),
}


def _posthog_error(status: int, message: str) -> dict[str, Any]:
    kind, code = _POSTHOG_KINDS[status]
    return {"type": kind, "code": code, "detail": message, "attr": None}


def _amplitude(name: str, event_id: str, key: str) -> Any:
    event = {"event_type": name, "user_id": "u"} | _key("insert_id", event_id)
    return {"events": [event]} | _key("api_key", key)


def _amplitude_error(status: int, message: str) -> dict[str, Any]:
    assert message.startswith("Invalid API key:") is (status == 401)
    return {"code": status, "error": message}


def _mixpanel(name: str, event_id: str, key: str) -> Any:
    properties = {"distinct_id": "u", "time": 1736937000} | _key("token", key) | _key("$insert_id", event_id)
    return [{"event": name, "properties": properties}]


def _mixpanel_error(status: int, message: str) -> dict[str, Any]:
    return {"code": status, "status": 0, "error": message}


ERRORS: dict[str, Callable[[int, str], dict[str, Any]]] = {
    "segment": _segment_error,
    "posthog": _posthog_error,
    "amplitude": _amplitude_error,
    "mixpanel": _mixpanel_error,
}

FAMILIES = (
    Family("segment", "/v1/batch", _segment, "segment", _segment_error),
    Family("segment", "/v1/import", _segment, "segment", _segment_error),
    Family("segment", "/v1/b", _segment, "segment", _segment_error),
    Family("segment", "/v1/track", _segment_call, "segment", _segment_error),
    Family("segment", "/v1/t", _segment_call, "segment", _segment_error),
    Family("segment", "/beacon/v1/batch", _segment, "segment", _segment_error),
    Family("segment", "/api/s/track", _segment_call, "segment", _segment_error),
    Family("segment", "/api/s/s2s/batch", _segment, "segment", _segment_error),
    Family("posthog", "/batch", _posthog, "posthog", _posthog_error),
    Family("posthog", "/e", _posthog_array, "posthog", _posthog_error),
    Family("posthog", "/i/v0/e", _posthog_array, "posthog", _posthog_error),
    Family("posthog", "/capture", _posthog, "posthog", _posthog_error),
    Family("amplitude", "/2/httpapi", _amplitude, "amplitude", _amplitude_error),
    Family("amplitude", "/batch", _amplitude, "amplitude", _amplitude_error, _posthog_error),
    Family("mixpanel", "/track", _mixpanel, "mixpanel", _mixpanel_error),
    Family("mixpanel", "/import", _mixpanel, "mixpanel", _mixpanel_error),
)


def text(body: Any) -> bytes:
    return json.dumps(body).encode()
