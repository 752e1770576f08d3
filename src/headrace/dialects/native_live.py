"""Events as they arrive, in the native dialect: what a watcher may ask for, and server-sent events. Translates; never waits.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from headrace.dialects.flux_queries import parse_filters, render_row
from headrace.dialects.wire import Pairs, encode_json
from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, received_at_ms
from headrace.model.filters import Filters
from headrace.model.live import Refusal, Told
from headrace.model.times import render_time_short

COMMENT = b":\n\n"
RESET = b"event: reset\ndata: {}\n\n"
_OF_THE_PAST = ("from", "to", "since", "until", "tz", "limit", "offset", "cursor")
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")  # outside of strings, where JSON has no others


def parse_live(pairs: Pairs, /) -> Filters:
    """The filters of Flux's list, and `source`; not those of times and properties. Raises InvalidRequest."""
    for name, value in pairs:
        if name in _OF_THE_PAST and value:
            raise InvalidRequest(f"{name!r} selects events of the past: ask GET /api/v1/events for those.")
        if name.startswith("properties["):
            raise InvalidRequest("Events cannot be watched by their properties: use name, user_id, source or tags.")
    filters = parse_filters(pairs, 0)
    source = next((value for name, value in reversed(pairs) if name == "source" and value), None)
    return Filters(
        name=filters.name,
        name_prefix=filters.name_prefix,
        user_id=filters.user_id,
        person=filters.person,
        source=source,
        session_id=filters.session_id,
        environment=filters.environment,
        service=filters.service,
        host=filters.host,
        tags=filters.tags,
    )


def parse_last_id(text: str, /) -> int | None:
    """The header Last-Event-ID; None if there is none. Raises InvalidRequest."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidRequest("Last-Event-ID must be the id of a message of this stream.")
    return int(text)


def render_live_row(event: StoredEvent, /) -> bytes:
    """Flux's row, with the anonymous id of an event without a user, its source and when it was received; in one line."""
    row = render_row(event) | {
        "user_id": event.user_id or event.anonymous_id or None,
        "source": event.source,
        "received_at": render_time_short(received_at_ms(event.position)),
    }
    return encode_json(row).translate(_NEWLINES)


def render_told(told: Told, /) -> bytes:
    """One message with rows and counts, if there are any, and one for each refusal. Newest rows first."""
    parts = [b"event: refused\ndata: " + encode_json(refusal_value(each)) + b"\n\n" for each in told.refusals]
    if told.counts:
        parts.append(render_message(told))
    return b"".join(parts)


def render_message(told: Told, /) -> bytes:
    rows = b",".join(reversed(told.rows))
    return b'id: %d\ndata: {"events":[%b],"counts":%b}\n\n' % (told.position, rows, encode_json(told.counts))


def refusal_value(refusal: Refusal, /) -> dict[str, object]:
    return {
        "at": render_time_short(refusal.at_ms),
        "method": refusal.method,
        "route": refusal.route,
        "status": refusal.status,
        "code": refusal.code,
        "message": refusal.message,
        "key": refusal.prefix or None,
        "client": refusal.client or None,
    }
