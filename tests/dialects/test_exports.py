"""Events as lines and rows, and back again; what spreadsheets take for formulas."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.dialects.native_exports import COLUMNS, guarded, parse_export, render_lines, render_rows, unguarded
from headrace.dialects.native_imports import ImportQuery, parse_import, parser_of
from headrace.model.batch import Context
from headrace.model.errors import InvalidRequest, PayloadTooLarge
from headrace.model.event import Event, StoredEvent, Tenant, event_id
from headrace.model.labels import labels_and_numbers
from headrace.model.settings import Settings
from headrace.model.zones import zone_of

CONTEXT = Context(Tenant("shop", "live"), 1_700_000_000_000, Settings())
OURS, CSV = ImportQuery("headrace", False, False), ImportQuery("headrace", True, False)

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
some_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
names = some_text.filter(lambda name: not name.isspace())
times = st.integers(0, 4_102_444_800_000)
values = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text
)
objects = st.dictionaries(text, values | st.dictionaries(text, values, max_size=2), max_size=4)
layouts = st.sampled_from([None, 0, 2])


@st.composite
def stored_events(draw: st.DrawFn) -> StoredEvent:
    def object_text() -> str:
        return json.dumps(draw(objects), indent=draw(layouts)) if draw(st.booleans()) else ""

    properties = object_text()
    tags = draw(st.dictionaries(text, text, max_size=3))
    labels, numbers = labels_and_numbers(json.loads(properties or "{}"), tags)
    position, tail = draw(st.integers(1, 2**61)), draw(st.integers(0, 2**54 - 1))
    optional = {
        field: draw(text)
        for field in (
            *("user_id", "anonymous_id", "session_id", "group_id", "previous_id", "environment", "service", "host"),
            *("request_id", "message_id"),
        )
    }
    return StoredEvent(
        *("shop", "live", draw(st.sampled_from(["flux", "segment", "posthog"])), draw(names), draw(times)),
        draw(st.sampled_from(["track", "identify", "page", "group", "alias"])),
        value=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        properties=properties,
        context=object_text(),
        traits=object_text(),
        tags=tags,
        labels=labels,
        numbers=numbers,
        sent_at_ms=draw(st.none() | times),
        id=event_id(position, tail),
        position=position,
        **optional,
    )


def as_imported(event: StoredEvent) -> Event:
    """What an import should make of the event: all that it is, with its id in the place of a key that it has not."""
    fields = {field: getattr(event, field) for field in Event.__struct_fields__}
    for field in ("properties", "context", "traits"):  # line breaks are between two tokens
        fields[field] = fields[field].replace("\n", " ")
    return Event(**fields | {"message_id": event.message_id or f"evt_{event.id}"})


@given(st.lists(stored_events(), min_size=1, max_size=3))
def test_a_line_of_an_export_is_read_as_the_event_that_it_was(events: list[StoredEvent]) -> None:
    body = render_lines(events)
    assert body.count(b"\n") == len(events)
    batch = parser_of(OURS)(body, CONTEXT)
    assert [each.error.message for each in batch.rejections] == []
    assert [item.event for item in batch.items] == [as_imported(event) for event in events]
    assert list(batch.ids.values()) == [event.id for event in events]


@given(st.lists(stored_events(), min_size=1, max_size=3))
def test_a_row_of_an_export_is_read_as_the_event_that_it_was(events: list[StoredEvent]) -> None:
    body = render_rows(events, head=True)
    batch = parser_of(CSV)(body, CONTEXT)
    assert [each.error.message for each in batch.rejections] == []
    assert [item.event for item in batch.items] == [as_imported(event) for event in events]
    assert list(batch.ids.values()) == [event.id for event in events]


@given(st.lists(stored_events(), min_size=1, max_size=3))
def test_no_cell_but_a_number_begins_as_a_formula(events: list[StoredEvent]) -> None:
    head, *rows = csv.reader(io.StringIO(render_rows(events, head=True).decode(), newline=""))
    assert tuple(head) == COLUMNS
    for row in rows:
        for name, cell in zip(head, row, strict=True):
            assert name == "value" or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text("'=+-@\t\ra", max_size=5))
def test_what_guards_a_cell_is_taken_away_again(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell


def line(**fields: Any) -> bytes:
    return json.dumps({"name": "n", "source": "flux", "timestamp": "2024-01-15T10:30:00Z"} | fields).encode()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"timestamp": None}, "'timestamp' is required"),
        ({"timestamp": "soon"}, "'timestamp' is 'soon'"),
        ({"source": None}, "'source' is required"),
        ({"name": " "}, "'name' is required"),
        ({"type": "click"}, "'type' must be one of track"),
        ({"id": "17"}, "'id' must be the id of an event"),
        ({"tags": {"a": 1}}, "The tag 'a' must be a string"),
        ({"properties": [1]}, "'properties' is not valid"),
        ({"value": "1"}, "'value' must be a finite number"),
        ({"source": "cloudevents", "message_id": "m"}, "'context' is required for an event of cloudevents"),
    ],
)
def test_a_bad_line_is_told_why_and_costs_no_neighbour(fields: dict[str, Any], says: str) -> None:
    batch = parser_of(OURS)(b"\n".join([line(), line(**fields), b"{", line(id="evt_" + "0" * 32)]), CONTEXT)
    assert [item.index for item in batch.items] == [0, 3]
    assert [each.index for each in batch.rejections] == [1, 2]
    assert batch.rejections[0].error.message.startswith(says)


def test_a_row_of_another_length_than_the_head_costs_no_neighbour() -> None:
    batch = parser_of(CSV)(
        b"name,source,timestamp\nn,flux,2024-01-15\nn,flux\nn,flux,2024-01-16\nn,flux,soon\n", CONTEXT
    )
    assert [item.index for item in batch.items] == [0, 2]
    assert [(each.index, each.error.message[:27]) for each in batch.rejections] == [
        (1, "The row has 2 cells, and th"),
        (3, "'timestamp' is 'soon': send"),
    ]


def test_a_head_that_names_something_else_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="it has 'nmae'"):
        parser_of(CSV)(b"nmae,source\nn,flux\n", CONTEXT)


def test_more_lines_than_a_request_may_have_are_refused() -> None:
    for query, body in ((OURS, b"{}\n" * 10_001), (CSV, b"name\n" + b"n\n" * 10_001)):
        with pytest.raises(PayloadTooLarge):
            parser_of(query)(body, CONTEXT)


def test_a_line_without_a_key_and_an_id_has_the_key_of_its_bytes() -> None:
    one, again, other = (
        item.event.message_id for item in parser_of(OURS)(b"\n".join([line(), line(), line(value=1)]), CONTEXT).items
    )
    assert one == again != other


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([("format", "xml")], "'format' must be one of jsonl"),
        ([("limit", "0")], "'limit' must be 1 to 100000"),
        ([("limit", "x")], "'limit' must be a whole number"),
        ([("after", "x")], "'after' must be the id of an event"),
        ([("from", "soon")], "'from' is 'soon'"),
    ],
)
def test_what_an_export_cannot_mean_is_refused(pairs: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_export(pairs, 0)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([("from", "snowplow")], "'from' must be one of headrace, segment"),
        ([("format", "parquet")], "'format' must be one of jsonl, csv"),
        ([("from", "segment"), ("format", "csv")], "'format' must be jsonl for an export of segment"),
        ([("reactions", "1")], "'reactions' must be one of false, true"),
        ([("tz", "Europe/Berlin")], "'tz' is only for exports of mixpanel"),
        ([("from", "mixpanel"), ("tz", "Berlin")], "'tz' must be an IANA time zone"),
    ],
)
def test_what_an_import_cannot_mean_is_refused(pairs: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_import(pairs)


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["UTC", "US/Pacific", "Europe/Berlin", "Asia/Kathmandu"]))
def test_a_zones_clock_is_read_back_to_the_moment_that_it_showed(moment_ms: int, name: str) -> None:
    zone = zone_of(name)
    clock_ms = moment_ms + zone.offset_ms(moment_ms)
    found = zone.moment_of(clock_ms)
    assert found + zone.offset_ms(found) == clock_ms
    assert found <= moment_ms  # the first time that the clock showed it


def test_every_field_of_an_event_is_in_an_export_or_made_of_one_that_is() -> None:
    assert set(Event.__struct_fields__) - set(COLUMNS) == {
        "project",
        "mode",
        "timestamp_ms",
        "labels",
        "numbers",
        "sent_at_ms",
    }
    assert msgspec.structs.fields(StoredEvent)
