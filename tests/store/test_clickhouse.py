"""What only the ClickHouse store has: limits, parts, a temporary file, and handles that are given up."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.model.conditions import Condition, Field
from headrace.model.entries import Record
from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import Tenant, event_id, first_position
from headrace.model.event_queries import EventQuery, QueryGroup
from headrace.model.filters import MAX_GROUPS, CatalogPage, Counts, Cursor, Dimension, Filters, Page
from headrace.model.funnels import FunnelQuery
from headrace.model.measures import MAX_METRICS, Metric, Question
from headrace.ports.store import StoreFailed
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries import counts
from headrace.store.queries.conditions import Query, ways_of
from headrace.store.queries.fields import NONE_HOT
from tests.engine import NOW_MS, dsn, event_of, fresh_tenant, record_at, records_of

ALL = Filters()
MANY = 200_000


@pytest.fixture(scope="module")
def crowd(clickhouse: ClickHouseStore) -> Tenant:
    """A tenant with so many events that questions of them take time and memory."""
    tenant = fresh_tenant()
    first = records_of(event_of(tenant) for _ in range(MANY))[0].position
    with clickhouse.engine.writers.lend() as client:
        client.command(
            "INSERT INTO events (position, project, mode, source, name, timestamp_ms, user_id, properties) "
            "SELECT {first:UInt64} + number, {project:String}, 'live', 'flux', 'n', {now:Int64} + number, "
            "toString(number), concat('{\"k\":\"', toString(number), '\", \"x\":[', repeat('1,', 50), '1]}') FROM numbers({many:UInt64})",
            {"first": first, "project": tenant.project, "now": NOW_MS, "many": MANY},
        )
    return tenant


@pytest.fixture
def store() -> Iterator[ClickHouseStore]:
    store = ClickHouseStore(dsn())
    yield store
    store.close()


def with_limits(**limits: float) -> ClickHouseStore:
    store = ClickHouseStore(dsn(), **limits)  # pyright: ignore[reportArgumentType]
    # Every machine as if it had two cores: the engine leaves up to 4 MiB a thread out of what it counts.
    store.engine.readers._settings["max_threads"] = 2
    return store


# Limits


def test_a_query_past_its_time_is_unavailable_and_the_store_goes_on(crowd: Tenant) -> None:
    store = with_limits(query_timeout_s=0.05)
    few = fresh_tenant()
    store.insert(records_of([event_of(few)]))
    slow = Filters(properties=[("x", "1"), ("y", "1"), ("z", "1")])  # texts that are there, so that JSON is parsed
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"longer than 0\.05 s: narrow"):
            store.count(crowd, slow)
        answers = []
        for _ in range(500):  # on a busy machine even a quick one may take longer
            try:
                answers.append(store.count(few, ALL).total)
            except Unavailable:
                continue
            break
        assert answers == [1]
    store.close()


def test_a_query_past_its_memory_is_told_to_ask_for_less_and_the_store_goes_on(crowd: Tenant) -> None:
    store = with_limits(query_max_memory_bytes=4_000_000)
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="smaller limit or offset"):
            store.events(crowd, ALL, Page(limit=1000, offset=MANY - 5))
        assert store.count(crowd, ALL).total == MANY
        assert store.count(crowd, Filters(user_id="7"), group_by=Dimension("user_id")).groups == [("7", 1)]
    assert store.events(crowd, ALL, Page(limit=5, offset=10**18 - 1)).events == [], (
        "past the end there is nothing to sort"
    )
    store.close()


def test_a_page_of_more_bytes_than_a_reply_may_have_is_told_to_ask_for_fewer(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    store.insert(records_of(event_of(tenant, properties=f'{{"x":"{"y" * 1000}"}}') for _ in range(300)))
    small = with_limits(max_page_bytes=250_000)
    with pytest.raises(InvalidRequest, match=r"more than 0\.238419 MiB of events: use a smaller 'limit'"):
        small.events(tenant, ALL, Page(limit=300))
    assert len(small.events(tenant, ALL, Page(limit=100)).events) == 100
    assert len(store.events(tenant, ALL, Page(limit=300)).events) == 300
    small.close()


def test_a_page_that_is_too_large_to_be_read_at_once_is_the_same_in_pieces(
    store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = fresh_tenant()
    store.insert(records_of(event_of(tenant, properties=f'{{"x":"{"y" * 1000}"}}') for _ in range(300)))
    page = Page(limit=250, offset=20)
    at_once = store.events(tenant, ALL, page)
    assert (at_once.total, len(at_once.events), at_once.more) == (300, 250, True)
    monkeypatch.setattr("headrace.store.events._AT_ONCE_BYTES", 100_000)
    assert store.events(tenant, ALL, page) == at_once


def test_however_many_names_somebody_sends_names_and_catalogue_are_answered(store: ClickHouseStore) -> None:
    tenant, many = fresh_tenant(), 800_000
    columns = "project, mode, name, source, timestamp_ms, position"
    row = f"'{tenant.project}', 'live', concat(lower(hex(sipHash64(number))), repeat('x', 184)), 'flux'"
    later_ms = NOW_MS + 10**12  # no other event of this store has these positions
    moments = f"{later_ms} + number, bitShiftLeft(toUInt64({later_ms}), 20) + number"
    # Where only some of the parts that may hold the tenant have a projection, the engine reads no part in order if it may use one.
    for _ in range(100):
        store.insert(records_of([event_of(fresh_tenant())] * 20))
    with store.engine.writers.lend() as client:
        client.command(f"INSERT INTO events ({columns}) SELECT {row}, {moments} FROM numbers({many})")
        last = client.command(f"SELECT concat(lower(hex(sipHash64(toUInt64({many - 1})))), repeat('x', 184))")
    small = with_limits(query_max_memory_bytes=160_000_000)
    found = small.observed(tenant, "name", 100)
    assert (found[0].value, len(found)) == (last, 100)
    assert [each.last_ms for each in found] == sorted((each.last_ms for each in found), reverse=True)
    page = small.catalog(tenant, CatalogPage(limit=10))
    assert (len(page.entries), page.more, round(page.total / many, 2)) == (10, True, 1.0)
    after = small.catalog(tenant, CatalogPage(limit=10, after=page.entries[-1].name))
    assert page.entries[-1].name < after.entries[0].name
    small.close()


def test_groups_of_millions_of_values_are_the_most_frequent_ones_each_counted_exactly(store: ClickHouseStore) -> None:
    tenant, many = fresh_tenant(), 800_000
    columns = "project, mode, name, source, timestamp_ms, position, user_id, tags, labels, group_id, value"
    pad = "repeat('x', 60)"
    later_ms = NOW_MS + 2 * 10**12  # no other event of this store has these positions
    # One event in ten is of one of ten values; every other value has a single event.
    value = f"if(number % 10 = 0, toString(number % 100), concat(lower(hex(sipHash64(number))), {pad}))"
    row = f"'live', {value}, 'flux', {later_ms}, bitShiftLeft(toUInt64({later_ms}), 20) + number, {value}"
    row += f", map('tag', {value}), map('label', {value}), 'gauge', 1"
    with store.engine.writers.lend() as client:
        for project in (tenant.project, tenant.metrics.project):
            client.command(f"INSERT INTO events ({columns}) SELECT '{project}', {row} FROM numbers({many})")
    tight, small = with_limits(query_max_memory_bytes=80_000_000), with_limits(query_max_memory_bytes=160_000_000)
    dimensions = (Dimension("name"), Dimension("user_id"), Dimension("tag", "tag"), Dimension("tag", "label"))
    for dimension in dimensions:
        with pytest.raises(InvalidRequest, match="more memory"):
            tight.engine.rows(counts.groups(tenant, ALL, dimension))
        found = small.count(tenant, ALL, group_by=dimension)
        assert (found.total, found.truncated, len(found.groups or ())) == (many, True, MAX_GROUPS)
        assert (found.groups or [])[:10] == [(str(each), many // 100) for each in range(0, 100, 10)]
    by_two = (Field("column", ("user_id",)), Field("tag", ("tag",)))
    asked = small.measure_events(tenant, EventQuery(filters=ALL, measure="count", breakdown=by_two, limit=10))
    assert (asked.value, asked.truncated) == (many, True)
    assert asked.groups == [QueryGroup([str(each)] * 2, many // 100) for each in range(0, 100, 10)]
    steps = [[Condition(Field("tag", ("tag",)), "exists", [True])]] * 2
    reached = small.funnel(tenant, FunnelQuery(filters=ALL, steps=steps, window_ms=1)).steps
    assert [step.count for step in reached] == [many * 9 // 10 + 10, 10], "gathered on disk"
    question = Question("0", "gauge", Filters(), ("sum",), None, "tag")
    measured = small.measure(tenant, question)
    assert [(each.key, each.figures) for each in (measured.groups or [])[:10]] == [
        (str(each), [many / 100]) for each in range(0, 100, 10)
    ]
    assert (measured.truncated, len(measured.groups or ())) == (True, MAX_GROUPS)
    listed = small.metrics(tenant)
    assert (len(listed.metrics), round(listed.total / (many * 0.9), 2)) == (MAX_METRICS, 1.0)
    assert listed.metrics[0] == Metric("0", "gauge", many // 100, later_ms, later_ms)
    tight.close()
    small.close()


def test_no_limit_of_queries_holds_for_the_worker(crowd: Tenant) -> None:
    store = with_limits(query_max_memory_bytes=1, query_timeout_s=0.000_001)
    records = records_of(event_of(fresh_tenant()) for _ in range(1000))
    store.insert(records)
    assert store.present(records[0].position - 1, records[-1].position) == {record.id for record in records}
    with pytest.raises((InvalidRequest, Unavailable)):
        store.count(crowd, ALL, group_by=Dimension("user_id"))
    store.close()


def test_an_engine_that_refuses_is_unavailable_and_tells_nothing_of_itself(store: ClickHouseStore) -> None:
    with pytest.raises(Unavailable) as refusal:
        store.engine.ask(Query("SELECT secret FROM nowhere", {}), "JSONCompactEachRow")
    assert refusal.value.message == "The store did not answer."


def test_a_number_out_of_range_is_a_bad_request(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    store.insert(records_of([event_of(tenant)]))
    with pytest.raises(InvalidRequest, match="out of range"):
        store.events(tenant, ALL, Page(limit=1, after=Cursor(NOW_MS, -1)))
    assert store.count(tenant, ALL).total == 1


# Inserts


def test_one_insert_is_one_part_however_large(store: ClickHouseStore) -> None:
    """What is one part is atomic: a crash leaves all of it or nothing."""
    tenant = fresh_tenant()
    for many, size in ((60_000, 300), (30, 1_000_000)):
        records = records_of(
            event_of(tenant, timestamp_ms=number * 86_400_000, properties=f'{{"x":"{"y" * size}"}}')
            for number in range(many)
        )
        store.insert(records)
        bounds = {"first": records[0].position, "last": records[-1].position, "project": tenant.project}
        sql = "SELECT count(), uniqExact(_part) FROM events WHERE project = {project:String} "
        sql += "AND position BETWEEN {first:UInt64} AND {last:UInt64}"
        assert store.engine.rows(Query(sql, bounds)) == [[many, 1]]


def test_a_failed_insert_stores_nothing_of_it_and_the_next_one_works(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    records = records_of(event_of(tenant, name=str(number)) for number in range(1000))
    for broken in (b'{"name":5', b"{}x", b'{"timestamp_ms":"never"}', b""):
        bad = [*records[:500], Record(records[500].position, records[500].tail, broken), *records[501:]]
        with pytest.raises(StoreFailed):
            store.insert(bad)
        assert store.present(records[0].position - 1, records[-1].position) == set()
    store.insert(records)
    assert store.count(tenant, ALL).total == 1000


def test_an_insert_that_finds_no_room_for_its_temporary_file_has_failed(
    store: ClickHouseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = fresh_tenant()
    records = records_of([event_of(tenant)])
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(StoreFailed):
            store.insert(records)
    store.insert(records)
    assert store.count(tenant, ALL).total == 1


def test_an_insert_leaves_no_temporary_file(
    store: ClickHouseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tenant = fresh_tenant()
    store.insert(records_of([event_of(tenant)]))
    with pytest.raises(StoreFailed):
        store.insert([Record(1, 0, b"{")])
    assert list(tmp_path.iterdir()) == []


# Answers


def test_a_tag_answers_the_same_before_and_after_it_gets_a_column_of_its_own(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    given = [
        {"tags": {"wärm's": "a"}},
        {"tags": {"wärm's": ""}, "properties": '{"x":1}'},
        {"labels": {"wärm's": "a"}, "properties": '{"wärm\'s":"a"}'},
        {"numbers": {"wärm's": 1.0}, "properties": '{"wärm\'s":1}'},
        {},
    ]

    def answers(of: ClickHouseStore) -> list[object]:
        return [
            of.count(tenant, ALL, None, Dimension("tag", "wärm's")),
            *(
                (of.count(tenant, found), of.count(tenant, found, "1d"), of.events(tenant, found, Page(limit=9)))
                for found in (Filters(tags=[("wärm's", value)]) for value in ("a", "", "b"))
            ),
        ]

    store.insert(records_of(event_of(tenant, **fields) for fields in given))
    before = answers(store)
    assert before[0] == Counts(5, None, [("a", 2), ("", 1)])
    warm = ClickHouseStore(dsn(), hot_tags=("wärm's",))
    assert warm.own.tag("wärm's")
    assert answers(warm) == before
    warm.insert(records_of(event_of(tenant, **fields) for fields in given))
    assert answers(warm) == answers(store) != before
    warm.close()


def test_a_page_and_its_total_agree_although_events_arrive_between_the_two_questions(
    store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = fresh_tenant()
    store.insert(records_of([event_of(tenant)]))
    ask = store.engine.rows

    def rows(query: Query) -> list[list[object]]:
        answer = ask(query)
        store.insert(records_of([event_of(tenant), event_of(tenant)]))
        return answer

    monkeypatch.setattr(store.engine, "rows", rows)
    for limit, offset in ((9, 0), (2, 0), (9, 2)):
        found = store.events(tenant, ALL, Page(limit=limit, offset=offset))
        assert found.total >= offset + len(found.events) + found.more
        assert found.more or found.total == offset + len(found.events)


def test_of_a_key_sent_twice_a_property_filter_sees_the_first_and_a_tag_filter_the_last(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    twice = event_of(tenant, properties='{"k":"a","n":1,"k":"b","n":2}', labels={"k": "b"}, numbers={"n": 2.0})
    store.insert(records_of([twice]))
    assert store.count(tenant, ALL, group_by=Dimension("property", "k")).groups == [("a", 1)]
    assert store.count(tenant, ALL, group_by=Dimension("tag", "k")).groups == [("b", 1)]
    assert store.stats(tenant, ALL, Dimension("property", "n")).max == 2


@pytest.mark.parametrize(
    "value",
    ["a\0b", "\0", "\\", "\\0", "\\N", "'", "`", '"', "\t\n\r\b\f", "{name:String}", "%s%%", "\u2028", "𝄞", " "],
)
def test_every_text_can_be_asked_for(store: ClickHouseStore, value: str) -> None:
    tenant = fresh_tenant()
    event = event_of(tenant, name=value, user_id=value, tags={value: value}, labels={value + "x": value}, host=value)
    store.insert(records_of([event, event_of(tenant, name=f"{value}.", user_id=f".{value}")]))
    for filters in (
        Filters(name=value),
        Filters(user_id=value),
        Filters(person=value),
        Filters(host=value),
        Filters(tags=[(value, value)]),
        Filters(tags=[(value + "x", value)]),
    ):
        assert store.count(tenant, filters).total == 1
    assert store.count(tenant, Filters(name_prefix=value)).total == 2
    assert store.count(tenant, ALL, group_by=Dimension("tag", value)).groups == [(value, 1)]


def test_hundreds_of_filters_can_be_asked_for_at_once(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    tags = {f"t{number}": str(number) for number in range(60)}
    store.insert(records_of([event_of(tenant, tags=tags, properties='{"a":1}'), event_of(tenant)]))
    assert store.count(tenant, Filters(tags=list(tags.items()) * 5, properties=[("a", "1")] * 50)).total == 1


def test_the_texts_of_string_properties_are_not_read_where_none_has_the_name_of_the_tag(store: ClickHouseStore) -> None:
    # Three names, since the index may take one for another: it is a bloom filter.
    tenant, names = fresh_tenant(), [f"only in tags {number}" for number in range(3)]
    store.insert(records_of([event_of(tenant, tags=dict.fromkeys(names, "a"), labels={"path": "/a"})]))

    def granules(name: str, way: int) -> int:
        ways, params = ways_of(tenant, Filters(tags=[(name, "a")]), NONE_HOT)
        with store.engine.readers.lend() as client:
            sql = f"EXPLAIN indexes = 1 SELECT count() FROM events WHERE {ways[way]}"
            plan = client.raw_query(sql, params, fmt="TabSeparatedRaw").decode()
        return int(re.findall(r"Granules: (\d+)", plan)[-1])

    assert all(granules(name, 0) for name in names)
    assert not all(granules(name, 1) for name in names)


def test_the_first_merge_makes_the_projections_that_inserts_leave_out(store: ClickHouseStore) -> None:
    tenant, month, march_2031_ms = fresh_tenant(), "203103", 1_932_000_000_000
    for number in range(3):
        store.insert([record_at(first_position(march_2031_ms) + number, event_of(tenant))])

    def projections() -> list[str]:
        with store.engine.writers.lend() as client:
            sql = "SELECT name FROM system.projection_parts WHERE active AND partition = {month:String} ORDER BY name"
            return client.raw_query(sql, {"month": month}, fmt="TabSeparated").decode().split()

    assert not projections()
    with store.engine.writers.lend() as client:
        client.command(f"OPTIMIZE TABLE events PARTITION {month} FINAL")
    assert projections() == ["by_slot", "by_time", "by_user"]
    assert store.count(tenant, ALL).total == 3


def test_what_is_erased_goes_from_projections_too_whether_or_not_a_part_has_them(store: ClickHouseStore) -> None:
    tenant, month, may_2031_ms = fresh_tenant(), "203105", 1_937_000_000_000
    records = [
        record_at(
            first_position(may_2031_ms) + number,
            event_of(tenant, name=f"n{number % 3}", user_id=f"u{number % 5}", timestamp_ms=NOW_MS + number * 60_000),
        )
        for number in range(600)
    ]

    def ask(sql: str, settings: str = "") -> str:
        with store.engine.writers.lend() as client:
            where = f"project = '{tenant.project}' AND mode = 'live'"
            return client.raw_query(f"{sql.format(where)} {settings}", fmt="TabSeparated").decode()

    def merge() -> None:
        with store.engine.writers.lend() as client:
            client.command(f"OPTIMIZE TABLE events PARTITION {month} FINAL")

    def assert_only(kept: list[Record]) -> None:
        total = len(kept)
        assert store.count(tenant, ALL).total == store.count(tenant, Filters(from_ms=NOW_MS + 1)).total + 1 == total
        assert sum(hits for _, hits in store.count(tenant, ALL, "5m").series or ()) == total
        assert sum(hits for _, hits in store.count(tenant, ALL, None, Dimension("name")).groups or ()) == total
        expected = Counter(f"u{(record.position - first_position(may_2031_ms)) % 5}" for record in kept)
        for user, hits in expected.items():
            found = store.events(tenant, Filters(user_id=user), Page(limit=1000))
            assert (found.total, len(found.events)) == (hits, hits)
        for sql in (
            "SELECT count() FROM events WHERE {}",
            "SELECT sum(hits) FROM (SELECT slot, count() AS hits FROM events WHERE {} GROUP BY slot)",
            "SELECT sum(hits) FROM (SELECT name, slot, count() AS hits FROM events WHERE {} GROUP BY name, slot)",
            "SELECT count() FROM events WHERE {} AND user_id != ''",
            "SELECT count() FROM (SELECT timestamp FROM events WHERE {} AND user_id != '' ORDER BY user_id, timestamp)",
        ):
            for use in ("optimize_use_projections = 0", "optimize_use_projections = 1, force_optimize_projection = 1"):
                assert ask(sql, f"SETTINGS {use}").split() == [str(total)], (sql, use)
        assert set(store.stored([record.id for record in records])) == {record.id for record in kept}

    store.insert(records[:400])
    merge()
    store.insert(records[400:])
    first = [*range(1, 400, 7), *range(401, 600, 11)]
    store.erase([records[number].id for number in first])
    kept = [record for number, record in enumerate(records) if number not in first]
    assert_only(kept)
    merge()
    assert_only(kept)
    store.erase([record.id for record in kept[1:50]])
    kept = [kept[0], *kept[50:]]
    assert_only(kept)
    parts = f"SELECT sum(rows) FROM system.projection_parts WHERE active AND partition = '{month}' AND name = 'by_user'"
    merged = {record.id for record in records[:400]}  # the later ones are in a part that has no projections yet
    assert ask(parts).split() == [str(sum(record.id in merged for record in kept))], (
        "no erased row is left in their files"
    )
    assert store.damaged() == []


def test_more_ids_than_a_statement_could_hold_are_erased_at_once(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    records = records_of(event_of(tenant) for _ in range(5))
    store.insert(records)
    strangers = [event_id(each, 0) for each in range(200_000)]
    store.erase([*strangers, *(record.id for record in records[:3])])
    assert store.count(tenant, ALL).total == 2


def test_a_probe_leaves_nothing_behind(store: ClickHouseStore) -> None:
    store.probe()
    with store.engine.writers.lend() as client:
        assert client.raw_query("SELECT count() FROM erasing", fmt="TabSeparated").split() == [b"0"]


def test_an_erasure_that_stopped_before_its_ids_were_forgotten_is_ended_by_the_next(store: ClickHouseStore) -> None:
    tenant = fresh_tenant()
    records = records_of(event_of(tenant) for _ in range(3))
    store.insert(records)
    with store.engine.writers.lend() as client:
        row = f"{records[0].position}\t{records[0].tail}".encode()
        client.raw_insert("erasing", ("position", "tail"), insert_block=row, fmt="TabSeparated")
    store.erase([records[1].id])
    assert store.stored([record.id for record in records]) == {records[2].id}
    with store.engine.writers.lend() as client:
        assert client.raw_query("SELECT count() FROM erasing", fmt="TabSeparated").split() == [b"0"]
