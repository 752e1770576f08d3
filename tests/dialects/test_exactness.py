"""What was sent comes back byte for byte, and what is stored beside it for searching is what the JSON says."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.dialects import bricqs, flux, flux_queries, hogsend, solute
from headrace.model.event import Event, StoredEvent, decode, encode
from tests.dialects.given import FIRST_POSITION, context, receipt
from tests.dialects.strategies import events, examples, flat_objects, keys, nested_objects, texts

tag_maps = st.dictionaries(keys, texts, max_size=3)


def _stored(event: Event) -> StoredEvent:
    """As it comes back from the store, which keeps the fields as they went in."""
    fields = json.loads(encode(event)) | {"id": receipt(0).id, "position": FIRST_POSITION}
    return StoredEvent(**fields)


@examples(100)
@given(events)
def test_the_codec_gives_back_any_event(event: Event) -> None:
    assert decode(encode(event)) == event


@examples(100)
@given(nested_objects)
def test_flux_properties_come_back_byte_for_byte(properties: str) -> None:
    body = f'{{ "properties" :\n{properties} , "name":"a"}}'
    event = flux.parse_track(body.encode(), context()).items[0].event
    assert decode(encode(event)).properties == properties
    assert f'"properties":{properties}'.encode() in flux_queries.render_get(_stored(event))


@examples(60)
@given(nested_objects)
def test_bricqs_properties_come_back_byte_for_byte(properties: str) -> None:
    body = f'{{"events":[{{"event_name":"a","participant_id":"u","properties":{properties}\t}}]}}'
    event = bricqs.parse_batch(body.encode(), context()).items[0].event
    assert decode(encode(event)).properties == properties
    assert f'"properties":{properties}'.encode() in hogsend.render_get(_stored(event))


@examples(60)
@given(nested_objects, nested_objects, nested_objects)
def test_solute_properties_context_and_traits_come_back_byte_for_byte(
    properties: str, event_context: str, traits: str
) -> None:
    body = (
        '{"sentAt":"2025-01-15","batch":[{"type":"identify","timestamp":"2025-01-15","messageId":"m",'
        f'"properties": {properties} ,"context":\n{event_context},"traits":{traits} }}]}}'
    )
    event = solute.parse_batch(body.encode(), context()).items[0].event
    kept = decode(encode(event))
    assert (kept.properties, kept.context, kept.traits) == (properties, event_context, traits)
    reply = flux_queries.render_get(_stored(event))
    assert f'"context":{event_context},"traits":{traits}'.encode() in reply


@examples(60)
@given(flat_objects, texts, texts)
def test_a_page_keeps_its_properties_text_and_gains_only_what_is_missing(
    properties: str, name: str, category: str
) -> None:
    page = json.dumps({"type": "page", "timestamp": "2025-01-15", "messageId": "m", "context": {}})
    own = json.dumps({"name": name, "category": category})
    body = f'{{"sentAt":"2025-01-15","batch":[{page[:-1]},"properties":{properties},{own[1:]}]}}'
    event = solute.parse_batch(body.encode(), context()).items[0].event

    sent: dict[str, Any] = json.loads(properties)
    missing = {key: text for key, text in (("name", name), ("category", category)) if text and key not in sent}
    assert json.loads(event.properties) == sent | missing
    assert event.properties == properties or event.properties.startswith(properties[:-1].rstrip())
    assert event.labels == {key: value for key, value in (sent | missing).items() if isinstance(value, str)}


def _labels_and_numbers(properties: str, tags: dict[str, str]) -> tuple[dict[str, str], dict[str, float]]:
    """By Python's own JSON."""
    labels: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for key, value in json.loads(properties).items():
        if isinstance(value, str) and key not in tags:
            labels[key] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                numbers[key] = float(value)
            except OverflowError:
                continue
    return labels, numbers


@examples(200)
@given(nested_objects | flat_objects, tag_maps)
def test_labels_and_numbers_are_what_pythons_json_says_of_the_properties(properties: str, tags: dict[str, str]) -> None:
    flux_body = f'{{"name":"a","properties":{properties},"tags":{json.dumps(tags)}}}'
    event = flux.parse_track(flux_body.encode(), context()).items[0].event
    assert (event.labels, event.numbers) == _labels_and_numbers(properties, tags)
    assert event.tags == tags

    bricqs_body = f'{{"event_name":"a","participant_id":"u","properties":{properties}}}'
    event = bricqs.parse_event(bricqs_body.encode(), context()).items[0].event
    assert (event.labels, event.numbers) == _labels_and_numbers(properties, {})


@examples(60)
@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**1023), 2**1023)))
def test_a_value_is_the_nearest_double_and_comes_back_as_it(value: float) -> None:
    batch = flux.parse_track(b'{"name":"a","value":%b}' % json.dumps(value).encode(), context())
    assert batch.items[0].event.value == float(value)
    assert json.loads(flux.render_track(batch, [receipt(0)]))["data"]["value"] == float(value)
