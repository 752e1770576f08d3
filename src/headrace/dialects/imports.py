"""What other vendors' exports call an event, in the words that their dialects read. Translates; never stores.

Each line is rewritten to what an SDK would have sent, and read by the code that reads what SDKs send: so an imported event equals
one sent live. Other than a live event, one without a readable time is refused: as history it would be dated to now. One
without a key that tells a repeat gets the hash of its line.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TypeAlias

import msgspec
from msgspec import structs

from headrace.dialects import amplitude, mixpanel, posthog, segment
from headrace.dialects.sdk import joined, members_of, sent_at_of, time_of, with_members
from headrace.dialects.wire import decode_item, object_of
from headrace.model.batch import Context
from headrace.model.errors import InvalidTimestamp
from headrace.model.event import Event
from headrace.model.times import EARLIEST_MS, render_time
from headrace.model.zones import Zone

ParseLine: TypeAlias = Callable[[msgspec.Raw, Context], Event]
_Members: TypeAlias = dict[str, msgspec.Raw]
_members_decoder: msgspec.json.Decoder[_Members] = msgspec.json.Decoder(_Members)
_decoder = msgspec.json.Decoder()
_text_decoder = msgspec.json.Decoder(str)
_NULL, _EMPTY = b"null", b'""'
_NO_TIME = msgspec.Raw(_NULL)
_NO_OBJECT = msgspec.Raw(b"{}")


def keyed(event: Event, raw: msgspec.Raw, /) -> Event:
    """The event, with a key made of its line if it has none: to import the line again stores nothing, however lines end."""
    if event.message_id:
        return event
    return structs.replace(event, message_id=f"line_{blake2b(bytes(raw).strip(), digest_size=16).hexdigest()}")


def _vendor(parse: Callable[[_Members, Context], Event]) -> ParseLine:
    def parse_line(raw: msgspec.Raw, context: Context) -> Event:
        members = decode_item(_members_decoder, raw, context.settings)
        return keyed(parse({name: value for name, value in members.items() if bytes(value) != _NULL}, context), raw)

    return parse_line


def _time_in(members: _Members, *fields: str) -> msgspec.Raw:
    """The time in the first of the fields that has one, as the text of JSON that every dialect reads. Numbers are milliseconds.

    Raises InvalidTimestamp if none has, and for one that has something else.
    """
    for field in fields:
        if field in members and (at_ms := time_of(_decoder.decode(members[field]), -1, field, unit_ms=1)) >= 0:
            return msgspec.Raw(msgspec.json.encode(render_time(at_ms)))
    raise InvalidTimestamp(f"'{fields[0]}' is required: an event without a time would be dated to now.")


def _object_as(text_or_object: msgspec.Raw, field: str) -> msgspec.Raw:
    """An object, or the text of one, as Parquet holds it."""
    if bytes(text_or_object).startswith(b'"'):
        text_or_object = msgspec.Raw(_text_decoder.decode(text_or_object).encode())
    return msgspec.Raw(object_of(text_or_object, field)[0].encode() or b"{}")


def _of_segment(members: _Members, context: Context) -> Event:
    """A line of the raw data that Segment and RudderStack put into buckets: the whole call, with the times that they gave it.

    Sources: https://segment.com/docs/connections/storage/catalog/aws-s3/ (Data format) and
    https://www.rudderstack.com/docs/destinations/streaming-destinations/amazon-s3/
    """
    call = members | {"timestamp": _time_in(members, "timestamp", "originalTimestamp")}
    return _segment_item(msgspec.Raw(joined(call).encode()), context)


_segment_item = segment.item_parser("", None, of_sdk=False)


def _of_posthog(members: _Members, context: Context) -> Event:
    """A row of the events model of a batch export; in JSON lines `properties` is an object, in Parquet its text.

    Source: https://posthog.com/docs/cdp/batch-exports/s3 (Events model)
    """
    sent = {name: members[name] for name in ("uuid", "event", "distinct_id") if name in members}
    sent["timestamp"] = _time_in(members, "timestamp")
    properties = _object_as(members.get("properties", _NO_OBJECT), "properties")
    # The SDKs send the chain as a property, from which PostHog moves it into a column.
    chain = _decoder.decode(members["elements_chain"]) if "elements_chain" in members else ""
    if chain and "$elements_chain" not in members_of(properties):
        properties = msgspec.Raw(with_members(str(properties, "utf-8"), {"$elements_chain": chain}).encode())
    sent["properties"] = properties
    return posthog.parse_event(msgspec.Raw(joined(sent).encode()), context)


def _of_mixpanel(members: _Members, context: Context) -> Event:
    """A line of the raw event export, whose times are seconds, or milliseconds where the export was asked for them.

    Of projects made before 2023 they are in the project's zone: see `in_zone`.
    Source: https://docs.mixpanel.com/reference/raw-event-export
    """
    properties = members_of(_object_as(members.get("properties", _NO_OBJECT), "properties"))
    if bytes(properties.get("time", _NO_TIME)) in (_NULL, _EMPTY):
        raise InvalidTimestamp("'properties.time' is required: an event without a time would be dated to now.")
    return mixpanel.parse_event(msgspec.Raw(joined(members).encode()), context)


# What the export calls otherwise than HTTP V2. Fields that Amplitude made of an event itself are left out.
_AMPLITUDES: Mapping[str, str] = {
    "$insert_id": "insert_id",
    "ip_address": "ip",
    "version_name": "app_version",
    "device_carrier": "carrier",
} | {
    name: name
    for name in (
        *("event_type", "user_id", "device_id", "session_id", "event_id", "event_properties", "user_properties"),
        *("groups", "group_properties", "platform", "os_name", "os_version", "device_brand", "device_manufacturer"),
        *("device_model", "country", "region", "city", "dma", "language", "location_lat", "location_lng", "idfa"),
        *("adid", "library"),
    )
}


def _of_amplitude(members: _Members, context: Context) -> Event:
    """A line of a file in the export's archive. The time is the client's, as HTTP V2 would have had it.

    Sources: https://amplitude.com/docs/apis/analytics/export (Response schema) and
    https://amplitude.com/docs/apis/analytics/http-v2
    """
    sent = {_AMPLITUDES[name]: value for name, value in members.items() if name in _AMPLITUDES}
    sent["time"] = _time_in(members, "client_event_time", "event_time")
    if "insert_id" not in sent and "uuid" in members:
        sent["insert_id"] = members["uuid"]
    if "client_upload_time" in members:
        context = structs.replace(context, sent_at_ms=sent_at_of(_decoder.decode(members["client_upload_time"])))
    return amplitude.parse_event(msgspec.Raw(joined(sent).encode()), context)


VENDORS: Mapping[str, ParseLine] = {
    "segment": _vendor(_of_segment),
    "rudderstack": _vendor(_of_segment),
    "posthog": _vendor(_of_posthog),
    "mixpanel": _vendor(_of_mixpanel),
    "amplitude": _vendor(_of_amplitude),
}


def in_zone(parse_line: ParseLine, zone: Zone, /) -> ParseLine:
    """A parser for lines whose times count the milliseconds that a zone's clock has shown since 1970, and not those of UTC.

    Of an hour that the clock went through twice, the first is meant; of one that it skipped, the hour after it.
    """

    def parse(raw: msgspec.Raw, context: Context) -> Event:
        event = parse_line(raw, context)
        return structs.replace(event, timestamp_ms=max(EARLIEST_MS, zone.moment_of(event.timestamp_ms)))

    return parse
