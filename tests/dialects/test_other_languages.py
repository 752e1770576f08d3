"""What PHP, Ruby and others send: empty maps as arrays, numbers as text, ids longer than anybody keeps."""

import json
from collections.abc import Callable
from typing import Any

import pytest

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
    native_webhooks,
    posthog,
    segment,
    solute,
)
from headrace.model.batch import Batch, Context
from headrace.model.errors import HeadraceError, InvalidRequest, InvalidRules, InvalidTags
from headrace.model.event import Event
from headrace.model.filters import Filters
from headrace.reactions.rules import parse_rules
from tests.dialects.given import context

Parse = Callable[[bytes, Context], Batch]


def _one(parse: Parse, body: Any) -> Event:
    batch = parse(json.dumps(body).encode(), context())
    assert not batch.rejections, batch.rejections[0].error.message
    (item,) = batch.items
    return item.event


def _spec(**fields: Any) -> dict[str, Any]:
    given = {"type": "track", "event": "a", "userId": "u", "messageId": "m", "timestamp": "2025-01-15", "context": {}}
    return given | fields


# Every place where an object is awaited: (parser, body with [] in it, the same with {}).
_PLACES: dict[str, tuple[Parse, Callable[[Any], Any]]] = {
    "flux properties": (flux.parse_track, lambda map_: {"name": "a", "properties": map_}),
    "flux tags": (flux.parse_track, lambda map_: {"name": "a", "tags": map_}),
    "flux batch": (flux.parse_batch, lambda map_: {"events": [{"name": "a", "properties": map_, "tags": map_}]}),
    "flux gem": (flux_metrics.parse_gem, lambda map_: {"events": [{"name": "a", "properties": map_, "tags": map_}]}),
    "flux metric": (
        flux_metrics.parse_metric,
        lambda map_: {"name": "a", "type": "gauge", "value": 1, "tags": map_},
    ),
    "bricqs": (bricqs.parse_event, lambda map_: {"event_name": "a", "participant_id": "u", "properties": map_}),
    "solute": (
        solute.parse_batch,
        lambda map_: {
            "batch": [_spec(type="page", context=map_, properties=map_, traits=map_)],
            "sentAt": "2025-01-15",
        },
    ),
    "segment": (
        segment.parse_batch,
        lambda map_: {"batch": [_spec(context=map_, properties=map_, traits=map_, integrations=map_)]},
    ),
    "segment context traits": (
        segment.parse_batch,
        lambda map_: {"batch": [_spec(type="identify", context={"traits": map_})]},
    ),
    "posthog": (
        posthog.parse,
        lambda map_: {"event": "$identify", "distinct_id": "u", "properties": map_, "$set": map_, "$set_once": map_},
    ),
    "posthog inner": (
        posthog.parse,
        lambda map_: {"event": "a", "distinct_id": "u", "properties": {"$set": map_, "$groups": map_}},
    ),
    "amplitude": (
        amplitude.parse,
        lambda map_: {
            "events": [
                {
                    "event_type": "$identify",
                    "user_id": "u",
                    "event_properties": map_,
                    "user_properties": map_,
                    "groups": map_,
                }
            ]
        },
    ),
    "amplitude set": (
        amplitude.parse,
        lambda map_: {"events": [{"event_type": "$identify", "user_id": "u", "user_properties": {"$set": map_}}]},
    ),
    "mixpanel": (mixpanel.parse_track, lambda map_: [{"event": "a", "properties": map_}]),
    "mixpanel engage": (mixpanel_profiles.parse_engage, lambda map_: [{"$distinct_id": "u", "$set": map_}]),
    "hogsend": (
        hogsend_data.parse_event,
        lambda map_: {
            "name": "a",
            "userId": "u",
            "eventProperties": map_,
            "contactProperties": map_,
            "lists": map_,
            "groups": map_,
        },
    ),
}
_AS_TEXT = ("context", "properties", "traits")


@pytest.mark.parametrize("place", _PLACES)
def test_an_empty_array_is_an_empty_object_wherever_one_is_awaited(place: str) -> None:
    parse, body = _PLACES[place]
    of_array, of_object = _one(parse, body([])), _one(parse, body({}))
    for field in Event.__struct_fields__:
        left, right = getattr(of_array, field), getattr(of_object, field)
        if field in _AS_TEXT:  # what stands deeper inside comes back as it was sent
            left, right = left.replace("[]", "{}") or "{}", right or "{}"
        assert left == right, field


@pytest.mark.parametrize("place", [name for name in _PLACES if name not in ("amplitude", "posthog inner")])
def test_an_array_with_something_in_it_is_no_object(place: str) -> None:
    parse, body = _PLACES[place]
    if place == "segment context traits":  # where a person's traits may stand, and other things too
        assert _one(parse, body([1])).traits == ""
        return
    with_one = json.dumps(body([1])).encode()
    try:
        batch = parse(with_one, context())
    except HeadraceError as error:
        assert isinstance(error, InvalidRequest)  # noqa: PT017
    else:
        assert len(batch.rejections) == 1


def test_tags_that_are_no_strings_are_still_refused_in_flux() -> None:
    for tags in ("[1]", '["a"]', "[[]]", '{"a":[]}', '"x"', "0"):
        with pytest.raises(InvalidTags):
            flux.parse_track(b'{"name":"a","tags":%b}' % tags.encode(), context())


def test_the_filter_of_a_replay_may_be_phps_empty_map() -> None:
    request = hogsend_replays.parse_replay(b'{"eventIds":["a"],"filter":[]}')
    assert request.selection.ids == ["a"]
    with pytest.raises(InvalidRequest, match="at least one"):
        hogsend_replays.parse_replay(b'{"filter":[]}')


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("49.99", 49.99),
        ("5", 5),
        ("-1.5", -1.5),
        ("1e3", 1000),
        (".5", 0.5),
        ("12345678901234567890", 1.2345678901234567e19),
    ],
)
def test_a_number_as_text_is_a_value_in_hogsend_and_the_gem_and_none_in_flux(text: str, number: float) -> None:
    assert _one(hogsend_data.parse_event, {"name": "a", "userId": "u", "value": text}).value == number
    assert _one(flux_metrics.parse_gem, {"events": [{"name": "a", "value": text}]}).value == number
    priced = _one(amplitude.parse, {"events": [{"event_type": "a", "user_id": "u", "revenue": text}]})
    assert priced.numbers == {"revenue": number}
    with pytest.raises(InvalidRequest):
        _one(flux.parse_track, {"name": "a", "value": text})


@pytest.mark.parametrize("text", ["", "free", "1_000", "Infinity", "nan", "1e999", "1,5", "٥"])
def test_text_that_is_no_number_is_no_value(text: str) -> None:
    with pytest.raises(InvalidRequest):
        _one(hogsend_data.parse_event, {"name": "a", "userId": "u", "value": text})
    assert _one(amplitude.parse, {"events": [{"event_type": "a", "user_id": "u", "revenue": text}]}).numbers == {}


def test_value_currency_and_groups_of_hogsends_data_plane_are_kept() -> None:
    event = _one(
        hogsend_data.parse_event,
        {"name": "a", "userId": "u", "value": 5, "currency": "EUR", "groups": {"company": "acme"}},
    )
    assert event.value == 5
    assert json.loads(event.context) == {"groups": {"company": "acme"}, "currency": "EUR"}


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_posthogs_ids_are_cut_to_200_characters_and_still_meet(letter: str) -> None:
    anonymous, known = letter * 300, "k" + letter * 300
    before = _one(posthog.parse, {"event": "a", "distinct_id": anonymous, "properties": {"$device_id": anonymous}})
    after = _one(
        posthog.parse,
        {"event": "$identify", "distinct_id": known, "properties": {"$anon_distinct_id": anonymous}},
    )
    alias = _one(posthog.parse, {"event": "$create_alias", "distinct_id": known, "properties": {"alias": anonymous}})
    assert before.anonymous_id == after.anonymous_id == alias.user_id == letter * 200
    assert after.user_id == alias.previous_id == "k" + letter * 199


def test_a_cloudevents_time_stays_rfc_3339_as_its_spec_says() -> None:
    event = {"specversion": "1.0", "id": "i", "source": "/s", "type": "a", "time": "2024-01-15 10:30:00 +0100"}
    with pytest.raises(InvalidRequest):
        _one(cloudevents.parse, event)


def test_an_empty_array_is_no_filter_of_a_webhook() -> None:
    for given in (b"[]", b"[ ]", b'{"tags":[],"properties":[]}', b"{}", b"null"):
        new = native_webhooks.parse_new(b'{"url":"https://a.example/","topics":["event"],"filter":%b}' % given)
        assert new.filters == Filters()
    for given in (b"[1]", b'{"tags":["a"]}', b'{"properties":[[]]}'):
        with pytest.raises(InvalidRequest, match="'filter' is not valid"):
            native_webhooks.parse_new(b'{"url":"https://a.example/","topics":["event"],"filter":%b}' % given)


def test_empty_arrays_are_empty_objects_in_rules_but_not_in_the_data_within_them() -> None:
    data = {"fields": [], "list": []}
    emit = [
        {"id": "e", "emit": {"event": "x", "properties": data}},
        {"id": "f", "emit": {"event": "x", "properties": []}},
    ]
    document = parse_rules(
        {
            "facts": [{"id": "f", "event": "n", "fields": []}],
            "journeys": [{"id": "j", "trigger": {"event": "n"}, "steps": emit}],
        }
    )
    assert document.facts[0].fields == {}
    first, second = (step.emit for step in document.journeys[0].steps)
    assert first is not None
    assert second is not None
    assert (first.properties, second.properties) == (data, {})
    with pytest.raises(InvalidRules, match=r"facts\[0\]\.fields"):
        parse_rules({"facts": [{"id": "f", "event": "n", "fields": [1]}]})


def test_rules_that_are_nested_absurdly_are_refused() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(InvalidRules):
        parse_rules({"facts": [{"id": "f", "event": "n", "when": nested}]})
