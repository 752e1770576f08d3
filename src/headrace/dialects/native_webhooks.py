"""Webhooks and their deliveries in the native dialect. Translates; never stores.

Source: shared/CONTRACT.md "native"
"""

from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from headrace.dialects.names import decode_known, nearest
from headrace.dialects.route import Handled, Route
from headrace.dialects.wire import ABSENT, Pairs, is_empty_array, text_of_body
from headrace.model.errors import InvalidRequest
from headrace.model.filters import Filters
from headrace.model.times import parse_time, render_time_short
from headrace.model.webhook import (
    DELIVERY_STATUSES,
    TOPICS,
    WEBHOOK_ID,
    Delivery,
    DeliveryStatus,
    Topic,
    Webhook,
    WebhookStatus,
)

MAX_OVERLAP_S = 30 * 86_400
_MAX_CRITERIA = 20
_MAX_CRITERION_CHARS = 1000


class NewWebhook(msgspec.Struct, frozen=True):
    """id: "" if the server should choose one."""

    id: str
    url: str
    topics: tuple[Topic, ...]
    filters: Filters


class ChangedWebhook(msgspec.Struct, frozen=True):
    """None means unchanged."""

    url: str | None
    topics: tuple[Topic, ...] | None
    filters: Filters | None
    status: WebhookStatus | None


class Range(msgspec.Struct, frozen=True):
    """Deliveries created from one millisecond to another, both included."""

    from_ms: int
    to_ms: int
    status: DeliveryStatus


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    environment: str | None = None
    service: str | None = None
    host: str | None = None
    source: str | None = None
    tags: dict[str, str] | list[object] = {}
    properties: dict[str, str] | list[object] = {}


class _New(msgspec.Struct, forbid_unknown_fields=True):
    url: str | None = None
    topics: list[str] | None = None
    id: str | None = None
    filter: msgspec.Raw = ABSENT


class _Changed(msgspec.Struct, forbid_unknown_fields=True):
    url: str | None = None
    topics: list[str] | None = None
    filter: msgspec.Raw = ABSENT
    status: Literal["enabled", "disabled"] | None = None


class _Rotation(msgspec.Struct, forbid_unknown_fields=True):
    overlap_seconds: int | None = None


class _Range(msgspec.Struct, forbid_unknown_fields=True):
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    status: Literal["waiting", "delivered", "dead"] = "dead"


_new_decoder = msgspec.json.Decoder(_New)
_changed_decoder = msgspec.json.Decoder(_Changed)
_rotation_decoder = msgspec.json.Decoder(_Rotation)
_range_decoder = msgspec.json.Decoder(_Range)
_filter_decoder = msgspec.json.Decoder(_Filter | None)


def parse_new(body: bytes, /) -> NewWebhook:
    """Raises InvalidRequest. Does not check where the URL leads."""
    given = decode_known(_new_decoder, text_of_body(body), "The body", _New)
    if not given.url:
        raise InvalidRequest(
            "'url' is required: send where deliveries are to be posted, such as https://example.com/hook."
        )
    if given.topics is None:
        raise InvalidRequest(f"'topics' is required: send an array of {', '.join(TOPICS)}.")
    if given.id is not None and not WEBHOOK_ID.fullmatch(given.id):
        raise InvalidRequest("'id' must have 1 to 64 lower-case letters, digits, '-' or '_'.")
    topics = _topics(given.topics)
    filters = _filters(given.filter)
    check_filter(topics, filters)
    return NewWebhook(given.id or "", given.url, topics, filters)


def parse_changed(body: bytes, /) -> ChangedWebhook:
    """Raises InvalidRequest."""
    given = decode_known(_changed_decoder, text_of_body(body), "The body", _Changed)
    if given.url == "":
        raise InvalidRequest("'url' is empty: send where deliveries are to be posted.")
    topics = None if given.topics is None else _topics(given.topics)
    filters = None if given.filter is ABSENT else _filters(given.filter)
    if (given.url, topics, filters, given.status) == (None, None, None, None):
        raise InvalidRequest("The body changes nothing: send 'url', 'topics', 'filter' or 'status'.")
    return ChangedWebhook(given.url, topics, filters, given.status)


def parse_rotation(body: bytes, /) -> int | None:
    """For how many seconds the former secret stays valid; None for the setting's default. Raises InvalidRequest."""
    if not body.strip():
        return None
    overlap_s = decode_known(_rotation_decoder, text_of_body(body), "The body", _Rotation).overlap_seconds
    if overlap_s is not None and not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise InvalidRequest(f"'overlap_seconds' must be 0 to {MAX_OVERLAP_S}; it is {overlap_s}.")
    return overlap_s


def parse_range(body: bytes, now_ms: int, /) -> Range:
    """Raises InvalidRequest, InvalidTimestamp."""
    given = _Range()
    if body.strip():
        given = decode_known(_range_decoder, text_of_body(body), "The body", _Range)
    from_ms = parse_time(given.from_, "from") if given.from_ else 0
    to_ms = parse_time(given.to, "to", end_of_day=True) if given.to else now_ms
    return Range(from_ms, to_ms, given.status)


def parse_status(pairs: Pairs, /) -> DeliveryStatus | None:
    """Of a list of deliveries. Raises InvalidRequest."""
    status = dict(pairs).get("status") or None
    if status is not None and status not in DELIVERY_STATUSES:
        raise InvalidRequest(f"'status' must be one of {', '.join(DELIVERY_STATUSES)}; it is {status[:80]!r}.")
    return status


def webhook_value(webhook: Webhook, waiting: int | None = None, secret: str = "") -> dict[str, object]:
    """A webhook as a value. A new secret is included; it is never shown again."""
    value: dict[str, object] = {
        "id": webhook.id,
        "url": webhook.url,
        "topics": webhook.topics,
        "filter": _render_filter(webhook.filters),
        "status": webhook.status,
        "reason": webhook.reason or None,
        "failing_since": render_time_short(webhook.failing_since_ms) if webhook.failing_since_ms else None,
        "problem": webhook.problem or None,
        "old_secret_until": render_time_short(webhook.overlap_until_ms) if webhook.overlap_until_ms else None,
        "created_at": render_time_short(webhook.created_at_ms),
    }
    if waiting is not None:
        value["waiting"] = waiting
    return value | {"secret": secret} if secret else value


def delivery_value(delivery: Delivery, *, whole: bool = False) -> dict[str, object]:
    """A delivery as a value. whole: include its attempts and its body."""
    waits = delivery.status == "waiting"
    value: dict[str, object] = {
        "id": delivery.key,
        "type": delivery.topic,
        "status": delivery.status,
        "tries": delivery.tries,
        "problem": delivery.problem or None,
        "created_at": render_time_short(delivery.created_at_ms),
        "next_try_at": render_time_short(delivery.due_at_ms) if waits else None,
        "last_try_by": render_time_short(delivery.give_up_at_ms) if waits else None,
        "ended_at": None if delivery.ended_at_ms is None else render_time_short(delivery.ended_at_ms),
    }
    if whole:
        value["attempts"] = [
            {
                "at": render_time_short(each.at_ms),
                "took_ms": each.took_ms,
                "status": each.status or None,
                "problem": each.problem or None,
            }
            for each in delivery.attempts
        ]
        value["body"] = msgspec.Raw(delivery.body.encode())
    return value


def _topics(given: Sequence[str]) -> tuple[Topic, ...]:
    if not given:
        raise InvalidRequest(f"'topics' is empty: send at least one of {', '.join(TOPICS)}.")
    for topic in given[: len(TOPICS) + 1]:
        if topic not in TOPICS:
            raise InvalidRequest(f"'topics' has no topic {topic[:80]!r}: {nearest(topic, TOPICS)}")
    return tuple(cast("Topic", topic) for topic in dict.fromkeys(given))


def check_filter(topics: tuple[Topic, ...], filters: Filters, /) -> None:
    """Raises InvalidRequest for a filter of events without the topic for events."""
    if filters != Filters() and "event" not in topics:
        raise InvalidRequest("'filter' applies to the topic 'event' alone: add it to 'topics', or omit the filter.")


def _filters(raw: msgspec.Raw) -> Filters:
    if raw is ABSENT or is_empty_array(raw):
        return Filters()
    given = decode_known(_filter_decoder, raw, "'filter'", _Filter) or _Filter()
    texts = [given.name, given.user_id, given.session_id, given.environment, given.service, given.host, given.source]
    tags, properties = _map_of(given.tags, "tags"), _map_of(given.properties, "properties")
    texts += [each for map_ in (tags, properties) for pair in map_.items() for each in pair]
    if len(tags) + len(properties) > _MAX_CRITERIA:
        raise InvalidRequest(f"'filter' has more than {_MAX_CRITERIA} tags and properties.")
    if any(each is not None and len(each) > _MAX_CRITERION_CHARS for each in texts):
        raise InvalidRequest(f"A criterion of 'filter' has more than {_MAX_CRITERION_CHARS} characters.")
    prefix = given.name[:-1] if given.name and given.name.endswith("*") else None
    return Filters(
        name=(given.name or None) if prefix is None else None,
        name_prefix=prefix or None,
        user_id=given.user_id or None,
        session_id=given.session_id or None,
        environment=given.environment or None,
        service=given.service or None,
        host=given.host or None,
        source=given.source or None,
        tags=tuple(tags.items()),
        properties=tuple(properties.items()),
    )


def _map_of(given: dict[str, str] | list[object], field: str) -> dict[str, str]:
    """An empty array is an empty object, because PHP does not distinguish them."""
    if type(given) is dict:
        return given
    if given:
        raise InvalidRequest(f"'filter' is not valid: '{field}' must be an object of strings.")
    return {}


def _render_filter(filters: Filters) -> dict[str, object]:
    value: dict[str, object] = {} if filters.name_prefix is None else {"name": f"{filters.name_prefix}*"}
    for field in ("name", "user_id", "session_id", "environment", "service", "host", "source"):
        if (text := getattr(filters, field)) is not None:
            value[field] = text
    for field in ("tags", "properties"):
        if pairs := getattr(filters, field):
            value[field] = dict(pairs)
    return value


def _route(method: Literal["GET", "POST", "PATCH", "DELETE"], path: str, handler: str, status: int = 200) -> Route:
    does = Handled(handler, in_control=method != "GET")
    return Route(method, f"/api/v1/webhooks{path}", "admin", "native", does, status)


ROUTES = (
    _route("GET", "", "webhooks"),
    _route("POST", "", "create_webhook", 201),
    _route("GET", "/{webhook_id}", "webhook"),
    _route("PATCH", "/{webhook_id}", "change_webhook"),
    _route("DELETE", "/{webhook_id}", "delete_webhook", 204),
    _route("POST", "/{webhook_id}/rotate", "rotate_webhook"),
    _route("POST", "/{webhook_id}/test", "test_webhook", 202),
    _route("GET", "/{webhook_id}/deliveries", "deliveries"),
    _route("POST", "/{webhook_id}/deliveries/redeliver", "redeliver_all", 202),
    _route("GET", "/{webhook_id}/deliveries/{delivery}", "delivery"),
    _route("POST", "/{webhook_id}/deliveries/{delivery}/redeliver", "redeliver", 202),
)
