"""The native route that exports events: its parameters, and an event as a line or a row of CSV. Translates; never queries.

The form of a line is also what an import reads: native_imports.py. docs/moving.md describes both.
"""

import csv
import io
from collections.abc import Sequence

import msgspec

from headrace.dialects.flux_queries import parse_filters
from headrace.dialects.wire import Pairs, encode_json, integer_of, raw_object
from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, parse_id, position_of, render_evt
from headrace.model.exports import EXPORT_FORMATS, EXPORTED, Exported, ExportFormat, ExportQuery
from headrace.model.times import render_time

MAX_LIMIT = 100_000
MEDIA_TYPES: dict[ExportFormat, str] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
# The columns of every format, in their order.
COLUMNS = (
    *("id", "source", "name", "type", "timestamp", "received_at", "user_id", "anonymous_id", "session_id", "group_id"),
    *("previous_id", "value", "properties", "context", "traits", "tags", "environment", "service", "host"),
    *("request_id", "message_id", "sent_at"),
)
_BREAKS = str.maketrans("\r\n", "  ")
# What makes a spreadsheet take a cell for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def parse_export(pairs: Pairs, now_ms: int, /) -> ExportQuery:
    """The filters of Flux's lists, `source`, `format`, `of` what, and which part: `after` an event's id, at most `limit`.

    Raises InvalidRequest.
    """
    given = {name: value for name, value in pairs if value}
    wanted = given.get("format", "jsonl")
    found: ExportFormat | None = next((each for each in EXPORT_FORMATS if each == wanted), None)
    if found is None:
        raise InvalidRequest(f"'format' must be one of {', '.join(EXPORT_FORMATS)}; it is {wanted[:80]!r}.")
    of: Exported | None = next((each for each in EXPORTED if each == given.get("of", "events")), None)
    if of is None:
        raise InvalidRequest(f"'of' must be one of {', '.join(EXPORTED)}; it is {given['of'][:80]!r}.")
    after = parse_id(given["after"]) if "after" in given else ""
    if after is None:
        raise InvalidRequest(f"'after' must be the id of an event; it is {given['after'][:80]!r}.")
    limit = integer_of(given["limit"], "limit") if "limit" in given else None
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be 1 to {MAX_LIMIT}; it is {limit}.")
    filters = msgspec.structs.replace(parse_filters(pairs, now_ms), source=given.get("source"))
    if of == "metrics" and filters.person:
        raise InvalidRequest("'merged' is for events only: points of metrics belong to no person.")
    return ExportQuery(found, filters, position_of(after) if after else 0, limit, of)


def render_lines(events: Sequence[StoredEvent], /) -> bytes:
    """One JSON object a line. Properties, context and traits stay as they were sent, but for line breaks between their tokens."""
    return b"".join(encode_json(_value(event)) + b"\n" for event in events)


def _value(event: StoredEvent) -> dict[str, object]:
    sent_at_ms = event.sent_at_ms
    return {
        "id": render_evt(event.id),
        "source": event.source,
        "name": event.name,
        "type": event.type,
        "timestamp": render_time(event.timestamp_ms),
        "received_at": render_time(event.received_at_ms),
        "user_id": event.user_id or None,
        "anonymous_id": event.anonymous_id or None,
        "session_id": event.session_id or None,
        "group_id": event.group_id or None,
        "previous_id": event.previous_id or None,
        "value": event.value,
        "properties": _object(event.properties),
        "context": _object(event.context),
        "traits": _object(event.traits),
        "tags": event.tags,
        "environment": event.environment or None,
        "service": event.service or None,
        "host": event.host or None,
        "request_id": event.request_id or None,
        "message_id": event.message_id or None,
        "sent_at": None if sent_at_ms is None else render_time(sent_at_ms),
    }


def _object(text: str) -> msgspec.Raw | None:
    """A line break in a JSON text is always between two tokens: in a string it is escaped (RFC 8259 §7)."""
    return raw_object(text.translate(_BREAKS) if "\n" in text or "\r" in text else text) if text else None


def render_rows(events: Sequence[StoredEvent], /, *, head: bool) -> bytes:
    """CSV as RFC 4180 has it. Objects are cells of JSON; absent is empty. head: begin with the names of the columns.

    A text that a spreadsheet would take for a formula gets an apostrophe in front: see `guarded`.
    """
    text = io.StringIO()
    rows = csv.writer(text)
    if head:
        rows.writerow(COLUMNS)
    for event in events:
        rows.writerow([_cell(name, value) for name, value in _value(event).items()])
    return text.getvalue().encode(errors="replace")


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if name == "value":
        return repr(value)
    if isinstance(value, str):
        return guarded(value)
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else encode_json(value).decode()


def guarded(text: str, /) -> str:
    """The text, with an apostrophe before one that begins with `=`, `+`, `-`, `@`, a tab or a carriage return.

    One that begins so after apostrophes of its own gets one more, so that `unguarded` always knows which to take away.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def unguarded(text: str, /) -> str:
    """The inverse of `guarded`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text
