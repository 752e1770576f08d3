"""What the Store and Reader ports promise, of every store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from headrace.dialects.wire import labels_and_numbers
from headrace.model.entries import Record
from headrace.model.errors import InvalidRequest
from headrace.model.event import Event, StoredEvent, Tenant, event_id, first_position
from headrace.model.filters import (
    MAX_CATALOG_PROPERTIES,
    MAX_GROUPS,
    MAX_PROPERTY_CHARS,
    Catalog,
    CatalogPage,
    Counts,
    Cursor,
    Dimension,
    Filters,
    Observed,
    Page,
    Stats,
)
from headrace.model.repeats import dedup_key
from headrace.model.times import DAY_MS, EARLIEST_MS, LATEST_MS
from headrace.ports.store import StoreFailed
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import NOW_MS, event_of, fresh_tenant, record_at, records_of
from tests.fakes import MemoryStore

Stores = ClickHouseStore | MemoryStore
ALL = Filters()
VALUE = Dimension("value")


@pytest.fixture(params=["clickhouse", "over_http", "memory"])
def store(request: pytest.FixtureRequest) -> Stores:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue(request.param)


@pytest.fixture
def tenant() -> Tenant:
    return fresh_tenant()


def put(store: Stores, tenant: Tenant, *events: dict[str, object]) -> list[Record]:
    records = records_of(event_of(tenant, **fields) for fields in events)
    store.insert(records)
    return records


def names(events: list[StoredEvent]) -> list[str]:
    return [event.name for event in events]


# Inserting


def test_an_event_comes_back_as_it_went_in(store: Stores, tenant: Tenant) -> None:
    whole = Event(
        project=tenant.project,
        mode="live",
        source="solute",
        name="näme\0 \\ ' \" \t\n\r\u2028 😀",
        timestamp_ms=NOW_MS + 7,
        type="alias",
        user_id="u",
        anonymous_id="a",
        session_id="s",
        group_id="g",
        previous_id="p",
        value=0.1 + 0.2,
        properties='{"b": 1.0,\n "a":"\\u00e9", "n":123456789012345678901234567890}',
        context='{ "x" : null }',
        traits='{"t":["/","\\/"]}',
        tags={"": "empty", "k": "", "é\0": "😀\0"},
        labels={"a": "é"},
        numbers={"b": 1.0},
        environment="prod",
        service="svc",
        host="h",
        request_id="r",
        message_id="m",
        sent_at_ms=0,
    )
    bare = Event(project=tenant.project, mode="live", source="flux", name="n", timestamp_ms=NOW_MS)
    records = records_of([whole, bare])
    store.insert(records)
    for event, record in zip((whole, bare), records, strict=True):
        fields = msgspec.structs.asdict(event) | {"labels": {}, "numbers": {}}
        expected = [StoredEvent(id=record.id, position=record.position, **fields)]
        assert store.get(tenant, [record.id]) == expected, "what only queries need is left out"
        assert store.events(tenant, Filters(name=event.name), Page(limit=9)).events == expected


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        -1e-300,
        2.2250738585072014e-308,
        0.1,
        1 / 3,
        2**53 + 2.0,
        9007199254740993.0,
    ],
)
def test_a_value_comes_back_to_the_last_bit(store: Stores, tenant: Tenant, value: float) -> None:
    record = put(store, tenant, {"value": value})[0]
    assert store.get(tenant, [record.id])[0].value == value


def test_what_was_inserted_is_visible_at_once(store: Stores, tenant: Tenant) -> None:
    for number in range(1, 6):
        put(store, tenant, {})
        assert store.count(tenant, ALL).total == number


def test_inserting_nothing_changes_nothing(store: Stores, tenant: Tenant) -> None:
    store.insert([])
    assert store.count(tenant, ALL) == Counts(0)


def test_present_names_the_events_between_two_positions_of_every_tenant(store: Stores, tenant: Tenant) -> None:
    records = [*put(store, tenant, {}, {}), *put(store, fresh_tenant(), {}, {})]
    ids = [record.id for record in records]
    positions = [record.position for record in records]
    assert store.present(positions[0] - 1, positions[3]) == set(ids)
    assert store.present(positions[0], positions[2]) == {ids[1], ids[2]}, "after is outside, upto inside"
    assert store.present(positions[3], 2**63 - 1) == set()
    assert store.present(positions[2], positions[1]) == set()
    assert [store.held(*bounds) for bounds in ((positions[0] - 1, positions[3]), (positions[0], positions[2]))] == [
        4,
        2,
    ]
    assert store.held(positions[3], 2**63 - 1) == store.held(positions[2], positions[1]) == 0


def test_the_last_position_is_the_greatest_of_every_tenant_past_another(store: Stores, tenant: Tenant) -> None:
    positions = [record.position for record in [*put(store, tenant, {}), *put(store, fresh_tenant(), {}, {})]]
    assert store.last(0) == store.last(positions[-1] - 1) == store.last(positions[-1]) == positions[-1]
    assert store.last(2**63 - 1) == 2**63 - 1


# Erasing


def test_erased_events_are_gone_from_every_answer_and_others_are_not(store: Stores, tenant: Tenant) -> None:
    other = fresh_tenant()
    fields = [
        {"name": f"n{number % 3}", "user_id": f"u{number % 2}", "value": float(number), "tags": {"plan": "pro"}}
        for number in range(12)
    ]
    records = put(store, tenant, *fields)
    beside = put(store, other, {}, {})
    ids = [record.id for record in records]
    assert store.stored([*ids, "0" * 32]) == set(ids)
    gone = [ids[0], ids[3], ids[7]]
    store.erase(gone)
    kept = [number for number in range(12) if ids[number] not in gone]
    assert store.stored(ids) == {ids[number] for number in kept}
    assert store.present(records[0].position - 1, beside[1].position) == {ids[each] for each in kept} | {
        each.id for each in beside
    }
    assert store.held(records[0].position - 1, records[-1].position) == 9
    assert store.get(tenant, gone) == []
    assert [event.id for event in store.events(tenant, ALL, Page(limit=20, oldest_first=True)).events] == [
        ids[each] for each in kept
    ]
    assert store.count(tenant, ALL, "1h").series == [(NOW_MS, 9)]
    assert store.count(tenant, ALL, None, Dimension("name")).groups == [("n2", 4), ("n1", 3), ("n0", 2)]
    assert store.count(tenant, ALL, None, Dimension("tag", "plan")).groups == [("pro", 9)]
    assert store.count(tenant, Filters(user_id="u1")).total == 4
    assert store.stats(tenant, ALL, VALUE).sum == sum(kept)
    assert sorted((each.value, each.occurrences) for each in store.observed(tenant, "name", 9)) == [
        ("n0", 2),
        ("n1", 3),
        ("n2", 4),
    ]
    assert store.count(other, ALL).total == 2


def test_erasing_again_what_is_gone_or_never_was_changes_nothing(store: Stores, tenant: Tenant) -> None:
    records = put(store, tenant, {}, {})
    stranger = event_id(records[1].position, records[1].tail + 1)
    for _ in range(2):
        store.erase([])
        store.erase([records[0].id, stranger])
        assert store.stored([record.id for record in records]) == {records[1].id}
    put(store, tenant, {})
    assert store.count(tenant, ALL).total == 2


def test_the_event_at_a_position_is_given_with_what_its_key_is_made_of_and_without_a_key_too(
    store: Stores, tenant: Tenant
) -> None:
    records = put(store, tenant, {"message_id": "m", "source": "solute"}, {}, {"message_id": "o"})
    found = store.keyed_at([record.position for record in records[:2]])
    assert {each.id: dedup_key(each.event) for each in found} == {
        records[0].id: dedup_key(event_of(tenant, message_id="m", source="solute")),
        records[1].id: b"",
    }


def test_records_of_two_months_are_refused_whole(store: Stores, tenant: Tenant) -> None:
    """They could not be stored in one atomic step; the worker cuts before."""
    edge = first_position(1_738_368_000_000)  # 2025-02-01
    with pytest.raises(StoreFailed):
        store.insert([record_at(edge - 1, event_of(tenant)), record_at(edge, event_of(tenant))])
    assert store.present(edge - 2, edge) == set()
    assert store.count(tenant, ALL).total == 0
    store.insert([record_at(edge - 1, event_of(tenant))])
    store.insert([record_at(edge, event_of(tenant))])
    assert store.count(tenant, ALL).total == 2


def test_events_received_and_sent_at_the_edges_of_time_are_kept(store: Stores, tenant: Tenant) -> None:
    for number, received_ms in enumerate((DAY_MS, LATEST_MS)):
        events = [
            event_of(tenant, name=f"{number}{edge}", timestamp_ms=at, sent_at_ms=at)
            for edge, at in (("first", EARLIEST_MS), ("last", LATEST_MS))
        ]
        positions = (first_position(received_ms) + 2 * number, first_position(received_ms) + 2 * number + 1)
        store.insert([record_at(position, event) for position, event in zip(positions, events, strict=True)])
    found = store.events(tenant, ALL, Page(limit=9)).events
    assert [(each.name, each.timestamp_ms, each.sent_at_ms) for each in found] == [
        ("1last", LATEST_MS, LATEST_MS),
        ("0last", LATEST_MS, LATEST_MS),
        ("1first", 0, 0),
        ("0first", 0, 0),
    ]
    assert [each.received_at_ms for each in found] == [LATEST_MS, DAY_MS, LATEST_MS, DAY_MS]
    assert store.count(tenant, Filters(from_ms=0, to_ms=0)).total == 2
    assert store.count(tenant, Filters(from_ms=LATEST_MS)).total == 2
    assert store.count(tenant, ALL, interval="1d").series == [(0, 2), (LATEST_MS + 1 - DAY_MS, 2)]


# Tenants


def test_no_question_sees_another_project_or_mode(store: Stores, tenant: Tenant) -> None:
    mine = put(store, tenant, {"name": "mine", "value": 1.0})[0]
    strangers = [
        Tenant(tenant.project, "test"),
        Tenant(tenant.project + "x", "live"),
        Tenant(tenant.project[:-1], "live"),
        Tenant(tenant.project.upper(), "live"),
        Tenant("", "live"),
    ]
    for number, stranger in enumerate(strangers):
        theirs = put(store, stranger, {"name": f"theirs-{number}", "value": 100.0})[0]
        assert store.get(tenant, [theirs.id]) == []
        assert store.get(stranger, [mine.id]) == []
        assert store.count(stranger, Filters(name="mine")).total == 0
    assert names(store.events(tenant, ALL, Page(limit=9)).events) == ["mine"]
    assert store.count(tenant, ALL, interval="1m", group_by=Dimension("name")).groups == [("mine", 1)]
    assert store.stats(tenant, ALL, VALUE).max == 1.0
    assert [each.value for each in store.observed(tenant, "name", 9)] == ["mine"]


# Listing


def test_events_are_listed_newest_first_and_ties_by_position(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"name": "b1"}, {"name": "c", "timestamp_ms": NOW_MS + 1}, {"name": "a2"})
    put(store, tenant, {"name": "c3"}, {"name": "old", "timestamp_ms": NOW_MS - 1})
    newest = ["c", "c3", "a2", "b1", "old"]
    assert names(store.events(tenant, ALL, Page(limit=9)).events) == newest
    assert names(store.events(tenant, ALL, Page(limit=9, oldest_first=True)).events) == newest[::-1]


def test_a_page_says_how_many_match_and_whether_more_follow(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *({"name": str(number)} for number in range(5)))

    def page(limit: int, offset: int) -> tuple[int, list[str], bool]:
        found = store.events(tenant, ALL, Page(limit=limit, offset=offset))
        return found.total, names(found.events), found.more

    assert page(2, 0) == (5, ["4", "3"], True)
    assert page(2, 2) == (5, ["2", "1"], True)
    assert page(2, 3) == (5, ["1", "0"], False)
    assert page(2, 4) == (5, ["0"], False)
    assert page(5, 0) == (5, ["4", "3", "2", "1", "0"], False)
    for beyond in (5, 6, 10**9, 10**18 - 1, 2**63):
        assert page(1000, beyond) == (5, [], False)


def test_the_total_counts_matches_and_not_the_page(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"name": "a"}, {"name": "b"}, {"name": "a"})
    found = store.events(tenant, Filters(name="a"), Page(limit=1))
    assert (found.total, len(found.events), found.more) == (2, 1, True)


@pytest.mark.parametrize("oldest_first", [False, True])
def test_cursor_pages_give_each_event_once_while_events_arrive(
    store: Stores, tenant: Tenant, oldest_first: bool
) -> None:
    put(store, tenant, *({"name": str(number), "timestamp_ms": NOW_MS + number // 4} for number in range(11)))
    seen: list[str] = []
    cursor = None
    while True:
        found = store.events(tenant, ALL, Page(limit=3, after=cursor, oldest_first=oldest_first))
        seen += names(found.events)
        if not found.more:
            break
        cursor = Cursor(found.events[-1].timestamp_ms, found.events[-1].position)
        # Arriving ones lie before the cursor in the order of listing.
        put(store, tenant, {"name": "new", "timestamp_ms": NOW_MS - 9 if oldest_first else NOW_MS + 99})
    numbers = [str(number) for number in range(11)]
    assert seen == (numbers if oldest_first else numbers[::-1])


def test_the_oldest_after_a_cursor_are_those_of_a_page(store: Stores, tenant: Tenant) -> None:
    put(
        store,
        tenant,
        *({"name": str(number), "timestamp_ms": NOW_MS + number // 4} for number in range(11)),
        {"name": "x"},
    )
    put(store, fresh_tenant(), {"name": "1"})
    for wanted in (ALL, Filters(name_prefix="1", from_ms=NOW_MS + 1)):
        cursor, page = None, store.events(tenant, wanted, Page(limit=99, oldest_first=True)).events
        seen: list[StoredEvent] = []
        while found := store.oldest(tenant, wanted, cursor, 4):
            assert len(found) == min(4, len(page) - len(seen))
            seen += found
            cursor = Cursor(found[-1].timestamp_ms, found[-1].position)
        assert seen == page


def test_a_cursor_that_no_event_has_is_a_place_all_the_same(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"name": "a"}, {"name": "b", "timestamp_ms": NOW_MS + 5})
    for cursor, after in ((Cursor(NOW_MS + 1, 0), ["a"]), (Cursor(0, 0), []), (Cursor(LATEST_MS, 2**63), ["b", "a"])):
        assert names(store.events(tenant, ALL, Page(limit=9, after=cursor)).events) == after
        oldest_first = store.events(tenant, ALL, Page(limit=9, after=cursor, oldest_first=True))
        assert names(oldest_first.events) == [name for name in ("a", "b") if name not in after]


def test_a_page_fits_its_total_while_events_arrive(store: Stores, tenant: Tenant) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            put(store, tenant, {}, {}, {})

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                found = store.events(tenant, ALL, Page(limit=1000))
                if found.more:
                    break
                assert found.total == len(found.events)
        finally:
            stop.set()
        writer.result()


# One by id


def test_events_are_got_by_id_oldest_first_and_each_once(store: Stores, tenant: Tenant) -> None:
    records = put(store, tenant, {"name": "b", "timestamp_ms": NOW_MS + 1}, {"name": "a"}, {"name": "c"}, {"name": "d"})
    b, a, c, _ = (record.id for record in records)
    assert names(store.get(tenant, [c, b, a, c])) == ["a", "c", "b"]
    assert store.get(tenant, []) == []


def test_ids_that_nothing_has_are_left_out(store: Stores, tenant: Tenant) -> None:
    record = put(store, tenant, {})[0]
    same_position = f"{int(record.id, 16) ^ 1:032x}"
    same_tail = f"{int(record.id, 16) + (1 << 64):032x}"
    for stranger in (same_position, same_tail, "0" * 32, "f" * 32, "00000000000070008000000000000000"):
        assert store.get(tenant, [stranger]) == []
        assert len(store.get(tenant, [stranger, record.id])) == 1


def test_thousands_of_ids_are_got_at_once(store: Stores, tenant: Tenant) -> None:
    records = put(store, tenant, *({"name": str(number)} for number in range(2500)))
    ids = [record.id for record in records]
    assert names(store.get(tenant, ids + ids[::-1])) == [str(number) for number in range(2500)]


# Counting


def test_a_count_of_nothing_has_empty_parts(store: Stores, tenant: Tenant) -> None:
    assert store.count(tenant, ALL) == Counts(0)
    assert store.count(tenant, ALL, interval="1h", group_by=Dimension("name")) == Counts(0, [], [])


def test_buckets_begin_at_whole_intervals_in_utc(store: Stores, tenant: Tenant) -> None:
    day = 1_735_689_600_000  # 2025-01-01
    times = (day - 1, day, day + 59_999, day + 60_000, day + 300_000, day + 3_600_000)
    put(store, tenant, *({"timestamp_ms": at} for at in times))

    def starts(interval: str) -> list[tuple[int, int]]:
        series = store.count(tenant, ALL, interval=interval).series  # pyright: ignore[reportArgumentType]
        assert series is not None
        return [((start - day) // 1000, count) for start, count in series]

    assert starts("1m") == [(-60, 1), (0, 2), (60, 1), (300, 1), (3600, 1)]
    assert starts("5m") == [(-300, 1), (0, 3), (300, 1), (3600, 1)]
    assert starts("1h") == [(-3600, 1), (0, 4), (3600, 1)]
    assert starts("1d") == [(-86_400, 1), (0, 5)]


def test_groups_come_largest_first_and_then_by_key(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *({"name": name} for name in ("b", "é", "a", "B", "c", "c", "😀", "\uffff")))
    counts = store.count(tenant, ALL, group_by=Dimension("name"))
    assert counts.groups == [("c", 2), ("B", 1), ("a", 1), ("b", 1), ("é", 1), ("\uffff", 1), ("😀", 1)]


def test_events_without_the_key_are_in_the_total_but_in_no_group(store: Stores, tenant: Tenant) -> None:
    put(
        store,
        tenant,
        {"tags": {"k": "v"}, "user_id": "u", "properties": '{"p":"x"}', "labels": {"p": "x"}},
        {"tags": {"k": ""}, "properties": '{"p":null}'},
        {"tags": {"other": "v"}, "properties": '{"p":""}', "labels": {"p": ""}},
        {},
    )

    def count(kind: str, key: str = "") -> Counts:
        return store.count(tenant, ALL, group_by=Dimension(kind, key))  # pyright: ignore[reportArgumentType]

    assert count("tag", "k") == Counts(4, None, [("", 1), ("v", 1)])
    assert count("tag", "p") == Counts(4, None, [("", 1), ("x", 1)])
    assert count("property", "p") == Counts(4, None, [("", 1), ("x", 1)])
    assert count("user_id") == Counts(4, None, [("u", 1)])
    assert count("tag", "missing") == Counts(4, None, [])
    assert count("tag", "") == Counts(4, None, [])


def test_a_tag_shadows_the_string_property_of_its_name(store: Stores, tenant: Tenant) -> None:
    put(
        store,
        tenant,
        {"name": "both", "tags": {"plan": "pro"}, "properties": '{"plan":"free"}'},
        {"name": "property", "properties": '{"plan":"free"}', "labels": {"plan": "free"}},
        {"name": "number", "properties": '{"plan":5}', "numbers": {"plan": 5.0}},
    )
    plan = Dimension("tag", "plan")
    assert store.count(tenant, ALL, group_by=plan).groups == [("free", 1), ("pro", 1)]
    assert store.count(tenant, Filters(tags=[("plan", "free")])).total == 1
    assert store.count(tenant, Filters(tags=[("plan", "pro")])).total == 1
    assert store.count(tenant, Filters(tags=[("plan", "5")])).total == 0
    assert store.count(tenant, Filters(properties=[("plan", "free")])).total == 2


def test_a_tag_filter_for_the_empty_string_wants_the_key(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"tags": {"k": ""}}, {"properties": '{"k":""}', "labels": {"k": ""}}, {"tags": {"k": "v"}}, {})
    assert store.count(tenant, Filters(tags=[("k", "")])).total == 2
    put(store, tenant, {"tags": {"j": "x", "k": ""}}, {"tags": {"j": "x"}}, {"tags": {"j": "x", "k": "v"}})
    for tags in ([("j", "x"), ("k", "")], [("k", ""), ("j", "x")]):
        assert store.count(tenant, Filters(tags=tags)).total == 1, "an event without a tag does not have the empty one"
    assert store.count(tenant, Filters(properties=[("k", "")])).total == 1


def test_more_than_a_thousand_groups_are_cut_and_said_to_be(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {}, *({"user_id": f"u{number:04}"} for number in range(MAX_GROUPS)))
    by_user = Dimension("user_id")
    counts = store.count(tenant, ALL, group_by=by_user)
    assert (counts.total, len(counts.groups or ()), counts.truncated) == (1001, 1000, False)
    put(store, tenant, {"user_id": "u0007"}, {"user_id": "z"})
    counts = store.count(tenant, ALL, group_by=by_user)
    assert (counts.total, len(counts.groups or ()), counts.truncated) == (1003, 1000, True)
    assert counts.groups is not None
    assert counts.groups[:2] == [("u0007", 2), ("u0000", 1)]
    assert counts.groups[-1] == ("u0999", 1)
    assert store.count(tenant, Filters(user_id="z"), group_by=by_user).groups == [("z", 1)]


def test_series_and_groups_can_be_had_together(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"name": "a", "timestamp_ms": 0}, {"name": "b", "timestamp_ms": DAY_MS})
    assert store.count(tenant, ALL, "1d", Dimension("name")) == Counts(2, [(0, 1), (DAY_MS, 1)], [("a", 1), ("b", 1)])


def test_nothing_can_be_grouped_by_value(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {})
    with pytest.raises(ValueError, match="value"):
        store.count(tenant, ALL, group_by=VALUE)


# Properties as text


@pytest.mark.parametrize(
    ("sent", "matching", "others"),
    [
        (
            "5",
            ["5", "5.0", "5e0", "50e-1", "5.000"],
            ["05", "+5", " 5", "5.", "5.1", "five", "", "4.999999999999999999999x"],
        ),
        ("5.0", ["5", "5.0", "5e0"], ["50"]),
        ('"5.0"', ["5.0"], ["5", "5e0"]),
        ("19.90", ["19.9", "19.90"], ["19"]),
        ("9007199254740993", ["9007199254740993"], ["9007199254740992", "9007199254740993.0"]),
        ("123456789012345678901234567890", ["123456789012345678901234567890"], ["1.2345678901234568e29"]),
        ("1e21", ["1e21", "1E+21", "1000000000000000000000.0"], ["1e+21x"]),
        ("-0.0", ["-0", "-0.0", "-0e5"], ["0", "0.0"]),
        ("true", ["true"], ["1", "True", "1.0"]),
        ("null", [], ["null", "", "0"]),
        ('""', [""], ["null", '""']),
        ('"a\\u0000b"', ["a\0b"], ["a", "ab"]),
        ('{"b": 1.0, "a": [ "x/y" ]}', ['{"b":1,"a":["x/y"]}'], ['{"b":1.0,"a":["x/y"]}']),
        ("[]", ["[]"], [""]),
    ],
)
def test_a_property_compares_as_text_and_a_number_by_any_spelling(
    store: Stores, tenant: Tenant, sent: str, matching: list[str], others: list[str]
) -> None:
    put(store, tenant, {"properties": f'{{"k":{sent},"other":"5"}}'}, {"properties": '{"other":5}'}, {})
    for value in matching:
        assert store.count(tenant, Filters(properties=[("k", value)])).total == 1, value
    for value in others:
        assert store.count(tenant, Filters(properties=[("k", value)])).total == 0, value
    groups = store.count(tenant, ALL, group_by=Dimension("property", "k")).groups
    assert groups == [(value, 1) for value in matching[:1]]


# Statistics


def test_statistics_of_nothing_are_null_but_for_count_and_sum(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"properties": '{"x":"1","y":true}', "labels": {"x": "1"}})
    for field in (VALUE, Dimension("property", "x"), Dimension("property", "y"), Dimension("property", "")):
        assert store.stats(tenant, ALL, field) == Stats(0, 0.0)


def test_percentiles_interpolate_linearly(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *({"value": value} for value in (4.0, 1.0, 3.0, 2.0)), {})
    found = store.stats(tenant, ALL, VALUE)
    assert (found.count, found.sum, found.avg, found.min, found.max) == (4, 10, 2.5, 1, 4)
    assert (found.p50, found.p95, found.p99) == (2.5, pytest.approx(3.85), pytest.approx(3.97))
    assert store.stats(tenant, Filters(from_ms=NOW_MS + 1), VALUE) == Stats(0, 0.0)


def test_a_property_s_statistics_take_its_numbers_alone(store: Stores, tenant: Tenant) -> None:
    put(
        store,
        tenant,
        {"value": 100.0, "properties": '{"x":1.5}', "numbers": {"x": 1.5}},
        {"properties": '{"x":"7"}', "labels": {"x": "7"}},
        {"properties": '{"x":-1}', "numbers": {"x": -1.0}},
        {"properties": '{"y":1}', "numbers": {"y": 1.0}},
    )
    found = store.stats(tenant, ALL, Dimension("property", "x"))
    assert (found.count, found.sum, found.avg, found.min, found.max, found.p50) == (2, 0.5, 0.25, -1, 1.5, 0.25)


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1e16, 1.0, -1e16], 1.0),
        ([1e16, 1.0, -1e16] * 50, 50.0),
        ([0.1] * 10, 1.0),
        ([1e308, 1e308, -1e308, -1e308, 7.25], 7.25),
        ([5e-324, 5e-324, -5e-324], 5e-324),
        ([1e300, 1e-300, -1e300], 1e-300),
        ([2.0**-1074, -(2.0**-1022), 2.0**-1022 - 2.0**-1074], 0.0),
        ([0.1, 0.2, -0.3], 2.7755575615628914e-17),
        ([-5.5, -4.5], -10.0),
        ([0.0, -0.0], 0.0),
    ],
)
def test_a_sum_is_right_however_its_values_cancel(
    store: Stores, tenant: Tenant, values: list[float], total: float
) -> None:
    put(store, tenant, *({"value": value} for value in values))
    found = store.stats(tenant, ALL, VALUE)
    assert (found.count, found.min, found.max) == (len(values), min(values), max(values))
    assert found.sum == pytest.approx(total, rel=1e-15, abs=0)
    assert found.avg == pytest.approx(total / len(values), rel=1e-15, abs=0)


def test_a_figure_that_no_double_holds_is_null(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {"value": 1e308, "name": "up"}, {"value": 1.5e308, "name": "up"}, {"value": -1e308})
    found = store.stats(tenant, Filters(name="up"), VALUE)
    assert (found.count, found.sum, found.avg, found.max) == (2, None, 1.25e308, 1.5e308)
    found = store.stats(tenant, Filters(from_ms=0), VALUE)
    assert (found.count, found.sum, found.min) == (3, 1.5e308, -1e308)


def test_statistics_are_of_values_and_numeric_properties_only(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, {})
    for kind in ("tag", "name", "user_id"):
        with pytest.raises(ValueError, match=kind):
            store.stats(tenant, ALL, Dimension(kind, "k"))


# What was seen


def test_observed_names_and_sources_have_their_count_and_times(store: Stores, tenant: Tenant) -> None:
    put(
        store,
        tenant,
        {"name": "b", "source": "flux", "timestamp_ms": 5},
        {"name": "a", "source": "solute", "timestamp_ms": 9, "value": 1.0},
        {"name": "b", "source": "solute", "timestamp_ms": 2},
    )
    assert store.observed(tenant, "name", 9) == [Observed("a", 1, 9, 9), Observed("b", 2, 2, 5)]
    assert store.observed(tenant, "source", 9) == [Observed("solute", 2, 2, 9), Observed("flux", 1, 5, 5)]
    assert store.observed(fresh_tenant(), "name", 9) == []


def test_the_most_recently_seen_names_come_first_and_a_search_finds_the_others(store: Stores, tenant: Tenant) -> None:
    times = (("b", 5), ("a", 5), ("Straße", 7), ("old", 1), ("c", 9), ("c", 2))
    put(store, tenant, *({"name": name, "timestamp_ms": at} for name, at in times))
    assert [each.value for each in store.observed(tenant, "name", 4)] == ["c", "Straße", "a", "b"]
    assert [each.value for each in store.observed(tenant, "name", 4, "OL")] == ["old"]
    assert [each.value for each in store.observed(tenant, "name", 4, "aß")] == ["Straße"]
    assert store.observed(tenant, "name", 4, "%") == []


# Bad numbers


def test_a_number_that_no_column_holds_is_a_bad_request_or_matches_nothing(
    clickhouse: ClickHouseStore, tenant: Tenant
) -> None:
    put(clickhouse, tenant, {})
    for cursor in (Cursor(NOW_MS, -1), Cursor(-(10**30), 5), Cursor(10**30, 10**30)):
        try:
            found = clickhouse.events(tenant, ALL, Page(limit=9, after=cursor)).total
        except InvalidRequest:
            continue
        assert found == 1


# The catalogue


def catalog(store: Stores, tenant: Tenant, **page: Any) -> Catalog:
    return store.catalog(tenant, CatalogPage(**{"limit": 100} | page))


def sent(properties: str, **tags: str) -> dict[str, object]:
    """An event's properties as intake keeps them."""
    labels, numbers = labels_and_numbers(msgspec.json.decode(properties), tags)
    return {"properties": properties, "tags": tags, "labels": labels, "numbers": numbers}


def test_the_catalogue_has_each_name_once_with_its_count_and_times(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *({"name": "b", "timestamp_ms": NOW_MS + number} for number in (5, 1, 9)), {"name": "a"})
    put(store, fresh_tenant(), {"name": "a"}, {"name": "c"})
    found = catalog(store, tenant)
    assert [(each.name, each.count, each.first_ms - NOW_MS, each.last_ms - NOW_MS) for each in found.entries] == [
        ("a", 1, 0, 0),
        ("b", 3, 1, 9),
    ]
    assert (found.total, found.more) == (2, False)


def test_the_catalogue_has_every_property_with_all_its_types(store: Stores, tenant: Tenant) -> None:
    put(
        store,
        tenant,
        {},
        sent("{}"),
        sent('{"a":"x","b":1,"c":true,"d":null,"e":{"a":1},"f":[1],"":false,"\u00e9\\u0000":"{"}'),
        sent('{"a":1.5,"b":"true","c":"","g" : {} }'),
        sent('{"é":[]}', x="y"),
    )
    assert catalog(store, tenant).entries[0].properties == [
        ("", ["boolean"]),
        ("a", ["string", "number"]),
        ("b", ["string", "number"]),
        ("c", ["string", "boolean"]),
        ("d", ["null"]),
        ("e", ["object"]),
        ("f", ["array"]),
        ("g", ["object"]),
        ("é", ["array"]),
        ("é\0", ["string"]),
    ]


@pytest.mark.parametrize(
    ("properties", "types"),
    [
        ('{"k":"shadowed by a tag of its name"}', ["string"]),
        ('{"\\u006b":"and escaped"}', ["string"]),
        ('{"k":12345678901234567890123}', ["number"]),
        (f'{{"k":{"9" * 400}}}', ["number"]),
        ('{"k":-1e300}', ["number"]),
    ],
)
def test_the_catalogue_has_what_no_column_of_its_own_holds(
    store: Stores, tenant: Tenant, properties: str, types: list[str]
) -> None:
    tags = {"k": "v"} if "string" in types else {}
    put(store, tenant, sent(properties, **tags))
    assert catalog(store, tenant).entries[0].properties == [("k", types)]


def test_a_tag_is_no_property(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, sent('{"a":"is k here?"}', k="v"))
    assert catalog(store, tenant).entries[0].properties == [("a", ["string"])]


def test_the_catalogue_shows_each_names_latest_event(store: Stores, tenant: Tenant) -> None:
    early, late, _, other = put(
        store,
        tenant,
        {"timestamp_ms": NOW_MS},
        {"timestamp_ms": NOW_MS + 1},
        {"timestamp_ms": NOW_MS - 5},
        {"name": "other"},
    )
    last = put(store, tenant, {"timestamp_ms": NOW_MS + 1})[0]
    shown = [entry.example.id for entry in catalog(store, tenant).entries if entry.example]
    assert shown == [last.id, other.id]
    assert {early.id, late.id}.isdisjoint(shown)


def test_the_catalogue_can_be_searched_and_paged(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, *({"name": name} for name in ("order.paid", "order.Sent", "orders", "reorder", "x", "é%_")))

    def found(**page: Any) -> list[str]:
        return [entry.name for entry in catalog(store, tenant, **page).entries]

    assert found(prefix="order.") == ["order.Sent", "order.paid"]
    assert found(name="orders") == ["orders"]
    assert found(name="nothing") == []
    assert found(search="ORDER") == ["order.Sent", "order.paid", "orders", "reorder"]
    assert found(search="%_") == ["é%_"]
    assert found(search="É") == ["é%_"]
    first = catalog(store, tenant, limit=4)
    assert (first.total, first.more, len(first.entries)) == (6, True, 4)
    rest = catalog(store, tenant, limit=4, after=first.entries[-1].name)
    assert (rest.total, rest.more) == (6, False)
    assert [entry.name for entry in rest.entries] == ["x", "é%_"]
    past = catalog(store, tenant, limit=4, after="é%_")
    assert (past.total, past.entries, past.more) == (6, [], False)
    assert catalog(store, fresh_tenant()) == Catalog(0, [], more=False)


def test_the_catalogue_says_when_a_name_has_more_properties_than_it_lists(store: Stores, tenant: Tenant) -> None:
    def keys(first: int, count: int) -> dict[str, object]:
        return sent(msgspec.json.encode({f"k{number:04}": 1 for number in range(first, first + count)}).decode())

    put(
        store,
        tenant,
        keys(0, MAX_CATALOG_PROPERTIES // 2),
        keys(MAX_CATALOG_PROPERTIES // 2, MAX_CATALOG_PROPERTIES // 2),
    )
    entry = catalog(store, tenant).entries[0]
    assert (len(entry.properties), entry.truncated) == (MAX_CATALOG_PROPERTIES, False)
    put(store, tenant, keys(MAX_CATALOG_PROPERTIES, 1))
    entry = catalog(store, tenant).entries[0]
    assert (len(entry.properties), entry.truncated) == (MAX_CATALOG_PROPERTIES, True)


def test_of_a_very_long_property_name_the_catalogue_has_the_beginning(store: Stores, tenant: Tenant) -> None:
    put(store, tenant, sent(msgspec.json.encode({"é" * 5000: 1, "f" * 5000: True}).decode()))
    assert catalog(store, tenant).entries[0].properties == [
        ("f" * MAX_PROPERTY_CHARS, ["boolean"]),
        ("é" * MAX_PROPERTY_CHARS, ["number"]),
    ]
