"""Times as languages print them: read in the dialects of SDKs, and refused where RFC 3339 is awaited."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.dialects import amplitude, flux, flux_metrics, hogsend_data, mixpanel, posthog, segment
from headrace.model.errors import InvalidTimestamp
from headrace.model.printed_times import printed_time
from headrace.model.times import parse_time, render_time
from tests.dialects.given import NOW_MS, context
from tests.dialects.strategies import examples

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("2024-01-15 10:30:00 +0100", "2024-01-15T09:30:00.000Z"),
        ("2024-01-15 10:30:00 -0530", "2024-01-15T16:00:00.000Z"),
        ("2024-01-15 10:30:00 UTC", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15 10:30:00.123456789 +0100", "2024-01-15T09:30:00.123Z"),
        ("2024-01-15 10:30:00.5 +0100 CET m=+0.000018", "2024-01-15T09:30:00.500Z"),
        ("2024-01-15 10:30:00 +0000 UTC", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00 UTC", "2024-01-15T10:30:00.000Z"),
        ("Mon, 15 Jan 2024 10:30:00 GMT", "2024-01-15T10:30:00.000Z"),
        ("Mon, 15 Jan 2024 10:30:00 +0100", "2024-01-15T09:30:00.000Z"),
        ("5 Feb 2024 10:30:00 UTC", "2024-02-05T10:30:00.000Z"),
        ("Monday, 15-Jan-24 10:30:00 GMT", "2024-01-15T10:30:00.000Z"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"),
        ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z"),
        ("Mon Jan 15 10:30:00 2024", "2024-01-15T10:30:00.000Z"),
        ("Mon Jan 15 2024 10:30:00 GMT+0100 (Central European Standard Time)", "2024-01-15T09:30:00.000Z"),
        ("Mon Jan 15 2024 10:30:00 GMT-0330 (heure de Terre-Neuve)", "2024-01-15T14:00:00.000Z"),
        ("Mon Jan 15 2024 10:30:00 GMT+0000", "2024-01-15T10:30:00.000Z"),
        ("Mon Jan 15 2024 10:30:00 GMT", "2024-01-15T10:30:00.000Z"),
    ],
)
def test_a_printed_time_is_its_moment_in_every_sdks_dialect_and_no_rfc_3339(text: str, rendered: str) -> None:
    moment = printed_time(text)
    assert moment is not None
    assert render_time(moment) == rendered
    with pytest.raises(InvalidTimestamp):
        parse_time(text)
    with pytest.raises(InvalidTimestamp):
        flux.parse_track(b'{"name":"a","timestamp":"%b"}' % text.encode(), context())
    sent = text.encode()
    for batch in (
        segment.parse_batch(
            b'{"batch":[{"type":"track","event":"a","userId":"u","timestamp":"%b"}]}' % sent, context()
        ),
        posthog.parse(b'{"event":"a","distinct_id":"u","timestamp":"%b"}' % sent, context()),
        amplitude.parse(b'{"events":[{"event_type":"a","user_id":"u","time":"%b"}]}' % sent, context()),
        mixpanel.parse_track(b'{"event":"a","properties":{"distinct_id":"u","time":"%b"}}' % sent, context()),
        hogsend_data.parse_event(b'{"name":"a","userId":"u","timestamp":"%b"}' % sent, context()),
        flux_metrics.parse_gem(b'{"events":[{"name":"a","timestamp":"%b"}]}' % sent, context()),
        flux_metrics.parse_gem(b'{"metrics":[{"name":"a","type":"counter","timestamp":"%b"}]}' % sent, context()),
    ):
        assert [render_time(item.event.timestamp_ms) for item in batch.items] == [rendered]


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "Mon", "2024-01-15", "2024-01-15 10:30:00", "2024-01-15 10:30:00 CET", "2024-02-30 10:30:00 UTC"),
        *(
            "2024-01-15 25:30:00 UTC",
            "2024-01-15 10:30:00 +9900",
            "2024-01-15 10:30:00 +0160",
            "1969-12-31 23:59:59 UTC",
        ),
        *("Mon, 15 Foo 2024 10:30:00 GMT", "Mon, 32 Jan 2024 10:30:00 GMT", "Mon, 15 Jan 2024 10:30:00 CEST"),
        *(
            "15/01/2024",
            "01/15/2024 10:30",
            "Mon Jan 15 2024",
            "Mon Jan 15 2024 10:30:00 GMT+1",
            "2999-01-15 10:30:00 UTC",
        ),
        "Mon Jan 15 2024 10:30:00 GMT+0100 (" + "x" * 200 + ")",
    ],
)
def test_what_no_language_prints_is_no_time(text: str) -> None:
    assert printed_time(text) is None


@examples(200)
@given(
    moment=st.datetimes(datetime(1970, 1, 3), datetime(2069, 12, 30)),  # noqa: DTZ001  hypothesis adds the zone
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_every_moment_is_read_as_python_prints_it_for_each_form(moment: datetime, offset: int) -> None:
    at = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    expected = (at - _EPOCH) // timedelta(milliseconds=1)
    utc = at.astimezone(UTC)
    for text in (
        at.strftime("%Y-%m-%d %H:%M:%S %z"),
        format_datetime(at),
        format_datetime(utc, usegmt=True),
        utc.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        utc.ctime(),
        at.strftime("%a %b %d %Y %H:%M:%S GMT%z (Somewhere)"),
    ):
        assert printed_time(text) == expected, text


@pytest.mark.parametrize("value", ['"yesterday"', "1705314600", "true", '"1969-12-31T23:59:59Z"', "[]", '"2024-13-01"'])
def test_a_time_that_cannot_be_read_is_the_time_of_receipt_with_a_warning(value: str) -> None:
    for parse, body in (
        (segment.parse_batch, '{"batch":[{"type":"track","event":"a","userId":"u","timestamp":%s}]}'),
        (segment.call_parser("track"), '{"event":"a","userId":"u","timestamp":%s}'),
        (posthog.parse, '{"batch":[{"event":"a","distinct_id":"u","timestamp":%s}]}'),
    ):
        given_to_it = context()
        batch = parse((body % value).encode(), given_to_it)
        assert [item.event.timestamp_ms for item in batch.items] == [NOW_MS]
        assert len(given_to_it.warnings) == 1
        assert "time of receipt" in given_to_it.warnings[0]


def test_a_readable_time_gives_no_warning() -> None:
    given_to_it = context()
    segment.parse_batch(
        b'{"batch":[{"type":"track","event":"a","userId":"u","timestamp":"2024-01-15 10:30:00 +0100"}]}', given_to_it
    )
    assert given_to_it.warnings == []
