"""Parses and renders the times of this project's wire formats. Pure.

Inside the program, times are integers (`…_ms`: milliseconds since 1970 in UTC); text exists only at the edges.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from headrace.model.errors import InvalidRequest, InvalidTimestamp
from headrace.model.zones import DAY_MS, UTC_ZONE, Zone

EARLIEST_MS = 0
LATEST_MS = 9_214_646_399_999  # 2261-12-31T23:59:59.999Z: the last whole year a 64-bit nanosecond clock reaches

# The form that nearly every client sends, which `fromisoformat` parses as we do; everything else takes the slow path below.
_USUAL = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:[0-5]\d)", re.ASCII)
# RFC 3339 §5.6 plus common ISO 8601 forms: the basic form, a blank for T, no seconds, no offset, a date alone.
# An unescaped "+" in a query arrives as a blank, so a blank is accepted as a sign.
_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{8})"
    r"(?:[Tt ](?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"|(?P<minute_b>\d\d)(?:(?P<second_b>\d\d)(?:\.(?P<fraction_b>\d+))?)?)"
    r"(?:(?P<zulu>[Zz])|(?P<sign>[+\- ])(?P<zone_hour>\d\d):?(?P<zone_minute>\d\d)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_MS = {f"{second:02d}": second * 1000 for second in range(60)}
_FRACTION_MS = {"Z": 0} | {f".{milliseconds:03d}Z": milliseconds for milliseconds in range(1000)}
# Up to here a double holds seconds to within a quarter of a microsecond, so adding half a microsecond makes the cut exact.
_EXACT_S = 1 << 32
_MAX_CHARS = 64
_MAX_SHOWN = 60
_WANTED = "send RFC 3339 such as 2024-01-15T10:30:00Z, with a year from 1970 to 2261."
_DURATION = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}


def parse_time(text: object, /, field: str = "timestamp", *, end_of_day: bool = False, zone: Zone = UTC_ZONE) -> int:
    """Milliseconds since 1970 in UTC. Fractions are cut, a naive time is UTC, a date alone is its first millisecond.

    end_of_day: a date alone is its last millisecond instead, as an upper bound needs.
    zone: the time zone of a date alone; it affects nothing else.
    Raises InvalidTimestamp for anything else, and outside 1970..2261.
    Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6
    """
    if type(text) is not str:
        raise InvalidTimestamp(f"'{field}' must be a string: {_WANTED}")
    # Looking up the minute, which many events share, and the part after it takes a quarter of the time of parsing both.
    second_ms, fraction_ms = _SECOND_MS.get(text[17:19]), _FRACTION_MS.get(text[19:])
    if second_ms is not None and fraction_ms is not None and (minute_ms := _minute(text[:17])) >= 0:
        return minute_ms + second_ms + fraction_ms
    try:
        if _USUAL.fullmatch(text) and 0 <= (seconds := datetime.fromisoformat(text).timestamp()) < _EXACT_S:
            milliseconds = int((seconds + 5e-7) * 1000)
        else:
            milliseconds = _parse_unusual(text, end_of_day, zone)
    except (ValueError, OverflowError):
        milliseconds = -1
    if not EARLIEST_MS <= milliseconds <= LATEST_MS:
        shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
        raise InvalidTimestamp(f"'{field}' is {shown!r}: {_WANTED}")
    return milliseconds


@lru_cache(4096)
def _minute(text: str) -> int:
    """`2024-01-15T10:30:` in milliseconds since 1970 in UTC; -1 for any other form, or out of range."""
    if not _USUAL.fullmatch(f"{text}00Z"):
        return -1
    try:
        milliseconds = _since_epoch(datetime.fromisoformat(f"{text}00Z"))
    except ValueError:
        return -1
    return milliseconds if EARLIEST_MS <= milliseconds <= LATEST_MS else -1


def _since_epoch(moment: datetime) -> int:
    since = moment - _EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def _parse_unusual(text: str, end_of_day: bool, zone: Zone) -> int:
    """Raises ValueError or OverflowError for an invalid time."""
    if len(text) > _MAX_CHARS or not (match := _TIME.fullmatch(text)):
        raise ValueError
    part = match.groupdict()
    digits = part["date"].replace("-", "")
    second = int(part["second"] or part["second_b"] or 0)
    leap = second == 60
    sign = -1 if part["sign"] == "-" else 1
    zone_minute = int(part["zone_minute"] or 0)
    if zone_minute > 59:
        raise ValueError
    ahead = timedelta(hours=int(part["zone_hour"] or 0), minutes=zone_minute)
    moment = datetime(
        int(digits[:4]),
        int(digits[4:6]),
        int(digits[6:]),
        int(part["hour"] or 0),
        int(part["minute"] or part["minute_b"] or 0),
        59 if leap else second,
        tzinfo=timezone(sign * ahead),
    )
    fraction = part["fraction"] or part["fraction_b"] or ""
    milliseconds = _since_epoch(moment) + int(fraction[:3].ljust(3, "0"))
    if leap:
        # RFC 3339 §5.7: a leap second is the last of a day in UTC; here it is the first of the next day.
        if milliseconds < EARLIEST_MS or milliseconds // 60_000 % 1440 != 1439:
            raise ValueError
        milliseconds += 1000
    if part["hour"] is None and EARLIEST_MS <= milliseconds <= LATEST_MS:
        day = milliseconds // DAY_MS
        milliseconds = zone.last_of_day(day) if end_of_day else zone.first_of_day(day)
        return min(max(EARLIEST_MS, milliseconds), LATEST_MS)  # no event lies outside this range
    return milliseconds


def parse_ago(text: str, now_ms: int, /, field: str, *, end_of_day: bool = False, zone: Zone = UTC_ZONE) -> int:
    """Parse a time, or a span before now such as `15m`, `24h`, `7d`, `2w`. Raises InvalidTimestamp."""
    if _DURATION.fullmatch(text):
        return max(EARLIEST_MS, now_ms - parse_span(text, field))
    return parse_time(text, field, end_of_day=end_of_day, zone=zone)


def parse_span(text: str, field: str, /) -> int:
    """A span such as `15m`, `24h`, `7d`, `2w`, in milliseconds. Raises InvalidRequest."""
    if not (span := _DURATION.fullmatch(text)):
        raise InvalidRequest(f"'{field}' must be a span such as 15m, 24h, 7d or 2w; it is {text[:_MAX_SHOWN]!r}.")
    return int(span[1]) * _UNIT_MS[span[2]]


def render_time(milliseconds: int, /) -> str:
    """`2025-01-15T10:30:00.000Z`: always with milliseconds."""
    day, rest = divmod(milliseconds, DAY_MS)
    return f"{_date(day)}T{rest // 3_600_000:02d}:{rest // 60_000 % 60:02d}:{rest // 1000 % 60:02d}.{rest % 1000:03d}Z"


def render_time_short(milliseconds: int, /) -> str:
    """`2025-01-15T10:30:00Z`: milliseconds only where they are not zero."""
    text = render_time(milliseconds)
    return text if milliseconds % 1000 else f"{text[:-5]}Z"


@lru_cache(4096)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).strftime("%Y-%m-%d")
