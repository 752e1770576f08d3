"""Every query of the store equals a brute force over a list, whatever the events and whatever is asked.

Each example inserts its events under a project of their own and asks twenty questions of them. A counter tells of each
parameter how often it let some events through and kept others out, so that none is covered in name only.
"""

import json
import math
from collections import Counter
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from headrace.dialects.wire import ABSENT, labels_and_numbers, object_of
from headrace.model.entries import Record
from headrace.model.event import Event, Tenant
from headrace.model.filters import OWN_FIELDS, Cursor, Dimension, Filters, Page, Stats
from headrace.model.times import EARLIEST_MS, LATEST_MS
from headrace.model.zones import INTERVALS, zone_of
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import fresh_tenant, records_of
from tests.fakes import MemoryStore, print_json
from tests.queries import conditions
from tests.queries.comparing import assert_covered, drawn, examples, in_rounds
from tests.queries.given import ODD

EXAMPLES, ROUNDS = 40, 10
BASE_MS = 1_735_689_600_000  # 2025-01-01

# Events

_texts = st.sampled_from(ODD) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
_keys = st.sampled_from(
    ("k", "k", "k", "plan", "plan", "service", "type", "", "é", "a.b", "'", "k\0", "\\", "0", "1", "-1")
)
_optional = st.just("") | _texts

# Clocks that change by an hour, by half of one, at midnight, at a minute past it, by a whole day; that are off by 44:30.
ZONES = {
    "UTC": (60_000, 300_000, 3_600_000, 86_400_000),
    "Europe/Berlin": (1_743_296_400_000, 1_761_440_400_000),
    "Australia/Lord_Howe": (1_743_865_200_000, 1_759_591_800_000),
    "America/Sao_Paulo": (1_541_300_400_000, 1_550_368_800_000),
    "America/St_Johns": (1_004_236_260_000,),
    "Pacific/Apia": (1_325_239_200_000,),
    "Africa/Monrovia": (63_593_070_000,),
    "Asia/Kathmandu": (504_901_800_000,),
}
_CHANGES = [moment for name, moments in ZONES.items() if name != "UTC" for moment in moments]
_edges = st.sampled_from(
    [EARLIEST_MS, LATEST_MS, *(width * (BASE_MS // width + 1) for width in ZONES["UTC"]), *_CHANGES, *_CHANGES]
)
_near = st.builds(lambda edge, step: min(max(EARLIEST_MS, edge + step), LATEST_MS), _edges, st.integers(-2, 2))
_usual = st.sampled_from((BASE_MS, BASE_MS, BASE_MS + 1, BASE_MS + 299_999))
_times = st.booleans().flatmap(lambda usual: _usual if usual else _near | st.integers(EARLIEST_MS, LATEST_MS))

_doubles = st.floats(allow_nan=False, allow_infinity=False)
_values = st.none() | st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 1e16, -1e16, 1e308, -1e308, 5e-324]) | _doubles

_LITERALS = (
    *("5", "5.0", "5e0", "-5", "0", "-0", "-0.0", "1e2", "1E+2", "1e20", "1e21", "1e-6", "1e-7", "0.1", "19.90"),
    *("9007199254740993", "9007199254740993.0", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *("-9223372036854775809", "18446744073709551615", "18446744073709551616", "123456789012345678901234567890"),
    *("1.7976931348623157e308", "5e-324", "2.2250738585072011e-308", "true", "false", "null", '""', '"x"', '"5"'),
    *(
        '"5.0"',
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '"/\\/"',
        '"null"',
        "[]",
        "{}",
        "[ ]",
        '{ "b" : 1.0 , "a" : [1, null, "\\u001f\\u2028/"]}',
    ),
    *(
        "[18446744073709551616, 5.0, -0.0, 1e2]",
        '{"a": 5, "b": {"a": "x", "é": true, "n": null}}',
        '{"a": 5.0, "b": {"a": 1e2}}',
        '{"é":{"\\"":"\\\\"}}',
        "1" + "0" * 400,
    ),
)
_literals = (
    st.sampled_from(_LITERALS)
    | st.sampled_from(("1", "2.0", "-3", '""', '"x"', "null"))
    | _doubles.map(repr)
    | st.integers(-(2**70), 2**70).map(str)
    | st.builds(json.dumps, _texts, ensure_ascii=st.booleans())
)


@st.composite
def _objects(draw: st.DrawFn) -> str:
    """The text of a JSON object, now close and now loose; or ""."""
    members = draw(st.dictionaries(_keys, _literals, max_size=5))
    if not members and draw(st.booleans()):
        return ""
    blank = draw(st.sampled_from(("", " ", "\n\t")))
    ascii_only = draw(st.booleans())
    inside = f",{blank}".join(
        f"{json.dumps(key, ensure_ascii=ascii_only)}{blank}:{blank}{text}" for key, text in members.items()
    )
    return "{" + blank + inside + blank + "}"


@st.composite
def _events(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of an event, with the labels and numbers that the dialects make of its properties and tags."""
    text = draw(_objects())
    properties, values = object_of(msgspec.Raw(text.encode()) if text else ABSENT, "properties")
    tags = draw(st.dictionaries(_keys, _optional, max_size=2))
    labels, numbers = labels_and_numbers(values, tags)
    return {
        "name": draw(_texts),
        "timestamp_ms": draw(_times),
        "type": draw(st.sampled_from(("track", "identify", "page", "group", "alias"))),
        "source": draw(st.sampled_from(("flux", "solute", "é'"))),
        "value": draw(_values),
        "properties": properties,
        "tags": tags,
        "labels": labels,
        "numbers": numbers,
        "sent_at_ms": draw(st.none() | _times),
        **{
            field: draw(_optional)
            for field in ("user_id", "anonymous_id", "session_id", "environment", "service", "host")
        },
    }


# Questions, mostly of what the events have


FIELDS = Filters.__struct_fields__
KINDS = tuple(kind for kind in get_args(Dimension.__annotations__["kind"]) if kind != "value")


class Asker:
    """Draws questions about some events, and puts each to both readers."""

    def __init__(
        self, draw: Any, tenant: Tenant, events: list[Event], records: list[Record], covered: Counter[str]
    ) -> None:
        self._draw = draw
        self._tenant = tenant
        self._events = events
        self._records = records
        self._covered = covered

    def ask(self, store: Any, model: Any) -> None:
        """Each filter in one of the three kinds of question; each kind and each dimension without; and the rest."""
        self._store, self._model = store, model
        turn = self._draw(st.integers(0, 2))
        for number, field in enumerate(FIELDS):
            others = self._draw(st.lists(st.sampled_from(FIELDS), max_size=2))
            filters = self.filters({field, *others})
            if (number + turn) % 3 == 0:
                self.ask_events(filters)
            elif (number + turn) % 3 == 1:
                kind = self._draw(st.sampled_from((None, *KINDS)))
                self.ask_count(filters, kind and self.dimension(kind))
            else:
                self.ask_stats(filters)
        self.ask_events(Filters())
        self.ask_stats(Filters())
        for name in self._draw(st.permutations([name for name in ZONES if name != "UTC"]))[:2]:
            self.ask_count(Filters(), zone=name)
        for kind in KINDS:
            self.ask_count(Filters(), self.dimension(kind))
        self.ask_get()
        self.ask_observed()
        self.ask_seen()

    def _of_events(self, field: str, otherwise: st.SearchStrategy[Any]) -> Any:
        seen = sorted({value for event in self._events if (value := getattr(event, field))})
        return self._draw(st.sampled_from(seen) | otherwise if seen else otherwise)

    def _tag(self) -> tuple[str, str]:
        seen = sorted({item for event in self._events for item in (*event.tags.items(), *event.labels.items())})
        other = st.tuples(_keys, _optional)
        return self._draw(st.sampled_from(seen) | other if seen else other)

    def _property(self) -> tuple[str, str]:
        seen: set[tuple[str, str]] = set()
        for event in self._events:
            for key, value in json.loads(event.properties or "{}").items():
                seen.add((key, value if isinstance(value, str) else print_json(value)))
                if isinstance(value, float):
                    seen |= {(key, repr(value)), (key, f"{value:.20e}")}
                if isinstance(value, int) and not isinstance(value, bool):
                    seen |= {(key, f"{value}.0"), (key, f"{value}e0")}
        other = st.tuples(_keys, st.sampled_from(_LITERALS) | _optional)
        return self._draw(st.sampled_from(sorted(seen)) | other if seen else other)

    def filters(self, wanted: set[str]) -> Filters:
        draw = self._draw
        names = sorted({event.name for event in self._events}) or ["a"]
        choices: dict[str, Any] = {
            "name": lambda: self._of_events("name", _texts),
            "name_prefix": lambda: (name := draw(st.sampled_from(names) | _texts))[: draw(st.integers(0, len(name)))],
            "from_ms": lambda: self._of_events("timestamp_ms", _times) + draw(st.integers(-1, 1)),
            "to_ms": lambda: self._of_events("timestamp_ms", _times) + draw(st.integers(-1, 1)),
            "user_id": lambda: self._of_events("user_id", _texts),
            "person": lambda: self._of_events(draw(st.sampled_from(("user_id", "anonymous_id"))), _texts),
            "source": lambda: self._of_events("source", _texts),
            "session_id": lambda: self._of_events("session_id", _texts),
            "environment": lambda: self._of_events("environment", _texts),
            "service": lambda: self._of_events("service", _texts),
            "host": lambda: self._of_events("host", _texts),
            "tags": lambda: tuple(self._tag() for _ in range(draw(st.integers(1, 4)))),
            "properties": lambda: tuple(self._property() for _ in range(draw(st.integers(1, 2)))),
        }
        known = [record.id for record in self._records]
        people = sorted({id_ for each in self._events for id_ in (each.user_id, each.anonymous_id) if id_}) or ["u"]
        choices["people"] = lambda: tuple(draw(st.lists(st.sampled_from([*people, "nobody"]), max_size=4)))
        choices["ids"] = lambda: tuple(draw(st.lists(st.sampled_from([*known, "0" * 32]), max_size=5)))
        choices["after"] = lambda: (
            draw(st.sampled_from(self._records)).position + draw(st.integers(-1, 1)) if known else 5
        )
        choices["upto"] = lambda: (
            draw(st.sampled_from(self._records)).position + draw(st.integers(-1, 1)) if known else 5
        )
        choices["conditions"] = lambda: tuple(
            conditions.condition(draw, self._events) for _ in range(draw(st.integers(1, 2)))
        )
        assert set(choices) == set(FIELDS)
        return Filters(**{field: choice() for field, choice in choices.items() if field in wanted})

    def page(self) -> Page:
        draw = self._draw
        after = None
        if self._events and draw(st.booleans()):
            index = draw(st.integers(0, len(self._events) - 1))
            step = draw(st.sampled_from((0, 0, 1, -1)))
            after = Cursor(
                self._events[index].timestamp_ms + step, self._records[index].position + draw(st.integers(-1, 1))
            )
        return Page(
            limit=draw(st.sampled_from((0, 1, 2, 3, 1000, 1000))),
            offset=draw(st.sampled_from((0, 0, 1, 1, 2, 3, 1000, 10**15))),
            after=after,
            oldest_first=draw(st.booleans()),
        )

    def dimension(self, kind: Any) -> Dimension:
        if kind == "own":
            return Dimension(kind, self._draw(st.sampled_from(OWN_FIELDS)))
        return Dimension(kind, self._key() if kind in ("tag", "property") else "")

    def field(self) -> Dimension:
        return Dimension("property", self._key()) if self._draw(st.booleans()) else Dimension("value")

    def _key(self) -> str:
        seen = Counter(key for event in self._events for key in (*json.loads(event.properties or "{}"), *event.tags))
        most = [key for key, _ in seen.most_common(3)]
        return self._draw(st.sampled_from(most) | _keys if most else _keys)

    def _note(self, question: str, filters: Filters, *more: object) -> int:
        """Count what is asked, and tell how many events match."""
        note(f"{question} {filters} {more}")
        covered, tenant = self._covered, self._tenant
        covered["questions"] += 1
        for each in filters.conditions:
            covered[f"condition {each.op} of {each.field.kind}"] += 1
        for field in FIELDS:
            if getattr(filters, field) not in (None, ()):
                alone = self._model.count(tenant, Filters(**{field: getattr(filters, field)})).total
                covered[f"{field} let through"] += alone > 0
                covered[f"{field} kept out"] += alone < len(self._events)
                covered[f"{field} in {question}"] += 1
        return self._model.count(tenant, filters).total

    def ask_events(self, filters: Filters) -> None:
        page, covered = self.page(), self._covered
        matching = self._note("events", filters, page)
        expected = self._model.events(self._tenant, filters, page)
        assert self._store.events(self._tenant, filters, page) == expected
        covered["page cut by limit"] += expected.more
        covered["page from offset"] += bool(page.offset and expected.events)
        covered["page past the end"] += bool(matching and page.offset >= matching)
        covered["page oldest first"] += bool(page.oldest_first and len(expected.events) > 1)
        covered["page after cursor"] += bool(page.after and expected.events and len(expected.events) < matching)
        self.ask_matching(filters)
        times = [event.timestamp_ms for event in expected.events]
        covered["page of equal times"] += len(set(times)) < len(times)

    def ask_matching(self, filters: Filters) -> None:
        """What a webhook's filter lets through: the same filters, in the order of the log."""
        positions = [0, *(record.position for record in self._records), 2**62]
        after, upto = (self._draw(st.sampled_from(positions)) for _ in range(2))
        limit = self._draw(st.sampled_from((1, 2, 1000)))
        expected = self._model.matching(self._tenant, filters, after, upto, limit)
        assert self._store.matching(self._tenant, filters, after, upto, limit) == expected
        self._covered["matching found"] += bool(expected)

    def ask_count(self, filters: Filters, group_by: Dimension | None = None, zone: str = "") -> None:
        covered = self._covered
        interval = self._draw(st.sampled_from(INTERVALS if zone else (None, None, *INTERVALS)))
        named = self._draw(st.sampled_from(tuple(ZONES))) if self._draw(st.booleans()) else "UTC"
        given_zone = zone_of(zone or named)
        matching = self._note("count", filters, interval, group_by, given_zone.name)
        expected = self._model.count(self._tenant, filters, interval, group_by, given_zone)
        assert self._store.count(self._tenant, filters, interval, group_by, given_zone) == expected
        utc = self._model.count(self._tenant, filters, interval, group_by).series
        covered[f"zone {given_zone.name} moved a bucket"] += expected.series != utc
        covered[f"interval {interval}"] += len(expected.series or ()) > 1 or (interval is None and matching > 0)
        covered[f"group by {group_by and group_by.kind}"] += len(expected.groups or ()) > 1 or group_by is None
        covered["group of the empty string"] += bool(expected.groups and "" in dict(expected.groups))
        covered["events in no group"] += bool(group_by and sum(n for _, n in expected.groups or ()) < matching)

    def ask_stats(self, filters: Filters) -> None:
        field, covered = self.field(), self._covered
        self._note("stats", filters, field)
        expected = self._model.stats(self._tenant, filters, field)
        assert_same_figures(self._store.stats(self._tenant, filters, field), expected)
        covered[f"stats of {field.kind}"] += expected.count > 1
        covered["stats of nothing"] += expected.count == 0
        covered["stats of both signs"] += (expected.min or 0) < 0 < (expected.max or 0)

    def ask_get(self) -> None:
        known = [record.id for record in self._records]
        ids = self._draw(st.lists(st.sampled_from([*known, "0" * 32, "f" * 32]), max_size=6))
        self._note("get", Filters(), ids)
        expected = self._model.get(self._tenant, ids)
        assert self._store.get(self._tenant, ids) == expected
        self._covered["get found"] += bool(expected)

    def ask_observed(self) -> None:
        for column in ("name", "source"):
            limit, search = self._draw(st.integers(1, 5)), self._draw(st.sampled_from(["", "", "a", "U"]))
            self._note("observed", Filters(), column, limit, search)
            expected = self._model.observed(self._tenant, column, limit, search)
            assert self._store.observed(self._tenant, column, limit, search) == expected
            self._covered[f"observed {column}"] += len(expected) > 1

    def ask_seen(self) -> None:
        seen = sorted({id_ for each in self._events for id_ in (each.user_id, each.anonymous_id) if id_})
        ids = self._draw(st.lists(st.sampled_from([*seen, "nobody"]), max_size=4))
        limit = self._draw(st.integers(1, 4))
        self._note("seen", Filters(), ids, limit)
        expected = self._model.seen_by_id(self._tenant, ids)
        assert {each.value: each for each in self._store.seen_by_id(self._tenant, ids)} == {
            each.value: each for each in expected
        }
        by_name = self._model.seen_by_name(self._tenant, ids, limit)
        assert self._store.seen_by_name(self._tenant, ids, limit) == by_name
        self._covered["seen by id"] += len(expected) > 1
        self._covered["seen by name"] += len(by_name) > 1


def assert_same_figures(found: Stats, expected: Stats) -> None:
    assert (found.count, found.min, found.max) == (expected.count, expected.min, expected.max)
    assert _close(found.sum, expected.sum, rel_tol=1e-15)
    assert _close(found.avg, expected.avg, rel_tol=1e-15)
    width = (expected.max or 0) / 2 - (expected.min or 0) / 2
    for one, other in ((found.p50, expected.p50), (found.p95, expected.p95), (found.p99, expected.p99)):
        assert _close(one, other, rel_tol=1e-14, abs_tol=width * 1e-15)


def _close(one: float | None, other: float | None, **tolerance: float) -> bool:
    return one is other if one is None or other is None else math.isclose(one, other, **tolerance)


def expected_coverage() -> list[str]:
    """What must have happened at least a few times. Each kind of condition has: see test_event_queries.py."""
    return [
        *(f"{field} {did}" for field in FIELDS for did in ("let through", "kept out")),
        *(f"{field} in {question}" for field in FIELDS for question in ("events", "count", "stats")),
        *(f"interval {interval}" for interval in (None, *INTERVALS)),
        *(f"zone {name} moved a bucket" for name in ZONES if name != "UTC"),
        *(f"group by {kind}" for kind in (None, *KINDS)),
        *("page cut by limit", "page from offset", "page past the end", "page oldest first", "page after cursor"),
        *("page of equal times", "group of the empty string", "events in no group", "get found"),
        *("stats of value", "stats of property", "stats of nothing", "stats of both signs"),
        *("observed name", "observed source", "matching found", "seen by id", "seen by name"),
    ]


@pytest.mark.timeout(600)
def test_every_query_equals_a_brute_force_over_a_list(
    clickhouse: ClickHouseStore, capsys: pytest.CaptureFixture[str]
) -> None:
    covered: Counter[str] = Counter()

    @drawn(EXAMPLES // ROUNDS)
    @given(
        events=st.lists(_events(), max_size=14) | st.lists(_events(), min_size=6, max_size=20),
        strangers=st.lists(_events(), min_size=1, max_size=2),
        data=st.data(),
    )
    def compare(events: list[dict[str, Any]], strangers: list[dict[str, Any]], data: st.DataObject) -> None:
        tenant = fresh_tenant()
        model = MemoryStore()
        mine = [Event(project=tenant.project, mode="live", **fields) for fields in events]
        theirs = [
            Event(project=project, mode=mode, **fields)
            for project, mode in ((tenant.project, "test"), (tenant.project + "\0", "live"))
            for fields in (*strangers, *events[:2])
        ]
        records = records_of([*theirs[::2], *mine, *theirs[1::2]])
        stored = records[len(theirs[::2]) :][: len(mine)]
        for store in (clickhouse, model):
            store.insert(records)
        Asker(data.draw, tenant, mine, stored, covered).ask(clickhouse, model)

    in_rounds(compare, ROUNDS)
    assert covered["questions"] >= 20 * examples(EXAMPLES), "thousands, unless fewer were wanted"
    assert_covered(covered, expected_coverage(), capsys)
