"""Whatever bytes arrive, a parser returns events or raises one of our errors; and it takes nothing that is not JSON."""

import gc
import inspect
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from headrace.dialects import (
    amplitude,
    bricqs,
    cloudevents,
    flux,
    flux_metrics,
    hogsend_data,
    hogsend_replays,
    mixpanel,
    mixpanel_profiles,
    posthog,
    posthog_keys,
    segment,
    solute,
)
from headrace.model.batch import Batch
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import decode, encode
from tests.cases import case
from tests.dialects.given import context, receipt
from tests.dialects.strategies import any_values, examples, mutated, objects_with

BINARY = structs.replace(
    context(),
    headers=(("ce-specversion", "1.0"), ("ce-id", "i"), ("ce-source", "/s"), ("ce-type", "t"), ("ce-userid", "a%20b")),
)
Parser = Callable[[bytes], Batch | hogsend_replays.ReplayRequest]

PARSERS: dict[str, Parser] = {
    "flux single": lambda body: flux.parse_track(body, context()),
    "flux batch": lambda body: flux.parse_batch(body, context()),
    "bricqs single": lambda body: bricqs.parse_event(body, context()),
    "bricqs batch": lambda body: bricqs.parse_batch(body, context()),
    "solute batch": lambda body: solute.parse_batch(body, context()),
    "hogsend replay": hogsend_replays.parse_replay,
    "hogsend event": lambda body: hogsend_data.parse_event(body, context()),
    "flux gem": lambda body: flux_metrics.parse_gem(body, context()),
    "segment batch": lambda body: segment.parse_batch(body, context()),
    "segment track": lambda body: segment.call_parser("track")(body, context()),
    "posthog": lambda body: posthog.parse(body, context()),
    "amplitude": lambda body: amplitude.parse(body, context()),
    "mixpanel track": lambda body: mixpanel.parse_track(body, context()),
    "mixpanel engage": lambda body: mixpanel_profiles.parse_engage(body, context()),
    "mixpanel groups": lambda body: mixpanel_profiles.parse_groups(body, context()),
    "cloudevents": lambda body: cloudevents.parse(body, context()),
    "cloudevents binary": lambda body: cloudevents.parse(body, BINARY),
}
RENDERERS: dict[str, tuple[Callable[[Any, Any], bytes], ...]] = {
    "flux single": (flux.render_track,),
    "flux batch": (flux.render_batch,),
    "bricqs single": (bricqs.render_accepted,),
    "bricqs batch": (bricqs.render_batch,),
    "solute batch": (
        solute.render_batch,
        lambda batch, receipts: solute.render_batch(structs.replace(batch, reject_duplicates=True), receipts),
    ),
    "hogsend replay": (),
    "hogsend event": (hogsend_data.render_stored,),
    "flux gem": (flux_metrics.render_gem,),
    "segment batch": (segment.render_accepted,),
    "segment track": (segment.render_accepted,),
    "posthog": (posthog.render_accepted,),
    "amplitude": (amplitude.render_accepted,),
    "mixpanel track": (mixpanel.render_accepted,),
    "mixpanel engage": (mixpanel.render_accepted,),
    "mixpanel groups": (mixpanel.render_accepted,),
    "cloudevents": (cloudevents.render_accepted,),
    "cloudevents binary": (cloudevents.render_accepted,),
}
FORMS = ("posthog", "mixpanel track", "mixpanel engage", "mixpanel groups")  # may also come as an HTML form
KEYS: dict[str, Callable[[bytes], str]] = {
    "segment batch": segment.find_key,
    "posthog": posthog_keys.find_key,
    "amplitude": amplitude.find_key,
    "mixpanel track": mixpanel.find_key,
    "mixpanel engage": mixpanel.find_key,
}

FLUX_FIELDS = (
    *("name", "timestamp", "user_id", "value", "properties", "tags", "session_id", "environment", "service"),
    *("host", "request_id", "idempotency_key", "messageId", "unknown"),
)
BRICQS_FIELDS = ("event_name", "participant_id", "properties", "timestamp", "idempotency_key", "messageId", "unknown")
SOLUTE_FIELDS = (
    *("type", "timestamp", "userId", "anonymousId", "messageId", "context", "event", "properties", "traits"),
    *("name", "category", "groupId", "previousId", "unknown"),
)
SEGMENT_FIELDS = (*SOLUTE_FIELDS, "originalTimestamp", "sentAt")
POSTHOG_FIELDS = (
    *("event", "distinct_id", "properties", "timestamp", "offset", "uuid", "$set", "$set_once", "sent_at", "token"),
    *("api_key", "batch", "unknown"),
)
AMPLITUDE_FIELDS = (
    *("event_type", "user_id", "device_id", "time", "event_properties", "user_properties", "group_properties"),
    *("groups", "insert_id", "session_id", "price", "revenue", "productId", "platform"),
)
MIXPANEL_PROPERTIES = (
    *(
        "token",
        "distinct_id",
        "time",
        "$insert_id",
        "$user_id",
        "$device_id",
        "alias",
        "$distinct_ids",
        "$anon_id",
        "a",
    ),
)
UPDATE_FIELDS = ("$token", "$distinct_id", "$group_id", "$group_key", "$time", "$set", "$set_once", "$add", "unknown")
CLOUDEVENTS_FIELDS = (
    *("specversion", "id", "source", "type", "time", "subject", "data", "data_base64", "datacontenttype"),
    *("userid", "anonymousid", "sessionid", "groupid", "previousid", "traceparent"),
)
HOGSEND_FIELDS = (
    *("name", "email", "userId", "anonymousId", "eventProperties", "properties", "contactProperties", "lists"),
    *("idempotencyKey", "timestamp", "unknown"),
)
POINT_FIELDS = ("name", "type", "value", "timestamp", "tags", "idempotency_key", "messageId", "unknown")
HOGSEND_EVENT = {
    "name": "signup",
    "email": "ada@example.com",
    "eventProperties": {"source": "web"},
    "contactProperties": {"plan": "pro"},
    "lists": {"news": True},
    "idempotencyKey": "k",
}
POINT = {"name": "users.online", "type": "gauge", "value": 2.5, "tags": {"region": "us-east"}, "idempotency_key": "k"}
FLUX_EVENT = {
    "name": "user.signup",
    "timestamp": "2024-01-15T10:30:00Z",
    "user_id": "user_123",
    "value": 29.99,
    "properties": {"plan": "pro", "n": 9007199254740993, "deep": [{"é": None}]},
    "tags": {"region": "us-east"},
    "session_id": "s",
}
BRICQS_EVENT = {
    "event_name": "purchase_completed",
    "participant_id": "user_123",
    "properties": {"amount": 49.99, "currency": "USD"},
    "timestamp": "2026-04-10T10:30:00Z",
    "idempotency_key": "k",
}
SOLUTE_EVENT = {
    "type": "page",
    "timestamp": "2025-01-15T10:30:00Z",
    "messageId": "m",
    "context": {"sessionId": "s"},
    "userId": "user_123",
    "name": "Home",
    "properties": {"url": "/"},
}
REPLAY = {"eventIds": ["a", "b"], "filter": {"event": "a", "from": "2025-01-15"}, "limit": 5, "force": True}

SEGMENT_EVENT = SOLUTE_EVENT | {"type": "screen", "context": {"traits": {"a": 1}}, "originalTimestamp": "2025-01-15"}

POSTHOG_EVENT = {
    "event": "$groupidentify",
    "distinct_id": "u",
    "uuid": "0192f0a6-8a3c-7cc1-9a51-2b6f6c9e4d10",
    "properties": {"$group_key": "acme", "$group_set": {"a": 1}, "$set": {"b": 2}, "token": "t", "alias": "a"},
    "timestamp": "2025-01-15T10:30:00Z",
}
POSTHOG_KINDS = (
    "a",
    "$identify",
    "$set",
    "$create_alias",
    "$groupidentify",
    "$pageview",
    "$screen",
    "$merge_dangerously",
)
AMPLITUDE_EVENT = {
    "event_type": "a",
    "user_id": "u",
    "device_id": "d",
    "time": 1736937000000,
    "event_properties": {"revenue": 1.5},
    "user_properties": {"$set": {"a": 1}, "$add": {"n": 1}},
    "group_properties": {"$setOnce": {"a": 1}},
    "groups": {"company": ["acme"]},
    "platform": "Web",
    "price": 5,
}
MIXPANEL_EVENT = {"event": "a", "properties": {"token": "t", "distinct_id": "u", "time": 1736937000, "$insert_id": "i"}}
MIXPANEL_KINDS = ("a", "$identify", "$create_alias", "$merge", "$mp_web_page_view")
UPDATE = {
    "$token": "t",
    "$distinct_id": "u",
    "$group_id": "g",
    "$group_key": "company",
    "$time": 1736937000.25,
    "$set": {"a": 1},
}
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "i",
    "source": "/shop",
    "type": "order.completed",
    "time": "2025-01-15T10:30:00Z",
    "subject": "user_1",
    "data": {"revenue": 49.99},
}
_sent_at = st.one_of(st.just("2025-01-15T10:30:05Z"), any_values)
_TYPED: dict[str, st.SearchStrategy[Any]] = {
    "flux single": objects_with(FLUX_FIELDS).map(lambda fields: {"name": "a"} | fields),
    "flux batch": st.lists(objects_with(FLUX_FIELDS), max_size=3).map(lambda events: {"events": events}),
    "bricqs single": objects_with(BRICQS_FIELDS).map(lambda fields: BRICQS_EVENT | fields),
    "bricqs batch": st.lists(objects_with(BRICQS_FIELDS), max_size=3).map(lambda events: {"events": events}),
    "solute batch": st.builds(
        lambda events, sent_at: {"batch": [SOLUTE_EVENT | event for event in events], "sentAt": sent_at},
        st.lists(objects_with(SOLUTE_FIELDS), max_size=3),
        _sent_at,
    ),
    "hogsend replay": st.builds(
        lambda fields, criteria: {"filter": criteria} | fields,
        objects_with(("eventIds", "filter", "limit", "force", "dryRun")),
        objects_with(("event", "userId", "source", "from", "to")),
    ),
    "hogsend event": objects_with(HOGSEND_FIELDS).map(lambda fields: {"name": "a", "userId": "u"} | fields),
    "flux gem": st.builds(
        lambda events, points: {"events": events, "metrics": points},
        st.lists(objects_with(FLUX_FIELDS), max_size=2),
        st.lists(objects_with(POINT_FIELDS), max_size=2),
    ),
    "segment batch": st.builds(
        lambda events, sent_at: {"batch": [SEGMENT_EVENT | event for event in events], "sentAt": sent_at},
        st.lists(objects_with(SEGMENT_FIELDS), max_size=3),
        _sent_at,
    ),
    "segment track": objects_with(SEGMENT_FIELDS).map(lambda fields: SEGMENT_EVENT | {"event": "a"} | fields),
    "posthog": st.builds(
        lambda kind, events, batch: (
            {"batch": [POSTHOG_EVENT | {"event": kind} | each for each in events]}
            if batch
            else [POSTHOG_EVENT | {"event": kind} | each for each in events]
        ),
        st.sampled_from(POSTHOG_KINDS),
        st.lists(objects_with(POSTHOG_FIELDS), max_size=3),
        st.booleans(),
    ),
    "amplitude": st.builds(
        lambda kind, fields: {"events": [AMPLITUDE_EVENT | {"event_type": kind} | fields]},
        st.sampled_from(["a", "$identify", "$groupidentify"]),
        objects_with(AMPLITUDE_FIELDS),
    ),
    "mixpanel track": st.lists(
        st.builds(
            lambda kind, fields: {"event": kind, "properties": MIXPANEL_EVENT["properties"] | fields},
            st.sampled_from(MIXPANEL_KINDS),
            objects_with(MIXPANEL_PROPERTIES),
        ),
        max_size=3,
    ),
    "mixpanel engage": objects_with(UPDATE_FIELDS).map(lambda fields: UPDATE | fields),
    "mixpanel groups": objects_with(UPDATE_FIELDS).map(lambda fields: [UPDATE | fields]),
    "cloudevents": st.builds(
        lambda kind, fields: [CLOUDEVENT | {"type": kind} | fields],
        st.sampled_from(["order.completed", "user.identified", "group.identified", "user.aliased", "page.viewed"]),
        objects_with(CLOUDEVENTS_FIELDS),
    ),
    "cloudevents binary": any_values,
}
_VALID: dict[str, tuple[Any, ...]] = {
    "flux single": (FLUX_EVENT, {"name": "a"}),
    "flux batch": ({"events": [FLUX_EVENT, {"name": "b"}]}, [FLUX_EVENT]),
    "bricqs single": (BRICQS_EVENT,),
    "bricqs batch": ({"events": [BRICQS_EVENT, BRICQS_EVENT]},),
    "solute batch": ({"batch": [SOLUTE_EVENT, SOLUTE_EVENT | {"type": "alias"}], "sentAt": "2025-01-15T10:30:05Z"},),
    "hogsend replay": (REPLAY,),
    "hogsend event": (HOGSEND_EVENT,),
    "flux gem": ({"events": [FLUX_EVENT], "metrics": [POINT, POINT | {"type": "set", "value": "u"}]},),
    "segment batch": ({"batch": [SEGMENT_EVENT, SEGMENT_EVENT | {"type": "identify"}], "sentAt": "x"},),
    "segment track": (SEGMENT_EVENT | {"event": "a"},),
    "posthog": ({"batch": [POSTHOG_EVENT], "api_key": "k"}, [POSTHOG_EVENT], POSTHOG_EVENT),
    "amplitude": ({"events": [AMPLITUDE_EVENT, AMPLITUDE_EVENT | {"event_type": "$identify"}], "api_key": "k"},),
    "mixpanel track": (MIXPANEL_EVENT, [MIXPANEL_EVENT, MIXPANEL_EVENT]),
    "mixpanel engage": (UPDATE, [UPDATE]),
    "mixpanel groups": (UPDATE,),
    "cloudevents": (CLOUDEVENT, [CLOUDEVENT, CLOUDEVENT | {"data": 7}], CLOUDEVENT | {"data_base64": "AA=="}),
    "cloudevents binary": ({"revenue": 49.99}, [1, 2], "text", None),
}


def _spelled(value: object, *, escaped: bool) -> bytes:
    """JSON, save that it may hold NaN and, escaped or as bytes, lone surrogates."""
    return json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


def may_be_empty(route: str, body: bytes) -> bool:
    """A binary CloudEvent needs no data."""
    return route == "cloudevents binary" and not body


def _as_form(body: bytes, in_base64: bool) -> bytes:
    return urlencode({"data": b64encode(body) if in_base64 else body, "compression": "base64"}).encode()


def bodies_of(route: str) -> st.SearchStrategy[bytes]:
    valid = st.sampled_from([_spelled(each, escaped=False) for each in _VALID[route]])
    typed = st.builds(lambda value, escaped: _spelled(value, escaped=escaped), _TYPED[route], st.booleans())
    anything = st.builds(lambda value, escaped: _spelled(value, escaped=escaped), any_values, st.booleans())
    plain = st.one_of(typed, mutated(valid), mutated(typed), anything, st.binary(max_size=50))
    if route not in FORMS:
        return plain
    return st.one_of(
        plain, st.builds(_as_form, plain, st.booleans()), mutated(st.builds(_as_form, valid, st.booleans()))
    )


BATCHES = ("flux batch", "bricqs batch", "solute batch", "flux gem", "segment batch", "cloudevents")


def _is_json(body: bytes) -> bool | None:
    """What Python's own parser says of a body; None where it gives up for a reason of its own.

    It takes the escape of a lone surrogate, as the parsers here do.
    """

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(body.decode().removeprefix("\ufeff"), parse_constant=refuse, parse_int=str)
    except RecursionError:
        return None
    except ValueError:  # also UnicodeDecodeError
        return False
    return True


@pytest.mark.parametrize("route", PARSERS)
def test_a_parser_returns_or_raises_an_error_of_ours_on_any_bytes(route: str) -> None:
    @examples(100)
    @given(bodies_of(route))
    def law(body: bytes) -> None:
        try:
            parsed = PARSERS[route](body)
        except HeadraceError:
            return
        confined = route in BATCHES and isinstance(parsed, Batch) and parsed.rejections
        word = route == "cloudevents binary" and is_word(body)
        assert route in FORMS or may_be_empty(route, body) or confined or word or _is_json(body) is not False
        if isinstance(parsed, Batch):
            for item in parsed.items:
                assert decode(encode(item.event)) == item.event
            receipts = [receipt(index) for index in range(len(parsed.items))]
            for render in RENDERERS[route]:
                json.loads(render(parsed, receipts))

    law()


@pytest.mark.parametrize("route", KEYS)
def test_a_key_is_found_or_an_error_of_ours_is_raised_on_any_bytes(route: str) -> None:
    @examples(100)
    @given(bodies_of(route))
    def law(body: bytes) -> None:
        with suppress(HeadraceError):
            assert KEYS[route](body)

    law()


def is_word(data: bytes) -> bool:
    """Whether it is a string that the JavaScript SDK of CloudEvents left without quotes."""
    return data.decode(errors="replace").lstrip()[:1].isalpha() and data not in (b"NaN", b"Infinity")


BROKEN = (
    *(b"", b" ", b"\n", b"\xef\xbb\xbf", b"\x00", b"nul", b"-", b'"', b"{", b"[", b"}", b"{]", b"{}{}", b"{},"),
    *(b"{,}", b"{'a':1}", b"{a:1}", b"[1,]", b"undefined", b"NaN", b"Infinity", b"-Infinity", b"+1", b"01", b".5"),
    *(b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"\\udc00":1}', b'{"a":"\\ud800\\ud800"}'),
    *(b'{"a":"\n"}', b'{"a":"\\x41"}', b'{"a":1e}', b'{"a":1.}', b'{"a":0x10}', b'{"a":"\xed\xa0\x80"}'),
    *(b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf\xef\xbb\xbf{}", b"a=1&b=2", b"<a/>", b"\x1f\x8b\x08", b"{}\x00"),
    b"[" * 100_000,
    b'{"a":' * 100_000,
)


@pytest.mark.parametrize("route", PARSERS)
def test_what_is_not_json_is_an_invalid_request(route: str) -> None:
    for broken in BROKEN:
        if may_be_empty(route, broken) or (route == "cloudevents binary" and (b"\\u" in broken or is_word(broken))):
            continue
        with case(broken[:20]), pytest.raises(InvalidRequest):
            PARSERS[route](broken)


NESTING_FIELDS = ("timestamp", "sentAt", "unknown", "properties", "tags", "context", "eventIds")
_LEFT = 150


@contextmanager
def calls_left(number: int) -> Iterator[None]:
    """Within it, so many more calls may be open at once until Python gives up."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + number)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


@pytest.mark.parametrize("route", PARSERS)
def test_nesting_at_any_depth_in_any_field_is_an_error_of_ours_at_most(route: str) -> None:
    """Python's limit of calls must not show, neither in reading a value nor in saying what was wrong with it.

    Each depth around the limit is tried under a low one, and some under the usual one of 1000.
    """
    for field in NESTING_FIELDS:
        with calls_left(_LEFT):
            parse_nested(route, field, range(_LEFT - 50, _LEFT + 52))
        parse_nested(route, field, (64, *range(900, 1002, 10), 5000))


def parse_nested(route: str, field: str, depths: Iterable[int]) -> None:
    for depth in depths:
        nested = b"[" * depth + b"]" * depth
        for whole in (
            b'{"%b":%b}',
            b'{"events":[{"name":"a","%b":%b}]}',
            b'{"batch":[{"%b":%b}],"sentAt":"2025-01-15"}',
        ):
            with case(field, depth, whole), suppress(HeadraceError):
                PARSERS[route](whole % (field.encode(), nested))


@pytest.mark.parametrize("route", PARSERS)
@pytest.mark.parametrize(
    ("opening", "inner", "closing"), [(b"[", b"", b"]"), (b'{"a":', b"1", b"}")], ids=["arrays", "objects"]
)
def test_a_document_100_000_levels_deep_is_refused_whole_or_item_by_item(
    route: str, opening: bytes, inner: bytes, closing: bytes
) -> None:
    """Python's parser gives up on it before 3.14; from there on it reads it, and our limit of depth or size refuses it."""
    body = opening * 100_000 + inner + closing * 100_000
    try:
        parsed = PARSERS[route](body)
    except HeadraceError:
        return
    assert parsed.rejections
    assert not parsed.items


def test_a_rejection_keeps_nothing_of_its_request_alive() -> None:
    """Else a cycle through its traceback would hold every body with a bad item until the next full collection."""
    gc.collect()
    gc.disable()
    try:
        body = b'{"events":[{},{"name":5},{"name":"a","timestamp":"x"},{"name":"a","properties":{"n":1e999}},7]}'
        before = sys.getrefcount(body)
        batch = flux.parse_batch(body, context())
        assert len(batch.rejections) == 5
        rejections = batch.rejections
        del batch
        assert sys.getrefcount(body) == before
        assert all(each.error.__traceback__ is each.error.__context__ is None for each in rejections)
    finally:
        gc.enable()
