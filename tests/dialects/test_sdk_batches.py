"""Batches of vendors' SDKs: how many events, whose key, and how CloudEvents says that it is one."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from headrace.dialects import amplitude, cloudevents, mixpanel, posthog, posthog_keys, segment
from headrace.model.batch import Batch, Context
from headrace.model.errors import InvalidRequest, MissingKey, PayloadTooLarge
from tests.dialects.given import context

SEGMENT = {"type": "track", "event": "n", "userId": "u"}
POSTHOG = {"event": "n", "distinct_id": "u"}
CLOUDEVENT = {"specversion": "1.0", "id": "i", "source": "/s", "type": "n"}

BATCHES: dict[str, tuple[Callable[[bytes, Context], Batch], Callable[[list[Any]], Any], dict[str, Any], int]] = {
    "segment": (segment.parse_batch, lambda events: {"batch": events}, SEGMENT, segment.MAX_BATCH),
    "posthog": (posthog.parse, lambda events: {"batch": events}, POSTHOG, posthog.MAX_BATCH),
    "posthog-js": (posthog.parse, lambda events: events, POSTHOG, posthog.MAX_BATCH),
    "amplitude": (
        amplitude.parse,
        lambda events: {"events": events},
        {"event_type": "n", "user_id": "u"},
        amplitude.MAX_BATCH,
    ),
    "mixpanel": (mixpanel.parse_import, lambda events: events, {"event": "n"}, mixpanel.MAX_BATCH),
    "cloudevents": (cloudevents.parse, lambda events: events, CLOUDEVENT, cloudevents.MAX_BATCH),
}


@pytest.mark.parametrize("sdk", BATCHES)
def test_more_events_than_fit_are_too_large_and_not_malformed(sdk: str) -> None:
    """On 413 the SDKs of Amplitude, Mixpanel and PostHog send the same in smaller batches; on 400 they drop it."""
    parse, wrap, event, most = BATCHES[sdk]
    assert len(parse(json.dumps(wrap([event] * most)).encode(), context()).items) == most
    with pytest.raises(PayloadTooLarge, match=rf"more than {most} events"):
        parse(json.dumps(wrap([event] * (most + 1))).encode(), context())


@pytest.mark.parametrize(
    ("find_key", "wrap"),
    [
        (posthog_keys.find_key, lambda first, second: [POSTHOG | {"token": first}, POSTHOG | {"api_key": second}]),
        (
            posthog_keys.find_key,
            lambda first, second: {"batch": [{"properties": {"token": first}}, {"properties": {"token": second}}]},
        ),
        (mixpanel.find_key, lambda first, second: [{"properties": {"token": each}} for each in (first, second)]),
        (mixpanel.find_key, lambda first, second: [{"$token": first}, {"$token": second}]),
    ],
    ids=["posthog-js", "posthog", "mixpanel", "mixpanel-updates"],
)
def test_a_batch_of_two_keys_is_refused_and_no_project_gets_the_others_events(
    find_key: Callable[[bytes], str], wrap: Callable[[str, str], Any]
) -> None:
    assert find_key(json.dumps(wrap("k", "k")).encode()) == "k"
    assert find_key(json.dumps(wrap("", "k")).encode()) == "k"
    with pytest.raises(InvalidRequest, match="different keys"):
        find_key(json.dumps(wrap("k", "other")).encode())


@pytest.mark.parametrize("bad", ["7", "[]", '"x"', '{"properties":7}', '{"properties":[],"event":{}}'])
def test_a_bad_event_costs_the_key_of_the_others_nothing(bad: str) -> None:
    good = '{"event":"n","properties":{"token":"k"}}'
    for body in (f"[{bad},{good}]", f"[{good},{bad}]"):
        assert mixpanel.find_key(body.encode()) == "k"
        assert posthog_keys.find_key(body.encode()) == "k"
        assert posthog_keys.find_key(b'{"batch":%b}' % body.encode()) == "k"


def test_a_key_beside_the_batch_is_the_key_of_all_of_it() -> None:
    body = {"api_key": "k", "batch": [{"properties": {"token": "a"}}, {"properties": {"token": "b"}}]}
    assert posthog_keys.find_key(json.dumps(body).encode()) == "k"


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "Application/CloudEvents-Batch+json; charset=utf-8"]
)
def test_a_structured_event_is_one_whatever_its_headers_repeat(content_type: str) -> None:
    """Gateways copy attributes into headers. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#13-content-modes"""
    headers = (("ce-id", "another"), ("ce-specversion", "1.0"), ("content-type", content_type))
    body: Any = CLOUDEVENT | {"data": {"revenue": 1}}
    body = [body] if "batch" in content_type.lower() else body
    batch = cloudevents.parse(json.dumps(body).encode(), structs.replace(context(), headers=headers))
    assert [(item.event.message_id, item.event.properties) for item in batch.items] == [("i", '{"revenue": 1}')]


@pytest.mark.parametrize(
    ("find_key", "body"),
    [
        (segment.find_key, b'{"batch":[{}],"writeKey":%b}'),
        (posthog_keys.find_key, b'{"batch":[{}],"api_key":%b}'),
        (amplitude.find_key, b'{"events":[{}],"api_key":%b}'),
        (mixpanel.find_key, b'{"event":"n","$token":%b}'),
    ],
    ids=["segment", "posthog", "amplitude", "mixpanel"],
)
def test_what_is_no_key_costs_no_more_than_its_bytes_before_anybody_is_known(
    find_key: Callable[[bytes], str], body: bytes
) -> None:
    sent = body % (b"[%b]" % b",".join([b'{"a":1}'] * 100_000))
    tracemalloc.start()
    try:
        with pytest.raises(MissingKey):
            find_key(sent)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(sent)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("find_key", [posthog_keys.find_key, mixpanel.find_key])
def test_a_form_is_not_unescaped_beyond_what_a_page_sends(find_key: Callable[[bytes], str]) -> None:
    with pytest.raises(PayloadTooLarge, match="Send JSON"):
        find_key(b"data=" + b"%41" * 400_000)
