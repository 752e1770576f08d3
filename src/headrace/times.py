"""Times as this project's wire formats write them, to and from milliseconds since 1970 in UTC. Pure.

Milliseconds are plain integers everywhere inside (`…_ms`); text exists only at the edges.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from headrace.errors import InvalidTimestamp

EARLIEST_MS = 0
LATEST_MS = 9_214_646_399_999  # 2261-12-31T23:59:59.999Z: the last whole year a 64-bit nanosecond clock reaches
DAY_MS = 86_400_000

# What nearly every client sends; everything else takes the longer way below.
_USUAL = re.compile(
    r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{3})\d*)?Z", re.ASCII
)
# RFC 3339 §5.6, and beside it what ISO 8601 senders use: the basic form, a blank for T, no seconds, no offset, a date
# alone. A query's unescaped "+" arrives as a blank, hence the blank as a sign.
_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{8})"
    r"(?:[Tt ](?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"|(?P<minute_b>\d\d)(?:(?P<second_b>\d\d)(?:\.(?P<fraction_b>\d+))?)?)"
    r"(?:(?P<zulu>[Zz])|(?P<sign>[+\- ])(?P<zone_hour>\d\d):?(?P<zone_minute>\d\d)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DURATION = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}


def parse_time(text: object, /, field: str = "timestamp", *, end_of_day: bool = False) -> int:
    """Milliseconds since 1970 in UTC; a fraction is cut, a naive time is UTC, a date alone is its first millisecond.

    end_of_day: a date alone is its last millisecond instead, which is what an upper bound means by it.
    Raises InvalidTimestamp for anything else, and outside 1970..2261.
    Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6
    """
    if type(text) is not str or len(text) > 64:  # noqa: PLR2004
        raise _invalid(field, text)
    if usual := _USUAL.fullmatch(text):
        date, hour, minute, second, fraction = usual.groups()
        if (day := _day_ms(date)) is not None:
            return day + int(hour) * 3_600_000 + int(minute) * 60_000 + int(second) * 1000 + int(fraction or 0)
    if not (match := _TIME.fullmatch(text)):
        raise _invalid(field, text)
    part = match.groupdict()
    digits = part["date"].replace("-", "")
    second = int(part["second"] or part["second_b"] or 0)
    leap = second == 60  # noqa: PLR2004  RFC 3339 §5.7; there has only ever been one at the end of a UTC minute :59
    sign = -1 if part["sign"] == "-" else 1
    try:
        zone = timedelta(hours=int(part["zone_hour"] or 0), minutes=int(part["zone_minute"] or 0))
        if int(part["zone_minute"] or 0) > 59:  # noqa: PLR2004
            raise ValueError
        moment = datetime(
            int(digits[:4]),
            int(digits[4:6]),
            int(digits[6:]),
            int(part["hour"] or 0),
            int(part["minute"] or part["minute_b"] or 0),
            59 if leap else second,
            tzinfo=timezone(sign * zone) if zone else UTC,
        )
        milliseconds = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise _invalid(field, text) from None
    fraction = part["fraction"] or part["fraction_b"] or ""
    milliseconds += int(fraction[:3].ljust(3, "0"))
    if leap:
        if milliseconds // 60_000 % 1440 != 1439:  # noqa: PLR2004  23:59 UTC
            raise _invalid(field, text)
        milliseconds += 1000
    if end_of_day and part["hour"] is None:
        milliseconds += DAY_MS - 1
    if not EARLIEST_MS <= milliseconds <= LATEST_MS:
        raise _invalid(field, text)
    return milliseconds


def parse_ago(text: str, now_ms: int, /, field: str, *, end_of_day: bool = False) -> int:
    """A time, or a span before now such as `15m`, `24h`, `7d`, `2w`. Raises InvalidTimestamp."""
    if span := _DURATION.fullmatch(text):
        return max(EARLIEST_MS, now_ms - int(span[1]) * _UNIT_MS[span[2]])
    return parse_time(text, field, end_of_day=end_of_day)


def render_time(milliseconds: int, /) -> str:
    """`2025-01-15T10:30:00.000Z`: always with milliseconds."""
    day, rest = divmod(milliseconds, DAY_MS)
    return f"{_date(day)}T{rest // 3_600_000:02d}:{rest // 60_000 % 60:02d}:{rest // 1000 % 60:02d}.{rest % 1000:03d}Z"


def render_time_short(milliseconds: int, /) -> str:
    """`2025-01-15T10:30:00Z`: milliseconds only where they are not zero."""
    text = render_time(milliseconds)
    return text if milliseconds % 1000 else f"{text[:-5]}Z"


@lru_cache(4096)
def _day_ms(date: str) -> int | None:
    """The first millisecond of a date `YYYY-MM-DD`; None for what is no date or out of range."""
    try:
        day = (datetime.fromisoformat(f"{date}T00:00:00+00:00") - _EPOCH) // _MILLISECOND
    except ValueError:
        return None
    return day if EARLIEST_MS <= day <= LATEST_MS else None


@lru_cache(4096)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).strftime("%Y-%m-%d")


def _invalid(field: str, text: object) -> InvalidTimestamp:
    shown = repr(text)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004
    return InvalidTimestamp(
        f"'{field}' is {shown}: send RFC 3339 such as 2024-01-15T10:30:00Z, with a year in 1970..2261."
    )
