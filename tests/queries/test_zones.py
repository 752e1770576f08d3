"""Days, weeks, months and hours of a time zone, against the standard library's zones and its calendar."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import InvalidRequest
from headrace.model.times import EARLIEST_MS, LATEST_MS
from headrace.model.zones import (
    INTERVALS,
    UTC_ZONE,
    WIDTH_MS,
    Interval,
    bucket_of,
    buckets,
    fewest_buckets,
    first_day_of,
    zone_of,
)
from tests.dialects.strategies import examples

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"),
    "America/St_Johns",  # went back at one minute past midnight, so a date came twice
    "Africa/Monrovia",  # 44 minutes and 30 seconds behind until 1972
    "Pacific/Apia",  # has no 2011-12-30
    "Pacific/Kwajalein",  # has no 1993-08-21
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * 1000


# Moments beside changes of the zones above, and any others.
NEAR_CHANGES = st.builds(
    lambda change, beside_ms: change + beside_ms,
    st.sampled_from(
        [
            *map(ms, ("2025-03-30T01:00", "2025-10-26T01:00", "2025-03-09T07:00", "2025-11-02T06:00")),
            *map(ms, ("1985-12-31T18:30", "2025-04-05T15:00", "2025-10-04T15:30", "2006-10-29T02:31")),
            *map(ms, ("1972-01-07T00:44:30", "2011-12-30T10:00", "1993-08-21T12:00")),
        ]
    ),
    st.integers(-2 * DAY_MS, 2 * DAY_MS) | st.integers(-2, 2),
)
moments = st.integers(EARLIEST_MS, LATEST_MS) | NEAR_CHANGES
zones = st.sampled_from(ZONES).map(zone_of)


def local(moment_ms: int, name: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=moment_ms)).astimezone(ZoneInfo(name))


def day_number(moment_ms: int, name: str) -> int:
    return local(moment_ms, name).date().toordinal() - date(1970, 1, 1).toordinal()


@examples(300)
@given(moments, st.sampled_from(ZONES))
def test_a_moment_has_the_offset_and_the_date_that_the_zones_clock_shows(moment: int, name: str) -> None:
    zone = zone_of(name)
    assert timedelta(milliseconds=zone.offset_ms(moment)) == local(moment, name).utcoffset()
    assert zone.day(moment) == day_number(moment, name)


@examples(200)
@given(moments, st.sampled_from(ZONES), st.lists(st.integers(0, 3 * DAY_MS), max_size=5))
def test_a_day_is_from_its_first_moment_to_its_last(moment: int, name: str, beside: list[int]) -> None:
    zone = zone_of(name)
    day = day_number(moment, name)
    first, last = zone.first_of_day(day), zone.last_of_day(day)
    assert first <= moment <= last
    assert [day_number(each, name) for each in (first, last)] == [day, day]
    assert all(day_number(first - 1 - each, name) < day < day_number(last + 1 + each, name) for each in beside)


def test_a_date_that_a_zone_skipped_is_where_the_next_one_begins_and_the_one_before_ends() -> None:
    apia, skipped = zone_of("Pacific/Apia"), date(2011, 12, 30).toordinal() - date(1970, 1, 1).toordinal()
    assert apia.first_of_day(skipped) == apia.first_of_day(skipped + 1) == ms("2011-12-30T10:00")
    assert apia.last_of_day(skipped) == apia.last_of_day(skipped - 1) == ms("2011-12-30T10:00") - 1


@examples(200)
@given(moments, zones, st.sampled_from(list(WIDTH_MS)))
def test_minutes_and_hours_begin_at_whole_ones_of_the_zones_clock_or_where_it_is_changed(
    moment: int, zone: object, interval: Interval
) -> None:
    start, width = bucket_of(moment, interval, zone), WIDTH_MS[interval]
    assert 0 <= moment - start < width
    assert zone.offset_ms(start) == zone.offset_ms(moment)
    is_whole = (start + zone.offset_ms(start)) % width == 0
    assert is_whole or zone.offset_ms(start - 1) != zone.offset_ms(start)
    assert bucket_of(start, interval, zone) == start


@examples(200)
@given(st.integers(-40, 106_690))
def test_weeks_begin_on_mondays_and_months_on_their_first(day: int) -> None:
    def dated(number: int) -> date:
        return date(1970, 1, 1) + timedelta(days=number)

    week, month = first_day_of(day, "1w"), first_day_of(day, "1M")
    assert dated(week).weekday() == 0
    assert 0 <= day - week < 7
    assert dated(month) == dated(day).replace(day=1)
    assert first_day_of(day, "1d") == day


@examples(100)
@given(moments, zones, st.sampled_from(["1d", "1w", "1M"]))
def test_a_day_week_or_month_begins_with_the_first_moment_of_its_first_date(
    moment: int, zone: object, interval: Interval
) -> None:
    assert bucket_of(moment, interval, zone) == zone.first_of_day(first_day_of(zone.day(moment), interval))


@examples(100)
@given(moments, zones, st.sampled_from(INTERVALS), st.integers(0, 40), st.integers(-7, 7))
def test_the_buckets_of_a_span_are_those_that_its_moments_fall_into(
    first: int, zone: object, interval: Interval, steps: int, more_ms: int
) -> None:
    step = min(WIDTH_MS.get(interval, DAY_MS), {"1h": 900_000}.get(interval, DAY_MS)) // 2
    last = first + steps * step + more_ms
    found = list(buckets(first, last, interval, zone))
    looked_at = [*range(first, last, step // 6), *([last] if last >= first else [])]
    assert found == sorted({bucket_of(each, interval, zone) for each in looked_at})
    assert fewest_buckets(first, last, interval) <= len(found)


def test_a_skipped_date_has_no_bucket_of_its_own() -> None:
    apia = zone_of("Pacific/Apia")
    found = list(buckets(ms("2011-12-29T10:00"), ms("2011-12-31T10:00") - 1, "1d", apia))
    assert found == [ms("2011-12-29T10:00"), ms("2011-12-30T10:00")]


@pytest.mark.parametrize(
    ("interval", "length_ms", "fewest"),
    [
        *(("1m", 60_000, 1000), ("5m", 300_000, 1000), ("1h", HOUR_MS, 1000)),
        *(("1d", DAY_MS, 998), ("1w", 7 * DAY_MS, 999), ("1M", 31 * DAY_MS, 999)),
    ],
)
def test_a_span_is_known_to_have_about_as_many_buckets_as_it_is_long(
    interval: Interval, length_ms: int, fewest: int
) -> None:
    assert fewest_buckets(5, 5 + 1000 * length_ms, interval) == fewest
    assert fewest_buckets(5, 4 + 1000 * length_ms, interval) == fewest - (interval in WIDTH_MS or interval == "1d")
    assert fewest_buckets(5, 5, interval) == fewest_buckets(5, 4, interval) == 0


@pytest.mark.parametrize("name", ["", "Mars/Base", "localtime", "posixrules", "Factory", "../etc/passwd", "x" * 65])
def test_a_name_of_no_zone_is_refused_and_shown_as_far_as_it_may_be_long(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        zone_of(name)
    assert refused.value.message == f"'tz' must be an IANA time zone such as Europe/Berlin; it is {name[:64]!r}."


def test_utc_is_the_zone_of_that_name() -> None:
    assert zone_of("UTC") == UTC_ZONE
