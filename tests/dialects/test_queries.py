"""Queries: any parameters are understood or refused, and what was understood is within the bounds."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.dialects import flux_queries, hogsend
from headrace.dialects.wire import Pairs
from headrace.model.errors import HeadraceError, InvalidRequest
from headrace.model.event import StoredEvent, event_id
from headrace.model.filters import Counts, Cursor, Events, Filters, Page
from headrace.model.times import LATEST_MS, render_time
from headrace.model.zones import INTERVALS
from tests.dialects.given import NOW_MS
from tests.dialects.strategies import examples
from tests.fakes import bucket

PARSERS: dict[str, Callable[[Pairs], Any]] = {
    "flux list": lambda pairs: flux_queries.parse_list(pairs, NOW_MS),
    "flux count": lambda pairs: flux_queries.parse_count(pairs, NOW_MS),
    "flux stats": lambda pairs: flux_queries.parse_stats(pairs, NOW_MS),
    "hogsend list": hogsend.parse_list,
}
names = st.one_of(
    st.sampled_from(
        [
            *(
                "name",
                "event",
                "from",
                "to",
                "since",
                "until",
                "tz",
                "user_id",
                "userId",
                "limit",
                "offset",
                "cursor",
                "source",
            ),
            *(
                "interval",
                "group_by",
                "field",
                "fill",
                "session_id",
                "tags[a]",
                "tags[]",
                "properties[b]",
                "tags[",
                "x",
            ),
        ]
    ),
    st.text(max_size=10),
    st.builds("{}[{}]".format, st.sampled_from(["tags", "properties"]), st.text(max_size=5)),
)
values = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                "a",
                "*",
                "a*",
                "0",
                "-1",
                "5",
                "1e3",
                "9" * 25,
                "-" + "9" * 5000,
                "15m",
                "999999w",
                "true",
                "1h",
                "1m",
                "1w",
                "1M",
                "Europe/Berlin",
            ),
            *("2024-01-15", "2024-01-15T10:30:00+01:00", "1969-12-31", "9999-01-01", "tags.", "tags.a", "properties.b"),
            *("value", "name", "user_id", "MTcw", "LTUuLTY=", "====", "\ud800", "é", "\0", "٥"),
        ]
    ),
    st.text(max_size=20),
    st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
)
pairs = st.lists(st.tuples(names, values), max_size=8)


def _check(query: Any) -> None:
    filters: Filters = query.filters
    for moment in (filters.from_ms, filters.to_ms):
        assert moment is None or 0 <= moment <= LATEST_MS
    for field in ("name", "name_prefix", "user_id", "person", "source", "session_id", "environment", "service", "host"):
        assert getattr(filters, field) != ""
    page: Page = getattr(query, "page", Page(limit=1))
    assert 1 <= page.limit <= 1000
    assert 0 <= page.offset <= 10**18
    assert page.after is None or (0 <= page.after.timestamp_ms < 2**63 and 0 <= page.after.position < 2**64)
    interval = getattr(query, "interval", None)
    assert interval is None or interval in INTERVALS


@pytest.mark.parametrize("route", PARSERS)
def test_any_parameters_are_understood_or_refused_with_an_error_of_ours(route: str) -> None:
    @examples(100)
    @given(pairs)
    def law(given_pairs: list[tuple[str, str]]) -> None:
        try:
            query = PARSERS[route](given_pairs)
        except HeadraceError:
            return
        _check(query)

    law()


@pytest.mark.parametrize("route", PARSERS)
def test_any_query_string_is_understood_or_refused_with_an_error_of_ours(route: str) -> None:
    @examples(60)
    @given(st.text(max_size=60))
    def law(query_string: str) -> None:
        try:
            query = PARSERS[route](parse_qsl(query_string, keep_blank_values=True))
        except HeadraceError:
            return
        _check(query)

    law()


_texts = st.text(min_size=1, max_size=10)


@examples(60)
@given(
    st.dictionaries(st.sampled_from(["user_id", "session_id", "environment", "service", "host"]), _texts),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4),
    st.integers(0, LATEST_MS),
    st.integers(0, LATEST_MS),
)
def test_filters_say_what_was_asked_whatever_the_characters(
    plain: dict[str, str],
    tags: list[tuple[str, str]],
    properties: list[tuple[str, str]],
    from_ms: int,
    to_ms: int,
) -> None:
    asked = [
        *plain.items(),
        *((f"tags[{key}]", value) for key, value in tags),
        *((f"properties[{key}]", value) for key, value in properties),
        ("from", render_time(from_ms)),
        ("to", render_time(to_ms)),
    ]
    query_string = "&".join(f"{quote(name)}={quote(value)}" for name, value in asked)
    sent = parse_qsl(query_string, keep_blank_values=True, errors="strict")
    expected = Filters(**plain, tags=tuple(tags), properties=tuple(properties), from_ms=from_ms, to_ms=to_ms)
    assert flux_queries.parse_filters(sent, NOW_MS) == expected


@examples(60)
@given(_texts)
def test_a_name_is_exact_unless_it_ends_in_a_star(name: str) -> None:
    filters = flux_queries.parse_filters([("name", name)], NOW_MS)
    if name.endswith("*"):
        assert (filters.name, filters.name_prefix) == (None, name[:-1] or None)
    else:
        assert (filters.name, filters.name_prefix) == (name, None)
    starred = flux_queries.parse_filters([("name", f"{name}*")], NOW_MS)
    assert (starred.name, starred.name_prefix) == (None, name)
    assert hogsend.parse_list([("event", name)]).filters.name == name


@examples(60)
@given(st.integers(-(10**40), 10**40))
def test_flux_clamps_a_limit_and_hogsend_refuses_one_out_of_range(limit: int) -> None:
    sent = [("limit", str(limit))]
    assert flux_queries.parse_list(sent, NOW_MS).page.limit == min(max(limit, 1), 1000)
    if 1 <= limit <= 100:
        assert hogsend.parse_list(sent).page.limit == limit
    else:
        with pytest.raises(InvalidRequest, match="'limit' must be 1 to 100"):
            hogsend.parse_list(sent)


@pytest.mark.parametrize("parse", [lambda sent: flux_queries.parse_list(sent, NOW_MS), hogsend.parse_list])
@pytest.mark.parametrize(("text", "offset"), [("0", 0), ("7", 7), ("007", 7), ("%2B7", None), ("9" * 200, 10**18)])
def test_an_offset_is_a_whole_number_from_0_on(parse: Callable[[Pairs], Any], text: str, offset: int | None) -> None:
    if offset is None:
        with pytest.raises(InvalidRequest, match="'offset' must be a whole number"):
            parse([("offset", text)])
    else:
        assert parse([("offset", text)]).page.offset == offset


def _stored(timestamp_ms: int, position: int) -> StoredEvent:
    return StoredEvent(
        project="default",
        mode="live",
        source="flux",
        name="a",
        timestamp_ms=timestamp_ms,
        id=event_id(position, 0),
        position=position,
    )


@examples(60)
@given(st.integers(0, LATEST_MS), st.integers(0, LATEST_MS << 20))
def test_a_cursor_leads_to_what_comes_after_the_last_event_shown(timestamp_ms: int, position: int) -> None:
    start = flux_queries.parse_list([("cursor", ""), ("limit", "1")], NOW_MS)
    assert start.page == Page(limit=1, brief=True)
    reply = json.loads(flux_queries.render_list(start, Events(2, [_stored(timestamp_ms, position)], more=True)))
    following = flux_queries.parse_list([("cursor", reply["meta"]["next_cursor"]), ("limit", "1")], NOW_MS)
    assert following.page == Page(limit=1, brief=True, after=Cursor(timestamp_ms, position))


def test_there_is_no_cursor_unless_it_was_asked_for_and_more_exist() -> None:
    events = [_stored(0, 1)]
    for sent, more in (([], True), ([("cursor", "")], False)):
        reply = flux_queries.render_list(flux_queries.parse_list(sent, NOW_MS), Events(2, events, more=more))
        assert "next_cursor" not in json.loads(reply)["meta"]


WIDTHS_MS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}


def _count(interval: str, from_text: str, to_text: str, zone: str = "") -> flux_queries.CountQuery:
    sent = [("interval", interval), ("fill", "true"), ("from", from_text), ("to", to_text), ("tz", zone)]
    return flux_queries.parse_count(sent, NOW_MS)


def _filled(query: flux_queries.CountQuery, series: list[tuple[int, int]]) -> list[str]:
    return [
        row["timestamp"] for row in json.loads(flux_queries.render_count(query, Counts(0, series)))["data"]["series"]
    ]


def test_fill_gives_10000_buckets_and_refuses_one_more() -> None:
    fits = _count("1m", "2024-01-01T00:00:00Z", "2024-01-07T22:39:59.999Z")
    series = json.loads(flux_queries.render_count(fits, Counts(0, [])))["data"]["series"]
    assert len(series) == 10_000
    assert series[-1] == {"timestamp": "2024-01-07T22:39:00Z", "count": 0}
    with pytest.raises(InvalidRequest, match="more than 10000 buckets"):
        flux_queries.render_count(_count("1m", "2024-01-01T00:00:00Z", "2024-01-07T22:40:00Z"), Counts(0, []))
    with pytest.raises(InvalidRequest, match="more than 10000 buckets"):
        flux_queries.render_count(
            flux_queries.parse_count([("interval", "1m"), ("fill", "true")], NOW_MS), Counts(2, [(0, 1), (10**9, 1)])
        )


def test_fill_that_no_answer_could_satisfy_is_refused_before_the_store_is_asked() -> None:
    for interval, last in (("1m", "2024-01-09"), ("1h", "2025-03-01"), ("1d", "2053-01-01")):
        with pytest.raises(InvalidRequest, match="more than 10000 buckets"):
            _count(interval, "2024-01-01", last)


def test_filled_days_weeks_and_months_begin_at_the_zone_s_midnight_and_go_right_across_a_change_of_clocks() -> None:
    days = _filled(_count("1d", "2025-03-29", "2025-03-31", "Europe/Berlin"), [])
    assert days == ["2025-03-28T23:00:00Z", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"]
    weeks = _filled(_count("1w", "2025-10-26", "2025-10-27", "Europe/Berlin"), [])
    assert weeks == ["2025-10-19T22:00:00Z", "2025-10-26T23:00:00Z"]
    months = _filled(_count("1M", "2025-03-31", "2025-04-01", "America/New_York"), [])
    assert months == ["2025-03-01T05:00:00Z", "2025-04-01T04:00:00Z"]
    hours = _filled(_count("1h", "2025-10-26T00:00Z", "2025-10-26T02:59Z", "Europe/Berlin"), [])
    assert hours == ["2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z"], "two o'clock came twice"
    assert len(_filled(_count("1h", "2025-03-30", "2025-03-30", "Europe/Berlin"), [])) == 23
    assert len(_filled(_count("1h", "2025-10-26", "2025-10-26", "Europe/Berlin"), [])) == 25
    assert _filled(_count("1h", "2025-04-05T14:00Z", "2025-04-05T15:29Z", "Australia/Lord_Howe"), []) == [
        "2025-04-05T14:00:00Z", "2025-04-05T15:00:00Z",
    ]  # fmt: skip


@examples(60)
@given(
    st.sampled_from(INTERVALS),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"]),
    st.integers(1_300_000_000_000, 1_330_000_000_000) | st.integers(0, 1_900_000_000_000),
    st.integers(0, 300),
)
def test_every_event_s_bucket_is_one_of_the_filled_ones(interval: str, zone: str, start_ms: int, steps: int) -> None:
    width_ms = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000}.get(interval, 86_400_000)
    end_ms = start_ms + steps * width_ms
    filled = _filled(_count(interval, render_time(start_ms), render_time(end_ms), zone), [])
    seen = {bucket(start_ms + step * (width_ms // 3), interval, zone) for step in range(steps * 3 + 1)}  # pyright: ignore[reportArgumentType]
    assert filled == sorted(filled)
    assert {render_time(start).replace(".000Z", "Z") for start in seen} <= set(filled)
    if zone != "Australia/Lord_Howe":
        assert len(filled) == len(seen)


def test_a_date_alone_is_the_zone_s_day_and_anything_with_a_time_is_not_moved() -> None:
    def bounds(**sent: str) -> tuple[str, str]:
        pairs = [("from", sent["since"]), ("to", sent["upto"]), ("tz", sent["zone"])]
        flux_filters = flux_queries.parse_filters(pairs, NOW_MS)
        assert hogsend.parse_list(pairs).filters == flux_filters
        assert (
            flux_queries.parse_filters([("since", pairs[0][1]), ("until", pairs[1][1]), pairs[2]], NOW_MS)
            == flux_filters
        )
        return render_time(flux_filters.from_ms or 0), render_time(flux_filters.to_ms or 0)

    assert bounds(since="2025-03-30", upto="2025-03-30", zone="Europe/Berlin") == (
        "2025-03-29T23:00:00.000Z",
        "2025-03-30T21:59:59.999Z",
    )
    assert bounds(since="2018-11-04", upto="2018-11-03", zone="America/Sao_Paulo") == (
        "2018-11-04T03:00:00.000Z",
        "2018-11-04T02:59:59.999Z",
    )
    assert (
        bounds(since="2025-03-30T05:00", upto="2025-03-30T05:00Z", zone="Asia/Tokyo")
        == ("2025-03-30T05:00:00.000Z",) * 2
    )
    assert bounds(since="1970-01-01", upto="2261-12-31", zone="Asia/Tokyo")[0] == "1970-01-01T00:00:00.000Z"
    assert bounds(since="1970-01-01", upto="2261-12-31", zone="America/Lima")[1] == render_time(LATEST_MS)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "europe/berlin", "é", "\0", "x" * 999, "+01:00"]
)
def test_what_is_no_zone_is_refused_in_words_of_ours(name: str) -> None:
    for parse in (flux_queries.parse_list, flux_queries.parse_count, flux_queries.parse_stats):
        with pytest.raises(InvalidRequest, match="'tz' must be an IANA time zone"):
            parse([("tz", name)], NOW_MS)
    with pytest.raises(InvalidRequest, match="'tz' must be an IANA time zone"):
        hogsend.parse_list([("tz", name)])


@examples(60)
@given(
    st.sampled_from(sorted(WIDTHS_MS)),
    st.integers(0, 10**12),
    st.integers(0, 200),
    st.integers(0, 10**6),
    st.dictionaries(st.integers(0, 200), st.integers(1, 9)),
)
def test_a_filled_series_has_every_bucket_from_first_to_last_and_the_same_counts(
    interval: str, start_ms: int, buckets: int, slack_ms: int, found: dict[int, int]
) -> None:
    width_ms = WIDTHS_MS[interval]
    first = start_ms // width_ms * width_ms
    end_ms = start_ms + buckets * width_ms + slack_ms % width_ms
    series = sorted(
        (first + index * width_ms, count) for index, count in found.items() if first + index * width_ms <= end_ms
    )
    query = _count(interval, render_time(start_ms), render_time(end_ms))
    filled = json.loads(flux_queries.render_count(query, Counts(0, series)))["data"]["series"]

    expected = range(first, end_ms + 1, width_ms)
    assert [row["timestamp"] for row in filled] == [render_time(each).replace(".000Z", "Z") for each in expected]
    assert [row["count"] for row in filled] == [dict(series).get(each, 0) for each in expected]


def test_an_upper_bound_before_the_lower_one_fills_nothing() -> None:
    query = _count("1d", "2024-01-02", "2024-01-01")
    assert json.loads(flux_queries.render_count(query, Counts(0, []))) == {"data": {"total": 0, "series": []}}


@examples(60)
@given(st.text(max_size=20))
def test_any_group_and_any_field_name_one_thing_or_are_refused(text: str) -> None:
    if text in ("", "tags.", "properties."):
        return
    group = flux_queries.parse_count([("group_by", text)], NOW_MS).group_by
    assert group is not None
    assert group.key in text
    field = flux_queries.parse_stats([("field", text)], NOW_MS).field
    assert (field.kind, field.key) == (
        ("value", "") if text == "value" else ("property", text.removeprefix("properties."))
    )
