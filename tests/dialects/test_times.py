"""Times: every form that the contract names, against arithmetic of the test's own; and what is no time."""

from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.model.errors import InvalidTimestamp
from headrace.model.times import EARLIEST_MS, LATEST_MS, parse_ago, parse_time, render_time, render_time_short
from headrace.model.zones import zone_of
from tests.dialects.given import NOW_MS
from tests.dialects.strategies import examples

DAY_MS = 86_400_000
milliseconds = st.integers(EARLIEST_MS, LATEST_MS)


def _reference(day: date, hour: int, minute: int, second: int, fraction: str, offset_minutes: int) -> int:
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second
    return seconds * 1000 + int((fraction + "000")[:3])


@examples(200)
@given(
    day=st.dates(date(1960, 1, 1), date(2270, 12, 31)),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    second=st.integers(0, 59),
    fraction=st.text("0123456789", max_size=12),
    offset=st.one_of(st.none(), st.just(0), st.integers(-23 * 60 - 59, 23 * 60 + 59)),
    separator=st.sampled_from("Tt "),
    basic_date=st.booleans(),
    basic_time=st.booleans(),
    zone=st.sampled_from(["{}{:02d}:{:02d}", "{}{:02d}{:02d}"]),
    blank_plus=st.booleans(),
)
def test_a_time_in_any_accepted_form_is_its_milliseconds(
    day: date,
    hour: int,
    minute: int,
    second: int,
    fraction: str,
    offset: int | None,
    separator: str,
    basic_date: bool,
    basic_time: bool,
    zone: str,
    blank_plus: bool,
) -> None:
    text = day.strftime("%Y%m%d" if basic_date else "%Y-%m-%d") + separator
    text += (f"{hour:02d}{minute:02d}{second:02d}" if basic_time else f"{hour:02d}:{minute:02d}:{second:02d}") + (
        f".{fraction}" if fraction else ""
    )
    if offset is not None:
        sign = "-" if offset < 0 else " " if blank_plus else "+"
        text += zone.format(sign, *divmod(abs(offset), 60))
    expected = _reference(day, hour, minute, second, fraction, offset or 0)
    if EARLIEST_MS <= expected <= LATEST_MS:
        assert parse_time(text) == expected
    else:
        with pytest.raises(InvalidTimestamp):
            parse_time(text)


@examples(200)
@given(milliseconds)
def test_a_rendered_time_parses_to_the_same_millisecond(moment: int) -> None:
    assert parse_time(render_time(moment)) == moment
    assert parse_time(render_time_short(moment)) == moment
    assert len(render_time(moment)) == len("2025-01-15T10:30:00.000Z")
    assert render_time_short(moment) == render_time(moment).replace(".000Z", "Z")


@pytest.mark.parametrize("moment", [EARLIEST_MS, 1, 999, DAY_MS - 1, DAY_MS, LATEST_MS - 1, LATEST_MS])
def test_the_edges_of_the_range_are_within_it(moment: int) -> None:
    assert parse_time(render_time(moment)) == moment


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15t10:30:00z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15 10:30:00Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15", "2024-01-15T00:00:00.000Z"),
        ("20240115", "2024-01-15T00:00:00.000Z"),
        ("20240115T103000Z", "2024-01-15T10:30:00.000Z"),
        ("20240115T1030", "2024-01-15T10:30:00.000Z"),
        ("20240115T103000.25+0530", "2024-01-15T05:00:00.250Z"),
        ("2024-01-15T10:30:00.1Z", "2024-01-15T10:30:00.100Z"),
        ("2024-01-15T10:30:00.9999999999Z", "2024-01-15T10:30:00.999Z"),
        ("2024-01-15T10:30:00.000999Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00+00:00", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00-00:00", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00+0000", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00+05", "2024-01-15T05:30:00.000Z"),
        ("2024-01-15T10:30:00 05:30", "2024-01-15T05:00:00.000Z"),
        ("2024-01-15T10:30:00-23:59", "2024-01-16T10:29:00.000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2017-01-01T00:59:60.5+01:00", "2017-01-01T00:00:00.500Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ("1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00.000Z"),
        ("2261-12-31T23:59:59.999Z", "2261-12-31T23:59:59.999Z"),
    ],
)
def test_the_forms_of_time(text: str, rendered: str) -> None:
    assert render_time(parse_time(text)) == rendered


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "now",
            "yesterday",
            "null",
            "Z",
            "T10:30:00Z",
            "10:30:00",
            "2024",
            "2024-01",
            "202401",
            "1705314600",
        ),
        *("1705314600000", "2024-1-15", "24-01-15", "2024-13-01", "2024-00-01", "2024-01-00", "2024-01-32"),
        *("2023-02-29", "2024-02-30T00:00:00Z", "2024-04-31", "2024-01-15T24:00:00Z", "2024-01-15T25:00:00Z"),
        *("2024-01-15T10:60:00Z", "2024-01-15T10:30:61Z", "2024-01-15T10:30:60Z", "2024-01-15T23:59:60+01:00"),
        *("2024-01-15T10", "2024-01-15T10Z", "2024-01-15T", "2024-01-15Z", "2024-01-15+01:00", "2024-01-15T10:30:00."),
        *("2024-01-15T10:30:00.Z", "2024-01-15T10:30.5Z", "2024-01-15T10:30:00,5Z", "2024-01-15T10:30:00.5.5Z"),
        *("2024-01-15T10:30:00ZZ", "2024-01-15T10:30:00 Z", " 2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z\n"),
        *("2024-01-15T10:30:00+24:00", "2024-01-15T10:30:00+99:00", "2024-01-15T10:30:00+01:60"),
        *("2024-01-15T10:30:00+1", "2024-01-15T10:30:00+1:00", "2024-01-15T10:30:00+01:0", "2024-01-15T10:30:00+"),
        *("2024-01-15T10:30:00 UTC", "2024-01-15T10:30:00[UTC]", "2024-01-15T10:30:00Europe/Berlin"),
        *("2024-01-15  10:30:00Z", "2024-01-15_10:30:00Z", "2024/01/15", "15.01.2024", "Mon, 15 Jan 2024 10:30:00 GMT"),
        *("2024-W03-1", "2024-W03-1T10:30:00Z", "2024-015", "2024015", "-2024-01-15", "+2024-01-15", "+002024-01-15"),
        *(
            "２０２４-01-15",
            "2024-01-15T10:30:00٠Z",
            "٢٠٢٤-٠١-١٥",
            "2024\u201301\u201315",
            "2024-01-15T10:30:00\u221201:00",
        ),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00+00:01"),
        *("1969-12-31T23:59:60Z", "2262-01-01T00:00:00Z", "2261-12-31T23:59:59-00:01", "2261-12-31T23:59:60Z"),
        *(
            "9999-12-31T23:59:59-23:59",
            "2024-01-15T10:30:00." + "1" * 100 + "Z",
            "2024-01-15T10:30:00Z" * 1000,
            "\ud800",
        ),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimestamp) as refusal:
        parse_time(text, "from")
    assert refusal.value.message.startswith("'from' is ")
    assert len(refusal.value.message) < 250
    with pytest.raises(InvalidTimestamp):
        parse_time(text, end_of_day=True)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 1705314600, 1705314600.5, 10**5000, b"2024-01-15", [], ["2024-01-15"], {}],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_string_is_no_time(value: object) -> None:
    with pytest.raises(InvalidTimestamp, match="'timestamp' must be a string"):
        parse_time(value)


@examples(200)
@given(st.one_of(st.text(max_size=70), st.text("0123456789-:.TZtz+ ", max_size=40)))
def test_any_text_is_a_time_within_the_range_or_refused(text: str) -> None:
    with suppress(InvalidTimestamp):
        assert EARLIEST_MS <= parse_time(text) <= LATEST_MS


@examples(100)
@given(st.dates(date(1970, 1, 1), date(2261, 12, 31)), st.booleans())
@example(date(1970, 1, 1), False)
@example(date(2261, 12, 31), True)
def test_a_date_alone_is_its_first_millisecond_and_as_an_upper_bound_its_last(day: date, basic: bool) -> None:
    text = day.strftime("%Y%m%d" if basic else "%Y-%m-%d")
    first = (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS
    assert parse_time(text) == first
    assert parse_time(text, end_of_day=True) == first + DAY_MS - 1


def test_the_first_and_the_last_date_of_a_zone_reach_as_far_as_events_can() -> None:
    east, west = zone_of("Asia/Tokyo"), zone_of("America/New_York")
    assert parse_time("1970-01-01", zone=east) == EARLIEST_MS
    assert parse_time("1970-01-01", zone=west) == 5 * 3_600_000
    assert parse_time("1970-01-01", zone=east, end_of_day=True) == 15 * 3_600_000 - 1
    assert parse_time("2261-12-31", zone=west, end_of_day=True) == LATEST_MS
    assert parse_time("2261-12-31", zone=east, end_of_day=True) == LATEST_MS - 9 * 3_600_000


@examples(100)
@given(milliseconds)
def test_an_upper_bound_with_a_time_of_day_stays_as_it_is(moment: int) -> None:
    text = render_time(moment)
    for form in (text, text.replace("T", " ").removesuffix("Z"), text.replace("-", "").replace(":", "")):
        assert parse_time(form, end_of_day=True) == moment


@examples(100)
@given(st.integers(0, 999_999), st.sampled_from("smhdw"))
def test_a_span_is_as_long_before_now_but_not_before_1970(count: int, unit: str) -> None:
    length_ms = count * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[unit] * 1000
    assert parse_ago(f"{count}{unit}", NOW_MS, "since") == max(0, NOW_MS - length_ms)


@pytest.mark.parametrize(
    "text", ["7", "d", "7y", "7M", "-7d", "+7d", "7 d", "7d ", "1.5h", "1h30m", "0x7d", "٧d", "1234567s"]
)
def test_what_is_no_span_and_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimestamp, match="'since'"):
        parse_ago(text, NOW_MS, "since")


@examples(100)
@given(st.text(max_size=30))
def test_any_span_is_a_time_or_refused(text: str) -> None:
    with suppress(InvalidTimestamp):
        assert EARLIEST_MS <= parse_ago(text, NOW_MS, "since") <= LATEST_MS


@examples(300)
@given(st.integers(0, 1 << 33), st.sampled_from([0, 1, 999, 1000, 499_999, 999_000, 999_001, 999_999]))
def test_a_fraction_is_cut_and_never_rounded_up(seconds: int, microseconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
    assert parse_time(moment.isoformat(timespec="microseconds")) == seconds * 1000 + microseconds // 1000
