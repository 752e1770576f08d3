"""Parses times in the forms that languages print for people: Ruby, Go, HTTP, mail, C and JavaScript. Pure.

Only the dialects of other vendors' SDKs accept them, because those SDKs pass on what a program gave them. Our own APIs
accept RFC 3339 (times.py).
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from headrace.model.times import EARLIEST_MS, LATEST_MS

_MONTHS: tuple[str, ...] = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAY_NAME = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_OFFSET = r"(?P<sign>[+-])(?P<zone_hour>\d\d):?(?P<zone_minute>\d\d)"
_UTC = r"(?:UTC|GMT|UT|Z)"

# Ruby's Time#to_s and #inspect, Go's Time.String: 2024-01-15 10:30:00 +0100, … UTC, … +0100 CET m=+0.5
_RUBY = (
    r"(?P<year>\d{4})-(?P<month_number>\d\d)-(?P<day>\d\d)[T ]"
    rf"{_CLOCK}(?:\.(?P<fraction>\d+))? (?:{_UTC}|{_OFFSET}(?: (?:[A-Z]{{1,5}}|[+-]\d{{2,4}}))?)(?: m=[+-][\d.]+)?"
)
# RFC 9110 §5.6.7 (IMF-fixdate) and RFC 5322 §3.3: Mon, 15 Jan 2024 10:30:00 GMT, … +0100
_HTTP = rf"(?:{_DAY_NAME}, )?(?P<day>\d{{1,2}}) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} (?:{_UTC}|{_OFFSET})"
# RFC 9110 §5.6.7, obsolete: Monday, 15-Jan-24 10:30:00 GMT
_RFC_850 = rf"[A-Z][a-z]+day, (?P<day>\d\d)-{_MONTH}-(?P<short_year>\d\d) {_CLOCK} GMT"
# RFC 9110 §5.6.7, obsolete: Mon Jan 15 10:30:00 2024, as C's asctime and Python's ctime print it
_ASCTIME = rf"{_DAY_NAME} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})"
# ECMA-262 §21.4.4.41, Date.prototype.toString: Mon Jan 15 2024 10:30:00 GMT+0100 (Central European Standard Time)
_JAVASCRIPT = rf"{_DAY_NAME} {_MONTH} (?P<day>\d\d) (?P<year>\d{{4}}) {_CLOCK} GMT(?:{_OFFSET})?(?: \([^()]*\))?"
_FORMS = tuple(re.compile(form, re.ASCII) for form in (_RUBY, _HTTP, _RFC_850, _ASCTIME, _JAVASCRIPT))
_MAX_CHARS = 120
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def printed_time(text: str, /) -> int | None:
    """Milliseconds since 1970 in UTC; None if the text is in none of the forms, not a valid time, or outside 1970..2261.

    The weekday is not checked. Two-digit years mean 1970..2069. A time without a zone is UTC.
    """
    if len(text) > _MAX_CHARS:
        return None
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _moment(match.groupdict())
    return None


def _moment(part: dict[str, str | None]) -> int | None:
    def number(name: str) -> int:
        return int(part.get(name) or 0)

    short_year = part.get("short_year")
    year = number("year") if short_year is None else number("short_year") + (1900 if short_year >= "70" else 2000)
    name = part.get("month")
    month = _MONTHS.index(name) + 1 if name else number("month_number")
    ahead = timedelta(hours=number("zone_hour"), minutes=number("zone_minute"))
    zone = timezone(-ahead if part.get("sign") == "-" else ahead) if ahead < timedelta(days=1) else None
    if zone is None or number("zone_minute") > 59:
        return None
    try:
        moment = datetime(year, month, number("day"), number("hour"), number("minute"), number("second"), tzinfo=zone)
    except ValueError:
        return None
    since = moment - _EPOCH
    milliseconds = since.days * 86_400_000 + since.seconds * 1000 + int((part.get("fraction") or "")[:3].ljust(3, "0"))
    return milliseconds if EARLIEST_MS <= milliseconds <= LATEST_MS else None
