"""Every limit at its edge: what still fits, and one more."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headrace.dialects import bricqs, flux, hogsend_replays, native_journeys, native_webhooks, solute
from headrace.model.batch import Batch
from headrace.model.errors import BatchTooLarge, EventTooLarge, HeadraceError, InvalidRequest, InvalidTags
from headrace.model.settings import Settings
from tests.dialects.given import context

Parse = Callable[[dict[str, Any]], Batch]


def _flux(event: dict[str, Any]) -> Batch:
    return flux.parse_track(msgspec.json.encode({"name": "a"} | event), context())


def _bricqs(event: dict[str, Any]) -> Batch:
    return bricqs.parse_event(msgspec.json.encode({"event_name": "a", "participant_id": "u"} | event), context())


def _solute(event: dict[str, Any]) -> Batch:
    """As if it were a single event: its rejection is raised."""
    whole = {"type": "track", "event": "a", "timestamp": "2025-01-15", "messageId": "m", "context": {}} | event
    batch = solute.parse_batch(msgspec.json.encode({"batch": [whole], "sentAt": "2025-01-15"}), context())
    for rejection in batch.rejections:
        raise rejection.error
    return batch


LENGTHS: tuple[tuple[Parse, str, int, dict[str, Any]], ...] = (
    (_flux, "name", 200, {}),
    (_flux, "user_id", 255, {}),
    (_flux, "session_id", 255, {}),
    (_flux, "environment", 255, {}),
    (_flux, "service", 255, {}),
    (_flux, "host", 255, {}),
    (_flux, "request_id", 255, {}),
    (_flux, "idempotency_key", 255, {}),
    (_flux, "messageId", 255, {}),
    (_bricqs, "event_name", 100, {}),
    (_bricqs, "participant_id", 255, {}),
    (_bricqs, "idempotency_key", 255, {}),
    (_bricqs, "messageId", 255, {}),
    (_solute, "event", 200, {}),
    (_solute, "messageId", 255, {}),
    (_solute, "userId", 255, {}),
    (_solute, "anonymousId", 255, {}),
    (_solute, "groupId", 255, {"type": "group"}),
    (_solute, "previousId", 255, {"type": "alias"}),
    (_solute, "name", 200, {"type": "page"}),
    (_solute, "category", 200, {"type": "page"}),
)


@pytest.mark.parametrize(
    ("parse", "field", "limit", "rest"),
    LENGTHS,
    ids=[f"{parse.__name__.strip('_')}-{field}" for parse, field, _, _ in LENGTHS],
)
@pytest.mark.parametrize("character", ["x", "é", "🎉"])
def test_a_text_may_have_as_many_characters_as_its_limit_and_not_one_more(
    parse: Parse, field: str, limit: int, rest: dict[str, Any], character: str
) -> None:
    assert parse(rest | {field: character * limit}).items
    with pytest.raises(InvalidRequest, match=rf"'{field}' .*{limit} characters; it has {limit + 1}"):
        parse(rest | {field: character * (limit + 1)})


def test_64_tags_fit_and_65_do_not() -> None:
    assert len(_flux({"tags": {f"t{n}": "x" for n in range(64)}}).items[0].event.tags) == 64
    with pytest.raises(InvalidTags, match="65 entries; the limit is 64"):
        _flux({"tags": {f"t{n}": "x" for n in range(65)}})


def test_a_tags_value_and_name_may_have_200_characters_and_not_201() -> None:
    assert _flux({"tags": {"t": "é" * 200, "k" * 200: ""}}).items
    with pytest.raises(InvalidTags, match="longer than 200 characters"):
        _flux({"tags": {"t": "é" * 201}})
    with pytest.raises(InvalidTags, match="longer than 200 characters"):
        _flux({"tags": {"k" * 201: "x"}})


def _flux_batch(count: int) -> Batch:
    return flux.parse_batch(msgspec.json.encode({"events": [{"name": "a"}] * count}), context())


def _flux_bare_batch(count: int) -> Batch:
    return flux.parse_batch(msgspec.json.encode([{"name": "a"}] * count), context())


def _bricqs_batch(count: int) -> Batch:
    events = [{"event_name": "a", "participant_id": "u"}] * count
    return bricqs.parse_batch(msgspec.json.encode({"events": events}), context())


def _solute_batch(count: int) -> Batch:
    event = {"type": "page", "timestamp": "2025-01-15", "messageId": "m", "context": {}}
    return solute.parse_batch(msgspec.json.encode({"batch": [event] * count, "sentAt": "2025-01-15"}), context())


@pytest.mark.parametrize(
    ("parse", "limit"), [(_flux_batch, 500), (_flux_bare_batch, 500), (_bricqs_batch, 100), (_solute_batch, 100)]
)
def test_a_batch_at_its_limit_is_taken_whole_and_one_over_it_not_at_all(
    parse: Callable[[int], Batch], limit: int
) -> None:
    assert [item.index for item in parse(limit).items] == list(range(limit))
    assert len(parse(limit - 1).items) == limit - 1
    with pytest.raises(BatchTooLarge, match=str(limit)):
        parse(limit + 1)


def test_a_batch_over_its_limit_is_refused_also_when_its_items_are_bad() -> None:
    with pytest.raises(BatchTooLarge):
        flux.parse_batch(b'{"events":[' + b"1," * 500 + b"1]}", context())
    assert len(flux.parse_batch(b'{"events":[' + b"1," * 499 + b"1]}", context()).rejections) == 500


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (lambda body: flux.parse_batch(body, context()), b'{"events":[%b1]}'),
        (lambda body: flux.parse_batch(body, context()), b"[%b1]"),
        (lambda body: bricqs.parse_batch(body, context()), b'{"events":[%b1]}'),
        (lambda body: solute.parse_batch(body, context()), b'{"sentAt":"2025-01-15","batch":[%b1]}'),
        (lambda body: solute.parse_batch(body, context()), b'{"batch":[1],"sentAt":[%b1]}'),
        (hogsend_replays.parse_replay, b'{"eventIds":[%b1]}'),
    ],
    ids=["flux", "flux bare", "bricqs", "solute", "solute sentAt", "hogsend"],
)
def test_300000_tiny_elements_are_refused_without_building_them(parse: Callable[[bytes], object], body: bytes) -> None:
    whole = body % (b"{}," * 300_000)
    tracemalloc.start()
    try:
        with pytest.raises(HeadraceError):
            parse(whole)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(whole)


def _of_size(size: int, key: str = "name") -> bytes:
    head = json.dumps({key: "a", "participant_id": "u", "properties": {"x": ""}}).encode()[:-3]
    return head + b"x" * (size - len(head) - 3) + b'"}}'


def test_one_event_may_have_256_kib_and_not_a_byte_more() -> None:
    largest = 256 * 1024
    for parse, key in ((flux.parse_track, "name"), (bricqs.parse_event, "event_name")):
        assert len(_of_size(largest)) == largest
        assert parse(_of_size(largest, key), context()).items
        with pytest.raises(EventTooLarge, match=f"{largest + 1} bytes; the limit is {largest}"):
            parse(_of_size(largest + 1, key), context())


def test_an_event_that_is_too_large_costs_only_itself_in_a_batch() -> None:
    batch = flux.parse_batch(b"[" + _of_size(256 * 1024 + 1) + b',{"name":"b"}]', context())
    assert [(item.index, item.event.name) for item in batch.items] == [(1, "b")]
    assert [(each.index, type(each.error)) for each in batch.rejections] == [(0, EventTooLarge)]
    assert json.loads(flux.render_batch(batch, []))["data"]["errors"][0]["code"] == "payload_too_large"


@pytest.mark.parametrize(("opening", "inner", "closing"), [("[", "", "]"), ('{"a":', "1", "}")])
@pytest.mark.parametrize("field", ["properties", "unknown"])
def test_an_event_may_nest_64_levels_deep_and_not_65(opening: str, inner: str, closing: str, field: str) -> None:
    def event(levels: int) -> bytes:
        nested = opening * (levels - 2) + inner + closing * (levels - 2)  # within the event, and within "a"
        return f'{{"name":"a","{field}":{{"a":{nested}}}}}'.encode()

    assert flux.parse_track(event(64), context()).items
    with pytest.raises(InvalidRequest, match="nested deeper than 64 levels"):
        flux.parse_track(event(65), context())


def test_brackets_side_by_side_or_inside_strings_are_no_depth() -> None:
    wide = "[" + "[]," * 1000 + "{}]"
    text = json.dumps("[{" * 1000 + '\\"' + "]}" * 10 + '"' + "[" * 1000)
    body = f'{{"name":"a","properties":{{"wide":{wide},"[[[":{text},"\\"{{":"\\\\"}}}}'
    assert flux.parse_track(body.encode(), context()).items


@pytest.mark.parametrize(
    "filling",
    [
        '"' + '\\"' * 100_000 + '"',
        '"' + "\\\\" * 100_000 + '"',
        '"' + "x" * 200_000 + '"',
        "[" + "[]," * 60_000 + "1]",
        "[" + '"",' * 60_000 + "1]",
        "[" + '{"a":0},' * 20_000 + "1]",
        "[" + "9" * 4300 + (",1" * 90_000) + "]",
    ],
    ids=["quotes", "backslashes", "letters", "arrays", "strings", "objects", "numbers"],
)
@pytest.mark.timeout(60)
def test_an_event_full_of_one_thing_takes_time_in_proportion(filling: str) -> None:
    """Anything quadratic over these 200 KB would take minutes."""
    body = f'{{"name":"a","properties":{{"many":{"[" + "[]," * 70 + "1]"},"x":{filling}}}}}'
    assert flux.parse_track(body.encode(), context()).items


def test_10000_ids_may_be_replayed_at_once_and_not_one_more() -> None:
    ids = [f"id-{number}" for number in range(10_001)]
    assert hogsend_replays.parse_replay(msgspec.json.encode({"eventIds": ids[:-1]})).selection.ids == ids[:-1]
    with pytest.raises(InvalidRequest, match="10001 ids; at most 10000"):
        hogsend_replays.parse_replay(msgspec.json.encode({"eventIds": ids}))


def test_the_settings_say_what_the_limits_are() -> None:
    tight = context(settings=Settings(max_name_chars=3, max_id_chars=4, max_tags=1, max_tag_chars=2, max_depth=3))
    flux.parse_track(b'{"name":"abc","user_id":"abcd","tags":{"a":"bc"},"properties":{"a":[]}}', tight)
    for body in (
        b'{"name":"abcd"}',
        b'{"name":"abc","user_id":"abcde"}',
        b'{"name":"abc","tags":{"a":"","b":""}}',
        b'{"name":"abc","tags":{"a":"bcd"}}',
        b'{"name":"abc","properties":{"a":[[]]}}',
    ):
        with pytest.raises(InvalidRequest):
            flux.parse_track(body, tight)
    with pytest.raises(EventTooLarge):
        flux.parse_track(b'{"name":"abc"}', context(settings=Settings(max_event_bytes=13)))
    assert flux.parse_track(b'{"name":"abc"}', context(settings=Settings(max_event_bytes=14))).items


def test_a_former_secret_stays_valid_for_30_days_at_most() -> None:
    def asked(seconds: object) -> int | None:
        return native_webhooks.parse_rotation(msgspec.json.encode({"overlap_seconds": seconds}))

    assert (native_webhooks.parse_rotation(b" "), asked(None)) == (None, None)
    assert (asked(0), asked(2_592_000)) == (0, 2_592_000)
    for wrong in (-1, 2_592_001, "1", 1.5):
        with pytest.raises(InvalidRequest):
            asked(wrong)


def test_a_cursor_of_runs_is_a_time_of_at_most_15_digits_and_an_id() -> None:
    assert native_journeys.parse_place(None) is None
    assert native_journeys.parse_place("17.run_a.b") == (17, "run_a.b")
    assert native_journeys.parse_place(f"{'9' * 15}.r") == (10**15 - 1, "r")
    for wrong in ("", ".r", "-1.r", "x.r", "5\u00b2.r", "\u0667.r", f"{'9' * 16}.r"):
        with pytest.raises(InvalidRequest, match="'cursor' is not valid"):
            native_journeys.parse_place(wrong)
