"""The native route that imports events: its parameters, the lines of an export, and the reply. Translates; never stores.

A line becomes the event that it was, whatever dialect it was sent through: the source, the key that makes it a repeat, and the
time stay. What it was received as is lost but for that key: an event without one takes the id that it had.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from headrace.dialects import flux_metrics
from headrace.dialects.imports import VENDORS, in_zone, keyed
from headrace.dialects.lines import parse_lines
from headrace.dialects.native import render_data
from headrace.dialects.native_exports import COLUMNS, unguarded
from headrace.dialects.sdk import time_of
from headrace.dialects.wire import (
    ABSENT,
    Pairs,
    decode_item,
    encode_json,
    labels_and_numbers,
    name_of,
    number_of,
    object_of,
    optional_text,
    parse_items,
    required_text,
    tags_of,
    unmarked,
)
from headrace.model.batch import Batch, Context, Item, Rejection
from headrace.model.errors import BatchTooLarge, InvalidRequest, PayloadTooLarge
from headrace.model.event import Event, EventType, parse_id, render_evt
from headrace.model.exports import Imported
from headrace.model.repeats import dedup_text
from headrace.model.zones import Zone, zone_of

MAX_LINES = 10_000
MAX_SHOWN = 1000
_FORMS = ("jsonl", "csv")
_TYPES: tuple[EventType, ...] = ("track", "identify", "page", "group", "alias")
_OBJECTS = frozenset({"properties", "context", "traits", "tags"})


class ImportQuery(msgspec.Struct, frozen=True):
    """vendor: whose export it is, "headrace" for our own. react: whether rules judge the events as if they happened now.

    zone: the zone whose clock the times of a Mixpanel export count; None for UTC.
    """

    vendor: str
    is_csv: bool
    react: bool
    zone: Zone | None = None


def parse_import(pairs: Pairs, /) -> ImportQuery:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}

    def one_of(name: str, choices: tuple[str, ...]) -> str:
        value = given.get(name, choices[0])
        if value not in choices:
            raise InvalidRequest(f"'{name}' must be one of {', '.join(choices)}; it is {value[:80]!r}.")
        return value

    vendor = one_of("from", ("headrace", *VENDORS))
    is_csv = one_of("format", _FORMS) == "csv"
    if is_csv and vendor != "headrace":
        raise InvalidRequest(f"'format' must be jsonl for an export of {vendor}.")
    if "tz" in given and vendor != "mixpanel":
        raise InvalidRequest(
            "'tz' is only for exports of mixpanel: the times of all others have an offset, or are UTC."
        )
    zone = zone_of(given["tz"]) if "tz" in given else None
    return ImportQuery(vendor, is_csv, one_of("reactions", ("false", "true")) == "true", zone)


class Arrivals(Batch, frozen=True):
    """`ids`: by index, the id (32 hex digits) that an event had where it comes from."""

    ids: Mapping[int, str] = {}


def parser_of(query: ImportQuery, /) -> Callable[[bytes, Context], Arrivals]:
    """The parser for a body. It raises InvalidRequest for none at all, PayloadTooLarge for more than MAX_LINES lines."""
    if query.is_csv:
        return _parse_csv
    parse_line = VENDORS.get(query.vendor, parse_line_of_export)
    if query.zone is not None:
        parse_line = in_zone(parse_line, query.zone)

    def parse(body: bytes, context: Context) -> Arrivals:
        try:
            batch = parse_lines(body, parse_line, context, MAX_LINES)
        except BatchTooLarge as error:
            raise PayloadTooLarge(error.message) from None
        if query.vendor != "headrace":
            return Arrivals(batch.items, batch.rejections)
        return _arrivals(batch, [line for line in unmarked(body).split(b"\n") if line and not line.isspace()])

    return parse


class _Named(msgspec.Struct):
    id: Any = None


_named_decoder = msgspec.json.Decoder(_Named)


def _arrivals(batch: Batch, lines: Sequence[bytes | msgspec.Raw]) -> Arrivals:
    return Arrivals(
        batch.items, batch.rejections, {item.index: own for item in batch.items if (own := _id_in(lines[item.index]))}
    )


def _id_in(line: bytes | msgspec.Raw) -> str:
    try:
        own = _named_decoder.decode(line).id
    except (msgspec.DecodeError, UnicodeDecodeError):  # it could be parsed only once it was mended
        return ""
    return (parse_id(own) or "") if type(own) is str else ""


class _Line(msgspec.Struct, gc=False):
    """Unchecked."""

    id: Any = None
    source: Any = None
    name: Any = None
    type: Any = None
    timestamp: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    session_id: Any = None
    group_id: Any = None
    previous_id: Any = None
    value: Any = None
    properties: msgspec.Raw = ABSENT
    context: msgspec.Raw = ABSENT
    traits: msgspec.Raw = ABSENT
    tags: Any = None
    environment: Any = None
    service: Any = None
    host: Any = None
    request_id: Any = None
    message_id: Any = None
    sent_at: Any = None


_line_decoder = msgspec.json.Decoder(_Line)


def parse_line_of_export(raw: msgspec.Raw, context: Context, /) -> Event:
    """The event of a line as `native_exports` writes it. Raises InvalidRequest or the subclass that fits."""
    settings, tenant = context.settings, context.tenant
    limit = settings.max_id_chars
    item = decode_item(_line_decoder, raw, settings)
    if item.type is not None and item.type not in _TYPES:
        raise InvalidRequest(f"'type' must be one of {', '.join(_TYPES)}.")
    if item.timestamp is None:
        raise InvalidRequest("'timestamp' is required: an event without a time would be dated to now.")
    own_id = optional_text(item.id, "id", limit)
    digits = parse_id(own_id) if own_id else ""
    if digits is None:
        raise InvalidRequest(f"'id' must be the id of an event, such as evt_…, or absent; it is {own_id[:80]!r}.")
    message_id = optional_text(item.message_id, "message_id", 2 * limit) or (render_evt(digits) if digits else "")
    if item.source == flux_metrics.NAME:
        value = item.user_id if item.group_id == "set" else item.value
        moment_ms = time_of(item.timestamp, context.now_ms)
        return keyed(
            flux_metrics.point_of(item.name, item.group_id, value, moment_ms, item.tags, message_id, context), raw
        )
    tags = tags_of(item.tags, settings)
    properties, values = object_of(item.properties, "properties")
    labels, numbers = labels_and_numbers(values, tags)

    def text(field: str) -> str:
        return optional_text(getattr(item, field), field, limit)

    event = Event(
        tenant.project,
        tenant.mode,
        required_text(item.source, "source", limit),
        name_of(item.name, "name", settings.max_name_chars),
        time_of(item.timestamp, context.now_ms),
        item.type or "track",
        user_id=text("user_id"),
        anonymous_id=text("anonymous_id"),
        session_id=text("session_id"),
        group_id=text("group_id"),
        previous_id=text("previous_id"),
        value=number_of(item.value, "value"),
        properties=properties,
        context=object_of(item.context, "context")[0],
        traits=object_of(item.traits, "traits")[0],
        tags=tags,
        labels=labels,
        numbers=numbers,
        environment=text("environment"),
        service=text("service"),
        host=text("host"),
        request_id=optional_text(item.request_id, "request_id", 2 * limit),
        message_id=message_id,
        sent_at_ms=None if item.sent_at is None else time_of(item.sent_at, context.now_ms, "sent_at"),
    )
    try:
        dedup_text(event)
    except msgspec.DecodeError:
        raise InvalidRequest("'context' is required for an event of cloudevents: its key is derived from it.") from None
    return keyed(event, raw)


def _parse_csv(body: bytes, context: Context) -> Arrivals:
    """Each row on its own; the first names the columns. An index counts rows, the first under the head as 0."""
    try:
        text = unmarked(body).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    csv.field_size_limit(max(csv.field_size_limit(), len(body)))
    rows = csv.reader(io.StringIO(text, newline=""))
    head = columns_of(next(rows, list[str]()))
    raws: dict[int, msgspec.Raw] = {}
    uneven: list[Rejection] = []
    for index, row in enumerate(rows):
        if index == MAX_LINES:
            raise PayloadTooLarge(f"The body has more than {MAX_LINES} rows, the limit for one request.")
        try:
            raws[index] = row_as_line(head, row)
        except InvalidRequest as error:
            uneven.append(Rejection(index, error))
    batch, lines, indexes = parse_items(raws.values(), parse_line_of_export, context), list(raws.values()), list(raws)
    found = _arrivals(batch, lines)
    return Arrivals(
        [Item(indexes[item.index], item.event) for item in found.items],
        sorted(
            [*uneven, *(Rejection(indexes[each.index], each.error) for each in found.rejections)],
            key=lambda each: each.index,
        ),
        {indexes[index]: own for index, own in found.ids.items()},
    )


def columns_of(head: Sequence[str], /) -> Sequence[str]:
    """The names in the first row of a CSV. Raises InvalidRequest for one that is no column of an export, or twice there."""
    for name in head:
        if name not in COLUMNS or head.count(name) > 1:
            raise InvalidRequest(f"The first row must name columns of an export, each once; it has {name[:80]!r}.")
    if not head:
        raise InvalidRequest("The body is empty: send a row of column names, and rows of events.")
    return head


_json_decoder = msgspec.json.Decoder(msgspec.Raw)


def row_as_line(head: Sequence[str], row: Sequence[str], /) -> msgspec.Raw:
    """A row of CSV as a line of JSON. A cell that should be JSON and is not becomes a text, which the parser refuses.

    Raises InvalidRequest for a row of another length than the head.
    """
    if len(row) != len(head):
        raise InvalidRequest(f"The row has {len(row)} cells, and the first row has {len(head)}.")
    return msgspec.Raw(encode_json({name: _member(name, cell) for name, cell in zip(head, row, strict=True) if cell}))


def _member(name: str, cell: str) -> object:
    return json_in(cell) if name in _OBJECTS or name == "value" else unguarded(cell)


def json_in(cell: str, /) -> object:
    """The JSON in a cell; the cell where there is none."""
    try:
        return _json_decoder.decode(cell)
    except msgspec.DecodeError:
        return cell


def render_imported(batch: Batch, imported: Imported, /) -> bytes:
    data: dict[str, object] = {
        "imported": imported.stored,
        "duplicates": imported.repeated,
        "erased": imported.erased,
        "rejected": len(batch.rejections),
        "errors": [{"index": each.index, "message": each.error.message} for each in batch.rejections[:MAX_SHOWN]],
    }
    return render_data(data)
