"""The native route for log shippers: newline-delimited JSON, or an array. Translates; never stores.

A line has Flux's fields. All other members, such as a log's `message` and `level`, become properties, and a line without a name
gets the name in the query. So shippers need not rewrite what they ship. A member with the name of one of Flux's fields that means
something else, such as Logstash's `tags` (an array) or Elastic's `host` and `service` (objects), becomes a property too.
"""

from collections.abc import Callable

import msgspec
from msgspec import structs

from headrace.dialects import flux, lines
from headrace.dialects.forms import fields_of
from headrace.dialects.sdk import at_least_one, elements_of, joined, members_of, merged, time_of
from headrace.dialects.wire import ABSENT, confined, number_of, parse_items, tags_of, unmarked
from headrace.model.batch import Batch, Context
from headrace.model.errors import BatchTooLarge, InvalidRequest, PayloadTooLarge
from headrace.model.event import Event
from headrace.model.settings import Settings

NAME = "native"
_FIELDS = frozenset(flux.FluxItem.__struct_encode_fields__) | {"@timestamp"}
_MILLISECONDS_FROM = 100_000_000_000  # a number this large is in milliseconds: in seconds it would be in the year 5138
_time_decoder = msgspec.json.Decoder()
# Not the keys by which repeats are known: a line whose key cannot be used is refused, or its retry would be stored twice.
_TEXTS = ("user_id", "session_id", "environment", "service", "host", "request_id")
_IDS = ("user_id", "session_id", "request_id", "idempotency_key", "messageId")


def parse_lines(body: bytes, context: Context, /) -> Batch:
    """Raises the first line's error if none can be accepted, PayloadTooLarge for more than MAX_LINES."""
    parse_line = _line_parser(fields_of(context.query.encode()).get("name", ""))
    if unmarked(body).lstrip()[:1] == b"[":
        return confined(body, lambda text: _parse_array(text, parse_line, context), bare=True)
    try:
        return at_least_one(lines.parse_lines(body, parse_line, context))
    except BatchTooLarge as error:
        raise PayloadTooLarge(error.message) from None


def _parse_array(text: bytes, parse_line: Callable[[msgspec.Raw, Context], Event], context: Context) -> Batch:
    return at_least_one(parse_items(elements_of(text, "The body", lines.MAX_LINES), parse_line, context))


def _line_parser(name: str) -> Callable[[msgspec.Raw, Context], Event]:
    """name: the name of lines without one."""

    def parse(raw: msgspec.Raw, context: Context) -> Event:
        item = flux.decode_event(raw, context)
        members = members_of(raw)
        misfits = _without_misfits(item, name, context.settings)
        rest = {field: value for field, value in members.items() if field not in _FIELDS or field in misfits}
        if rest:
            own = item.properties if item.properties is not ABSENT else msgspec.Raw(b"{}")
            item.properties = msgspec.Raw(merged(msgspec.Raw(joined(rest).encode()), own, field="properties").encode())
        item.name = name if item.name is None and name else item.name
        moment = item.timestamp
        if moment is None and "@timestamp" in members:
            moment = _time_decoder.decode(members["@timestamp"])
        item.timestamp = None
        return structs.replace(flux.event_of(item, context), source=NAME, timestamp_ms=_time(moment, context.now_ms))

    return parse


def _without_misfits(item: flux.FluxItem, name: str, settings: Settings) -> list[str]:
    """Clear the members of which an event's field cannot be made; which ones. name: of the event, if its own is not one.

    Numbers are taken for ids, and blank texts for absent ones.
    """
    limits = dict.fromkeys(_TEXTS, settings.max_id_chars) | ({"name": settings.max_name_chars} if name else {})
    misfits: list[str] = []
    for field in _IDS:
        if type(value := getattr(item, field)) is int:
            setattr(item, field, str(value))
    for field, limit in limits.items():
        value = getattr(item, field)
        if value is None or (type(value) is str and not value.isspace() and 0 < len(value) <= limit):
            continue
        setattr(item, field, None)
        if type(value) is not str or len(value) > limit:
            misfits.append(field)
    for field, check in (("tags", tags_of), ("value", _number_of)):
        try:
            check(getattr(item, field), settings)
        except InvalidRequest:
            setattr(item, field, None)
            misfits.append(field)
    return misfits


def _number_of(value: object, _settings: Settings) -> float | None:
    return number_of(value, "value")


def _time(value: object, now_ms: int) -> int:
    """Text, or a number of seconds or milliseconds: Fluent Bit sends a double by default."""
    large = (type(value) is int or type(value) is float) and value >= _MILLISECONDS_FROM
    return time_of(value, now_ms, unit_ms=1 if large else 1000)
