"""Lines of other vendors' exports, beside what their SDKs would have sent: both become the same event."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from headrace.dialects import amplitude, mixpanel, posthog, segment
from headrace.dialects.native_imports import ImportQuery, parser_of
from headrace.model.batch import Batch, Context
from headrace.model.event import Event, Tenant
from headrace.model.repeats import dedup_key
from headrace.model.settings import Settings
from headrace.model.zones import zone_of

CONTEXT = Context(Tenant("shop", "live"), 1_700_000_000_000, Settings())
_SEGMENT: dict[str, Any] = {
    "anonymousId": "a-1",
    "channel": "client",
    "context": {"ip": "203.0.113.9", "library": {"name": "analytics.js", "version": "2.1"}},
    "event": "Order Completed",
    "integrations": {},
    "messageId": "ajs-1",
    "properties": {"revenue": 29.99, "plan": "pro", "nested": {"a": [1, None]}},
    "timestamp": "2024-01-15T10:30:00.125Z",
    "type": "track",
    "userId": "u-1",
}
_OF_ARCHIVE = {"originalTimestamp": "2024-01-15T10:30:00.000Z", "receivedAt": "2024-01-15T10:30:02Z", "projectId": "p"}
_RUDDER = {"rudderId": "r-1", "request_ip": "203.0.113.9"}


def imported(vendor: str, line: Mapping[str, Any], **query: Any) -> Event:
    batch = parser_of(ImportQuery(vendor, False, False, **query))(json.dumps(line).encode(), CONTEXT)
    assert [each.error.message for each in batch.rejections] == []
    return batch.items[0].event


def sent(batch: Batch) -> Event:
    return batch.items[0].event


@pytest.mark.parametrize("vendor", ["segment", "rudderstack"])
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"type": "identify", "traits": {"plan": "pro"}},
        {"type": "page", "name": "Home", "category": "Shop"},
        {"type": "screen", "name": "Cart"},
        {"type": "group", "groupId": "g-1", "traits": {"name": "Acme"}},
        {"type": "alias", "previousId": "a-1"},
    ],
)
def test_a_line_of_segments_or_rudderstacks_archive_is_the_call_that_was_made(
    vendor: str, call: dict[str, Any]
) -> None:
    """https://segment.com/docs/connections/storage/catalog/aws-s3/"""
    message = _SEGMENT | call
    live = sent(
        segment.parse_batch(json.dumps({"batch": [message], "sentAt": "2024-01-15T10:30:01Z"}).encode(), CONTEXT)
    )
    line = message | _OF_ARCHIVE | {"sentAt": "2024-01-15T10:30:01Z"} | (_RUDDER if vendor == "rudderstack" else {})
    assert imported(vendor, line) == live


_POSTHOG: dict[str, Any] = {
    "uuid": "0190f3b4-0000-7000-8000-000000000001",
    "event": "order completed",
    "distinct_id": "u-1",
    "properties": {"amount": 3, "$session_id": "s-1", "$set": {"plan": "pro"}, "$groups": {"company": "acme"}},
    "timestamp": "2024-01-15T10:30:00.125000+00:00",
}
_OF_EXPORT = {
    "person_id": "p-1",
    "person_properties": {"plan": "free"},
    "created_at": "2024-01-15T10:30:02.000000+00:00",
    "_inserted_at": "2024-01-15T10:31:00.000000+00:00",
}


@pytest.mark.parametrize("is_text", [False, True], ids=["jsonl", "parquet"])
@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": "$identify", "properties": {"$anon_distinct_id": "a-1", "$set": {"name": "Ann"}}},
        {"event": "$pageview", "properties": {"$current_url": "https://shop.example"}},
        {
            "event": "$groupidentify",
            "properties": {"$group_type": "company", "$group_key": "acme", "$group_set": {"a": 1}},
        },
        {"event": "$create_alias", "properties": {"alias": "u-2"}},
    ],
)
def test_a_row_of_posthogs_batch_export_is_the_event_that_was_captured(event: dict[str, Any], is_text: bool) -> None:
    """https://posthog.com/docs/cdp/batch-exports/s3"""
    captured = _POSTHOG | event
    live = sent(posthog.parse(json.dumps(captured).encode(), CONTEXT))
    line = captured | _OF_EXPORT | {"elements_chain": ""}
    if is_text:
        line |= {"properties": json.dumps(captured["properties"]), "person_properties": "{}"}
    assert imported("posthog", line) == live


def test_posthogs_chain_of_elements_is_the_property_that_the_sdk_sent() -> None:
    chain = 'button:text="Buy"'
    captured = _POSTHOG | {"event": "$autocapture", "properties": {"$elements_chain": chain}}
    line = captured | _OF_EXPORT | {"properties": {}, "elements_chain": chain}
    body = json.dumps(captured, separators=(",", ":")).encode()
    assert imported("posthog", line) == sent(posthog.parse(body, CONTEXT))


_MIXPANEL: dict[str, Any] = {
    "event": "Signed up",
    "properties": {
        "time": 1_705_314_600,
        "distinct_id": "u-1",
        "$insert_id": "i-1",
        "$device_id": "d-1",
        "plan": "pro",
    },
}


def test_a_line_of_mixpanels_raw_export_is_the_event_that_was_tracked() -> None:
    """https://docs.mixpanel.com/reference/raw-event-export"""
    added = {"mp_processing_time_ms": 1_705_314_700_000, "mp_country_code": "DE"}
    line = {"event": "Signed up", "properties": _MIXPANEL["properties"] | added}
    live = sent(mixpanel.parse_track(json.dumps([_MIXPANEL]).encode(), CONTEXT))
    found = imported("mixpanel", line)
    names = ("properties", "labels", "numbers")  # what Mixpanel added stays with them
    assert structs.replace(found, **{name: getattr(live, name) for name in names}) == live
    assert json.loads(found.properties) == json.loads(live.properties) | added
    assert dedup_key(found) == dedup_key(live)


def test_times_of_an_old_mixpanel_project_are_those_of_its_clock() -> None:
    found = imported("mixpanel", _MIXPANEL, zone=zone_of("US/Pacific"))
    assert found.timestamp_ms == (1_705_314_600 + 8 * 3600) * 1000


_AMPLITUDE: dict[str, Any] = {
    "event_type": "order completed",
    "user_id": "user-1",
    "device_id": "device-1",
    "session_id": 1_705_314_600_000,
    "event_properties": {"amount": 3},
    "user_properties": {"plan": "pro"},
    "groups": {"company": ["acme"]},
    "platform": "Web",
    "country": "Germany",
    "language": "German",
    "event_id": 7,
}


@pytest.mark.parametrize("event_type", ["order completed", "$identify", "[Amplitude] Page Viewed", "$groupidentify"])
def test_a_line_of_amplitudes_export_is_the_event_that_was_uploaded(event_type: str) -> None:
    """https://amplitude.com/docs/apis/analytics/export"""
    event = _AMPLITUDE | {"event_type": event_type}
    uploaded = event | {"time": 1_705_314_600_125, "insert_id": "i-1", "ip": "203.0.113.9", "app_version": "1.2"}
    body = {"api_key": "k", "client_upload_time": "2024-01-15T10:30:01.000Z", "events": [uploaded]}
    live = sent(amplitude.parse(json.dumps(body).encode(), CONTEXT))
    line = event | {
        "$insert_id": "i-1",
        "ip_address": "203.0.113.9",
        "version_name": "1.2",
        "client_event_time": "2024-01-15 10:30:00.125000",
        "event_time": "2024-01-15 10:30:00.500000",
        "client_upload_time": "2024-01-15 10:30:01.000000",
        "server_received_time": "2024-01-15 10:30:02.000000",
        "server_upload_time": "2024-01-15 10:30:03.000000",
        "processed_time": "2024-01-15 10:30:04.000000",
        "app": 17,
        "amplitude_id": 99,
        "uuid": "0190f3b4-0000-11ee-8000-000000000001",
        "device_family": None,
        "sample_rate": None,
        "data": {"path": "/2/httpapi"},
        "$schema": 13,
    }
    found = imported("amplitude", line)
    assert json.loads(found.context) == json.loads(live.context)
    assert structs.replace(found, context=live.context) == live


def test_an_event_of_amplitude_without_a_key_has_its_uuid_for_one() -> None:
    line = _AMPLITUDE | {"uuid": "0190f3b4", "event_time": "2024-01-15 10:30:00.125000"}
    assert imported("amplitude", line).message_id == "0190f3b4"


@pytest.mark.parametrize(
    ("vendor", "line"),
    [
        ("segment", _SEGMENT | {"timestamp": None}),
        ("segment", _SEGMENT | {"timestamp": "soon"}),
        ("posthog", _POSTHOG | {"timestamp": None}),
        ("posthog", _POSTHOG | {"timestamp": "soon"}),
        ("mixpanel", {"event": "e", "properties": {"distinct_id": "u"}}),
        ("amplitude", _AMPLITUDE),
        ("amplitude", _AMPLITUDE | {"event_time": 17.5e300}),
        ("posthog", _POSTHOG | {"properties": "{"}),
        ("posthog", _POSTHOG | {"properties": 3}),
        ("mixpanel", {"event": "e", "properties": "x"}),
    ],
)
def test_a_line_without_a_time_or_with_something_else_for_an_object_is_refused_alone(
    vendor: str, line: dict[str, Any]
) -> None:
    good = {"segment": _SEGMENT, "posthog": _POSTHOG, "mixpanel": _MIXPANEL}.get(
        vendor, _AMPLITUDE | {"event_time": "2024-01-15 10:30:00"}
    )
    body = b"\n".join(json.dumps(each).encode() for each in (good, line, good))
    batch = parser_of(ImportQuery(vendor, False, False))(body, CONTEXT)
    assert [item.index for item in batch.items] == [0, 2]
    assert [each.index for each in batch.rejections] == [1]


def _of_mixpanel_at(time: object) -> dict[str, Any]:
    return {"event": "e", "properties": {"distinct_id": "u", "$insert_id": "i", "time": time}}


@pytest.mark.parametrize("time", [None, ""])
def test_an_empty_time_is_none_and_never_now(time: object) -> None:
    lines = {
        "segment": _SEGMENT | {"timestamp": time},
        "posthog": _POSTHOG | {"timestamp": time},
        "mixpanel": _of_mixpanel_at(time),
        "amplitude": _AMPLITUDE | {"client_event_time": time, "event_time": time},
    }
    for vendor, line in lines.items():
        batch = parser_of(ImportQuery(vendor, False, False))(json.dumps(line).encode(), CONTEXT)
        assert not batch.items, vendor
        assert "is required" in batch.rejections[0].error.message, vendor


@pytest.mark.parametrize("vendor", ["segment", "posthog", "amplitude"])
@pytest.mark.parametrize("written", [1_705_314_600_000, "Mon, 15 Jan 2024 10:30:00 GMT"])
def test_a_time_is_read_as_it_is_checked_or_from_the_next_field_that_has_one(vendor: str, written: object) -> None:
    fields = {"segment": ("timestamp", "originalTimestamp"), "posthog": ("timestamp",)}.get(
        vendor, ("client_event_time", "event_time")
    )
    line = {"segment": _SEGMENT, "posthog": _POSTHOG, "amplitude": _AMPLITUDE}[vendor]
    assert imported(vendor, line | {fields[0]: written}).timestamp_ms == 1_705_314_600_000
    assert imported(vendor, line | dict.fromkeys(fields, "") | {fields[-1]: written}).timestamp_ms == 1_705_314_600_000


def test_a_time_of_sending_that_is_none_costs_no_line() -> None:
    at = _AMPLITUDE | {"event_time": "2024-01-15 10:30:00"}
    for written in ("", "soon", None):
        assert imported("amplitude", at | {"client_upload_time": written}).sent_at_ms is None


def test_what_segment_wrote_into_a_file_may_be_larger_than_what_its_sdks_send() -> None:
    line = _SEGMENT | {"properties": {"text": "x" * 40_000}}
    del line["channel"]
    assert imported("segment", line).user_id == "u-1"


def test_a_line_without_a_key_is_the_same_however_lines_end() -> None:
    line = json.dumps(_AMPLITUDE | {"event_time": "2024-01-15 10:30:00"}).encode()
    parse = parser_of(ImportQuery("amplitude", False, False))
    keys = [dedup_key(parse(body, CONTEXT).items[0].event) for body in (line, line + b"\r\n", b" " + line + b"\n")]
    assert len(set(keys)) == 1
