"""Recorded raw requests, one file each, replayed through the dialects' pure functions.

A file says what was sent and, under `expect`, what it has to become: the canonical events and their keys, or the parsed
query, or the error; and the reply, given the log's receipts or the store's `answer`. Times are written as text there.
"""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl

import msgspec
import pytest

from headrace.dialects import (
    amplitude,
    bricqs,
    cloudevents,
    flux,
    flux_queries,
    hogsend,
    hogsend_replays,
    jitsu,
    lines,
    mixpanel,
    mixpanel_profiles,
    native,
    native_lines,
    posthog,
    segment,
    solute,
    solute_calls,
    table,
)
from headrace.dialects.segment_pixels import pixel
from headrace.http.problems import Problems, status_of
from headrace.model.batch import Batch, Context
from headrace.model.effects import Effect
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError, NotFound
from headrace.model.event import StoredEvent, encode, parse_id
from headrace.model.filters import Counts, Events, Observed, Stats
from headrace.model.repeats import dedup_text
from headrace.model.settings import Settings
from headrace.model.zones import Zone
from headrace.reactions.facts import fact_of
from tests.dialects.given import NOW_MS, context, receipt

CORPUS = Path(__file__).parents[1] / "corpus"
FILES = sorted(CORPUS.glob("*/*.json"))
DIALECTS = {each.name: each for each in table.DIALECTS}

Case = dict[str, Any]
Outcome = tuple[Case, bytes | None]
"""What was parsed, in the words of `expect`, and the reply where the case has what it takes to render one."""


def _readable(value: Any) -> Any:
    """Builtins, with each `…_ms` as the text of a time; computed here anew, not with what is under test."""
    if isinstance(value, dict):
        return {
            name.removesuffix("_ms"): _time_text(item) if name.endswith("_ms") else _readable(item)
            for name, item in value.items()
        }
    return [_readable(item) for item in value] if isinstance(value, list) else value


def _time_text(milliseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _given(struct: msgspec.Struct) -> Case:
    """A struct's fields less those that were left at their defaults."""
    values: Case = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value == field.default:
            continue
        if isinstance(value, Zone):
            value = value.name
        if isinstance(value, msgspec.Struct):
            value = _given(value)
        if value is None or value is False or value in ((), {}):
            continue
        values[field.name] = value
    return _readable(msgspec.to_builtins(values))


def _ingest(
    parse: Callable[[bytes, Context], Batch], render: Callable[[Case, Batch, list[Receipt]], bytes]
) -> Callable[[Case], Outcome]:
    def replay(case: Case) -> Outcome:
        headers = {name.lower(): value for name, value in case.get("headers", {}).items()}
        settings = msgspec.structs.replace(Settings(), **case.get("settings", {}))
        given = msgspec.structs.replace(
            context(headers.get("idempotency-key", ""), settings),
            query=case.get("query", ""),
            headers=tuple(headers.items()),
        )
        batch = parse(case["query"].encode() if case["method"] == "GET" else _body(case), given)
        events = [json.loads(encode(item.event)) for item in batch.items]
        for event in events:
            assert (event.pop("project"), event.pop("mode")) == ("default", "live")
            assert event.pop("source") == case["dialect"]
        outcome: Case = {"events": _readable(events)}
        keys = [dedup_text(item.event) for item in batch.items]
        if any(keys):
            outcome["keys"] = keys
        if batch.rejections:
            outcome["rejections"] = [
                {"index": each.index, "error": type(each.error).__name__} for each in batch.rejections
            ]
        duplicates = case.get("duplicates", [])
        receipts = [receipt(index, duplicate=index in duplicates) for index in range(len(batch.items))]
        return outcome, render(case, batch, receipts)

    return replay


def _query(
    parse: Callable[[Any], msgspec.Struct], answer: type, render: Callable[[Any, Any], bytes]
) -> Callable[[Case], Outcome]:
    def replay(case: Case) -> Outcome:
        query = parse(parse_qsl(case.get("query", ""), keep_blank_values=True, errors="strict"))
        return {"parsed": _given(query)}, _rendered(case, answer, lambda given: render(query, given))

    return replay


def _one(render: Callable[[StoredEvent], bytes], otherwise: str) -> Callable[[Case], Outcome]:
    def replay(case: Case) -> Outcome:
        text = case["path"].rpartition("/")[2]
        if (digits := parse_id(text)) is None:
            raise NotFound(otherwise.format(text))
        return {"id": digits}, _rendered(case, StoredEvent, render)

    return replay


def _names(case: Case) -> Outcome:
    query = hogsend.parse_names(parse_qsl(case.get("query", ""), keep_blank_values=True))
    used_by: dict[str, list[str]] = case.get("used_by", {})
    render = partial(hogsend.render_names, query)
    return {"parsed": _given(query)}, _rendered(
        case, list[Observed], lambda answer: render(answer, lambda name: used_by.get(name, []))
    )


def _sources(case: Case) -> Outcome:
    return {}, _rendered(case, list[Observed], hogsend.render_sources)


class _Replayed(msgspec.Struct):
    replayed: int
    unknown: list[str]
    effects: list[Effect] | None = None
    left_out: int = 0


def _replay(case: Case) -> Outcome:
    request = hogsend_replays.parse_replay(_body(case))
    return {"parsed": _given(request)}, _rendered(
        case,
        _Replayed,
        lambda answer: hogsend_replays.render_replay(
            *(answer.replayed, answer.unknown, []),
            None if answer.effects is None else (answer.effects, answer.left_out),
        ),
    )


def _rendered(case: Case, answer: Any, render: Callable[[Any], bytes]) -> bytes | None:
    return render(msgspec.convert(case["answer"], answer)) if "answer" in case else None


def _processed(_case: Case, batch: Batch, receipts: list[Receipt]) -> bytes:
    fact = fact_of(receipts[0].id, batch.items[0].event)
    return bricqs.render_processed(receipts[0], fact.id, fact.type, NOW_MS)


def _plain(render: Callable[[Batch, list[Receipt]], bytes]) -> Callable[[Case, Batch, list[Receipt]], bytes]:
    return lambda _case, batch, receipts: render(batch, receipts)


def _flux_batch(body: bytes, context: Context) -> Batch:
    """As its headers say: http/ingest.py asks the routes of a path in turn."""
    head = [(name.encode(), value.encode()) for name, value in context.headers]
    return (flux.parse_lines if lines.claims(head) else flux.parse_batch)(body, context)


def _flux_batched(case: Case, batch: Batch, receipts: list[Receipt]) -> bytes:
    is_lines = "ndjson" in str(case.get("headers"))
    return (flux.render_lines if is_lines else flux.render_batch)(batch, receipts)


ROUTES: tuple[tuple[str, str, Callable[[Case], Outcome]], ...] = (
    ("POST", "/api/v1/events", _ingest(flux.parse_track, _plain(flux.render_track))),
    ("POST", "/api/v1/events/batch", _ingest(_flux_batch, _flux_batched)),
    ("POST", "/api/v1/lines", _ingest(native_lines.parse_lines, _plain(native.render_lines))),
    (
        "GET",
        "/api/v1/events",
        _query(lambda pairs: flux_queries.parse_list(pairs, NOW_MS), Events, flux_queries.render_list),
    ),
    (
        "GET",
        "/api/v1/events/count",
        _query(lambda pairs: flux_queries.parse_count(pairs, NOW_MS), Counts, flux_queries.render_count),
    ),
    (
        "GET",
        "/api/v1/events/stats",
        _query(
            lambda pairs: flux_queries.parse_stats(pairs, NOW_MS),
            Stats,
            lambda _query, stats: flux_queries.render_stats(stats),
        ),
    ),
    ("GET", "/api/v1/events/[^/]+", _one(flux_queries.render_get, "There is no event {!r}.")),
    ("POST", "(?:/api/v1)?/ingest/events", _ingest(bricqs.parse_event, _plain(bricqs.render_accepted))),
    ("POST", "(?:/api/v1)?/ingest/events/batch", _ingest(bricqs.parse_batch, _plain(bricqs.render_batch))),
    ("POST", "(?:/api/v1)?/ingest/events/sync", _ingest(bricqs.parse_event, _processed)),
    *(
        ("POST", f"/api/{call}", _ingest(solute_calls.call_parser(call), _plain(solute_calls.render_call(call))))
        for call in get_args(solute_calls.Call)
    ),
    ("POST", "/api/events", _ingest(solute.parse_batch, _plain(solute.render_batch))),
    ("GET", "/v1/admin/events", _query(hogsend.parse_list, Events, hogsend.render_list)),
    ("GET", "/v1/admin/events/names", _names),
    ("GET", "/v1/admin/events/sources", _sources),
    ("GET", "/v1/admin/events/[^/]+", _one(hogsend.render_get, hogsend.EVENT_NOT_FOUND)),
    ("POST", "/v1/admin/events/replay", _replay),
    ("POST", "/v1/(?:batch|b|import)", _ingest(segment.parse_batch, _plain(segment.render_accepted))),
    *(
        (
            "POST",
            f"/v1/(?:{call}|{call[0]})",
            _ingest(segment.call_parser(call), _plain(segment.render_accepted)),
        )
        for call in segment.KINDS
    ),
    (
        "POST",
        "(?:/batch|/capture|/e|/i/v0/e|/i/v0/ai/batch)/?",
        _ingest(posthog.parse, _plain(posthog.render_accepted)),
    ),
    ("GET", "(?:/capture|/e|/i/v0/e)/?", _ingest(posthog.parse_query, _plain(posthog.render_accepted))),
    *(
        ("GET", path.format(call), _ingest(pixel(call).parse, _plain(pixel(call).render)))
        for path, calls in (
            ("/v1/pixel/{}", segment.KINDS),
            ("/api/px/{}", segment.KINDS),
            ("/pixel/v1/{}", ("track", "page")),
        )
        for call in calls
    ),
    ("POST", "/beacon/v1/batch", _ingest(segment.parse_batch, _plain(segment.render_accepted))),
    *(
        ("POST", f"/api/s/(?:s2s/)?{call}", _ingest(parse, _plain(jitsu.render_one)))
        for call, parse in jitsu.PARSERS.items()
    ),
    ("POST", "/api/s/s2s/batch", _ingest(segment.parse_batch, _plain(jitsu.render_batch))),
    ("POST", "/2/httpapi", _ingest(amplitude.parse, _plain(amplitude.render_accepted))),
    ("POST", "/track/?", _ingest(mixpanel.parse_track, _plain(mixpanel.render_accepted))),
    ("POST", "/import", _ingest(mixpanel.parse_import, _plain(mixpanel.render_accepted))),
    ("POST", "/engage", _ingest(mixpanel_profiles.parse_engage, _plain(mixpanel.render_accepted))),
    ("POST", "/groups", _ingest(mixpanel_profiles.parse_groups, _plain(mixpanel.render_accepted))),
    *(
        ("GET", f"{path}/?", _ingest(parse, _plain(mixpanel.render_accepted)))
        for path, parse in (
            ("/track", mixpanel.parse_track_query),
            ("/import", mixpanel.parse_track_query),
            ("/engage", mixpanel_profiles.parse_engage_query),
            ("/groups", mixpanel_profiles.parse_groups_query),
        )
    ),
    ("POST", "/v1/cloudevents", _ingest(cloudevents.parse, _plain(cloudevents.render_accepted))),
)


def _body(case: Case) -> bytes:
    return base64.b64decode(case["body_base64"]) if "body_base64" in case else case["body"].encode()


def _exact(value: object) -> str:
    """JSON text in which 1, 1.0 and true differ, and so does the order of members."""
    return json.dumps(value, ensure_ascii=False)


def replay(case: Case) -> Outcome:
    route = next(
        route for method, path, route in ROUTES if method == case["method"] and re.fullmatch(path, case["path"])
    )
    try:
        return route(case)
    except HeadraceError as error:
        status = int(status_of(error))
        outcome = {"error": type(error).__name__, "status": status}
        return outcome, DIALECTS[case["dialect"]].render_error(error, status)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_recorded_request_becomes_the_expected_events_and_reply(file: Path) -> None:
    case = json.loads(file.read_bytes()) | {"dialect": file.parent.name}
    expected = dict(case["expect"])
    expected_reply = expected.pop("reply", None)
    reply_text = expected.pop("reply_text", None)
    image = expected.pop("reply_base64", None)

    outcome, reply = replay(case)

    assert json.dumps(outcome, sort_keys=True) == json.dumps(expected, sort_keys=True), case["title"]
    if image is not None:
        assert reply == base64.b64decode(image)
    elif reply_text is None or expected_reply is not None:
        assert (None if reply is None else _exact(json.loads(reply))) == (
            None if expected_reply is None else _exact(expected_reply)
        ), case["title"]
    if reply_text is not None:
        assert reply == reply_text.encode()


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_recorded_request_is_sent_to_a_path_of_its_dialect(file: Path) -> None:
    assert Problems(table.DIALECTS).dialect_of(json.loads(file.read_bytes())["path"]) is DIALECTS[file.parent.name]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_route_of_a_dialect_has_a_recorded_success_and_a_recorded_error(dialect: str) -> None:
    cases = [json.loads(file.read_bytes()) for file in FILES if file.parent.name == dialect]
    for method, path, _ in ROUTES:
        outcomes = {
            "error" in case["expect"] for case in cases if case["method"] == method and re.fullmatch(path, case["path"])
        }
        always_answers = path.endswith(("names", "sources"))
        assert outcomes in (set(), {False, True}, {False} if always_answers else {False, True}), (method, path)
