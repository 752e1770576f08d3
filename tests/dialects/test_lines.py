"""Newline-delimited JSON: what tells it from other bodies, and how much of it is taken."""

import json

import pytest
from msgspec import structs

from headrace.dialects import flux, lines, native, native_lines
from headrace.model.errors import BatchTooLarge, EventTooLarge, InvalidRequest, PayloadTooLarge
from tests.dialects.given import context, receipt

GOOD = b'{"name":"n"}\n'


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/x-ndjson", True),
        (b"Application/X-NDJSON; charset=utf-8", True),
        (b"application/jsonl", True),
        (b"application/jsonlines", True),
        (b"application/json", False),
        (b"text/plain", False),
        (b"", False),
        (b"application/x-ndjson2", False),
    ],
)
def test_lines_are_known_by_their_media_type(content_type: bytes, expected: bool) -> None:
    assert lines.claims([(b"host", b"h"), (b"content-type", content_type)]) is expected
    assert not lines.claims([(b"x-content-type", content_type)])


def test_as_many_lines_are_taken_as_a_shipper_sends_and_no_more() -> None:
    assert len(flux.parse_lines(GOOD * lines.MAX_LINES, context()).items) == lines.MAX_LINES
    with pytest.raises(BatchTooLarge, match="more than 50000 lines"):
        flux.parse_lines(GOOD * (lines.MAX_LINES + 1), context())
    with pytest.raises(PayloadTooLarge, match="more than 50000 lines"):
        native_lines.parse_lines(GOOD * (lines.MAX_LINES + 1), context())
    with pytest.raises(PayloadTooLarge, match="more than 50000 events"):
        native_lines.parse_lines(b"[%b]" % b",".join([b"{}"] * (lines.MAX_LINES + 1)), context())
    with pytest.raises(BatchTooLarge):
        flux.parse_lines(b"\n" * 1_000_000 + GOOD, context())


def test_lines_without_a_label_are_a_batch_of_fluxs_own_size() -> None:
    assert len(flux.parse_batch(GOOD * flux.MAX_BATCH, context()).items) == flux.MAX_BATCH
    with pytest.raises(BatchTooLarge, match="more than 500 lines"):
        flux.parse_batch(GOOD * (flux.MAX_BATCH + 1), context())


def test_one_unlabelled_line_is_no_batch() -> None:
    with pytest.raises(InvalidRequest, match="'events' is required"):
        flux.parse_batch(GOOD, context())


def test_a_reply_lists_the_first_errors_and_counts_all() -> None:
    batch = flux.parse_lines(GOOD + b'{"name":7}\n' * 1000, context())
    data = json.loads(flux.render_lines(batch, [receipt(0)]))["data"]
    assert (data["accepted"], data["rejected"], len(data["errors"])) == (1, 1000, lines.MAX_SHOWN)
    assert [each["index"] for each in data["errors"][:2]] == [1, 2]
    shown = json.loads(native.render_lines(batch, [receipt(0)]))["data"]
    assert len(shown["errors"]) == lines.MAX_SHOWN


def test_a_line_that_is_too_large_costs_no_other() -> None:
    large = b'{"name":"n","properties":{"a":"%b"}}\n' % (b"x" * 300_000)
    batch = native_lines.parse_lines(GOOD + large + GOOD, context())
    assert [item.index for item in batch.items] == [0, 2]
    assert isinstance(batch.rejections[0].error, EventTooLarge)


def test_a_line_that_is_not_utf_8_costs_no_other_wherever_the_bytes_are() -> None:
    for bad in (b'{"name":"\xff"}', b'{"name":"n","other":"\xff"}', b'{"name":"n","properties":{"a":"\xed\xa0\x80"}}'):
        for parse in (flux.parse_lines, native_lines.parse_lines):
            batch = parse(GOOD + bad + b"\n" + GOOD, context())
            assert [item.index for item in batch.items] == [0, 2], bad


def test_a_header_key_counts_with_each_line() -> None:
    body = GOOD + b'{"name":"m"}\n' + GOOD
    keys = [
        [item.event.message_id for item in native_lines.parse_lines(body, context("k")).items],
        [item.event.message_id for item in native_lines.parse_lines(body, context("k")).items],
    ]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 3


def test_whatever_else_is_in_a_line_is_one_of_its_properties() -> None:
    given = structs.replace(context(), query="name=log.line")
    line = b'{"message":"m","level":"info","status":500,"properties":{"level":"own"},"user_id":"u","host":"h"}'
    [item] = native_lines.parse_lines(line, given).items
    event = item.event
    assert json.loads(event.properties) == {"message": "m", "level": "own", "status": 500}
    assert (event.name, event.user_id, event.host, event.source) == ("log.line", "u", "h", "native")
    assert (event.labels, event.numbers) == ({"message": "m", "level": "own"}, {"status": 500.0})


def test_properties_that_are_no_object_are_that_lines_error() -> None:
    batch = native_lines.parse_lines(GOOD + b'{"name":"n","properties":7,"message":"m"}\n', context())
    assert [each.index for each in batch.rejections] == [1]


@pytest.mark.parametrize(
    ("member", "value", "stored"),
    [
        ("tags", ["beats", "_grokparsefailure"], {}),  # Logstash
        ("tags", {"code": 7}, {}),
        ("tags", {str(number): "v" for number in range(65)}, {}),
        ("host", {"name": "web-1"}, {}),  # Elastic Common Schema
        ("service", {"name": "api", "version": "2"}, {}),
        ("environment", ["prod"], {}),
        ("session_id", "s" * 300, {}),
        ("user_id", {"id": 7}, {}),
        ("value", "12 ms", {}),
        ("value", True, {}),
        ("name", {"first": "Ada"}, {"name": "log.line"}),
        ("name", "n" * 201, {"name": "log.line"}),
        ("name", 50, {"name": "log.line"}),  # bunyan's level would be; its name is text
        ("request_id", [1], {}),
    ],
)
def test_a_member_that_cannot_be_fluxs_field_of_that_name_is_a_property(
    member: str, value: object, stored: dict[str, object]
) -> None:
    given = structs.replace(context(), query="name=log.line")
    line = json.dumps({"message": "m", member: value}).encode()
    [item] = native_lines.parse_lines(line, given).items
    assert json.loads(item.event.properties) == {"message": "m", member: value}
    empty = {"tags": {}, "value": None, "name": "log.line"}
    assert getattr(item.event, member) == stored.get(member, empty.get(member, ""))


def test_ids_of_lines_may_be_numbers_or_blank() -> None:
    given = structs.replace(context(), query="name=log.line")
    [item] = native_lines.parse_lines(b'{"user_id":42,"idempotency_key":7,"name":" ","session_id":""}', given).items
    event = item.event
    assert (event.user_id, event.message_id, event.name, event.session_id) == ("42", "7", "log.line", "")
    assert json.loads(event.properties or "{}") == {}


def test_a_line_without_a_usable_key_or_name_is_refused() -> None:
    for line, said in ((b'{"name":"n","idempotency_key":[1]}', "idempotency_key"), (b'{"name":7}', "'name'")):
        with pytest.raises(InvalidRequest, match=said):
            native_lines.parse_lines(line, context())
