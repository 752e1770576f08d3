"""Days, weeks and months in named time zones, and the buckets of a time series. Pure.

A zone is a list of moments with the offset that holds from each on. The store gets it as two arrays, so that both sides agree
to the millisecond, whichever edition of the zone database the engine carries.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from headrace.model.errors import InvalidRequest

DAY_MS = 86_400_000
Interval = Literal["1m", "5m", "1h", "1d", "1w", "1M"]
INTERVALS: tuple[Interval, ...] = ("1m", "5m", "1h", "1d", "1w", "1M")
# Intervals that divide a day. The others are whole days of the zone, which differ in length.
WIDTH_MS: dict[str, int] = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000}

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# More than a month around every time that an event can have, because the first event's bucket begins before it.
_SCAN_FROM_DAY, _SCAN_TO_DAY = -40, 106_650 + 40
_SCAN_STEP = 6  # days; since 1970 no two changes of a zone are closer together than 167 hours
_MAX_NAME = 64
# Files beside the zones that are not zones: this machine's own, the default for POSIX rules, and a placeholder for "not set".
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


class Zone(msgspec.Struct, frozen=True):
    """`offsets_ms[i]` is the zone's offset from UTC from the moment `since_ms[i]` up to the next one."""

    name: str
    since_ms: tuple[int, ...]
    offsets_ms: tuple[int, ...]

    def offset_ms(self, moment_ms: int, /) -> int:
        return self.offsets_ms[max(0, bisect_right(self.since_ms, moment_ms) - 1)]

    def moment_of(self, clock_ms: int, /) -> int:
        """The first moment at which the zone's clock shows a time, in milliseconds since 1970, or would if it did not skip it."""
        before, after = self.offset_ms(clock_ms - DAY_MS), self.offset_ms(clock_ms + DAY_MS)
        found = [clock_ms - offset for offset in (before, after) if self.offset_ms(clock_ms - offset) == offset]
        return min(found, default=clock_ms - before)

    def day(self, moment_ms: int, /) -> int:
        """The local date, in days since 1970-01-01."""
        return (moment_ms + self.offset_ms(moment_ms)) // DAY_MS

    def first_of_day(self, day: int, /) -> int:
        """The first moment whose local date is `day`, or a later one where the zone skipped that date."""
        return min(each for each in self._candidates(day) if self.day(each) >= day)

    def last_of_day(self, day: int, /) -> int:
        """The last moment whose local date is `day`, or an earlier one."""
        return max(each for each in (each - 1 for each in self._candidates(day + 1)) if self.day(each) <= day)

    def _candidates(self, day: int) -> set[int]:
        """Moments at which a local date can begin: its midnight in any offset of those days, and the changes of offset."""
        low = max(0, bisect_right(self.since_ms, (day - 2) * DAY_MS) - 1)
        high = bisect_right(self.since_ms, (day + 2) * DAY_MS)
        midnights = {day * DAY_MS - offset for offset in self.offsets_ms[low:high]}
        return midnights | set(self.since_ms[low + 1 : high])


@lru_cache(128)
def zone_of(name: str, /) -> Zone:
    """The zone of an IANA name. Raises InvalidRequest for any other."""
    if len(name) > _MAX_NAME or name not in _names():
        raise InvalidRequest(f"'tz' must be an IANA time zone such as Europe/Berlin; it is {name[:_MAX_NAME]!r}.")
    info = ZoneInfo(name)
    since, offsets = [_SCAN_FROM_DAY * DAY_MS], [_offset_ms(info, _SCAN_FROM_DAY * DAY_MS)]
    for day in range(_SCAN_FROM_DAY + _SCAN_STEP, _SCAN_TO_DAY, _SCAN_STEP):
        offset = _offset_ms(info, day * DAY_MS)
        if offset != offsets[-1]:
            since.append(_change(info, (day - _SCAN_STEP) * DAY_MS, day * DAY_MS))
            offsets.append(offset)
    return Zone(name, tuple(since), tuple(offsets))


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES


def _offset_ms(info: ZoneInfo, moment_ms: int) -> int:
    offset = datetime.fromtimestamp(moment_ms / 1000, info).utcoffset()
    return 0 if offset is None else offset.days * DAY_MS + offset.seconds * 1000


def _change(info: ZoneInfo, before_ms: int, after_ms: int) -> int:
    """The first second that has the later moment's offset."""
    low, high = before_ms // 1000, after_ms // 1000
    offset = _offset_ms(info, after_ms)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ms(info, middle * 1000) == offset:
            high = middle
        else:
            low = middle
    return high * 1000


UTC_ZONE = Zone("UTC", (_SCAN_FROM_DAY * DAY_MS,), (0,))


def bucket_of(moment_ms: int, interval: Interval, zone: Zone, /) -> int:
    """The first moment of the bucket that a moment falls into.

    Minutes and hours begin where the zone's clock shows whole ones, and at a change of offset; days, weeks (from Monday) and
    months at their first local midnight.
    """
    if interval in WIDTH_MS:
        width_ms = WIDTH_MS[interval]
        offset_ms = zone.offset_ms(moment_ms)
        start = (moment_ms + offset_ms) // width_ms * width_ms - offset_ms
        return max(start, zone.since_ms[max(0, bisect_right(zone.since_ms, moment_ms) - 1)])
    return zone.first_of_day(first_day_of(zone.day(moment_ms), interval))


def first_day_of(day: int, interval: Interval, /) -> int:
    """The day (since 1970-01-01) on which a day's bucket begins."""
    if interval == "1w":
        return (day + 3) // 7 * 7 - 3  # 1970-01-01 was a Thursday
    if interval == "1M":
        return date.fromordinal(day + _EPOCH_ORDINAL).replace(day=1).toordinal() - _EPOCH_ORDINAL
    return day


def buckets(first_ms: int, last_ms: int, interval: Interval, zone: Zone, /) -> Iterator[int]:
    """The first moments of every bucket from the one that holds `first_ms` to the one that holds `last_ms`."""
    if last_ms < first_ms:
        return
    if interval not in WIDTH_MS:
        day, last_day = first_day_of(zone.day(first_ms), interval), zone.day(last_ms)
        seen = None
        while day <= last_day:
            start = zone.first_of_day(day)
            if start != seen:  # a date that the zone skipped begins where the next date does
                yield start
            seen = start
            day = _next_day(day, interval)
        return
    width_ms = WIDTH_MS[interval]
    start = bucket_of(first_ms, interval, zone)
    while start <= last_ms:
        yield start
        index = bisect_right(zone.since_ms, start)
        offset_ms = zone.offset_ms(start)
        following = ((start + offset_ms) // width_ms + 1) * width_ms - offset_ms
        start = min(following, zone.since_ms[index]) if index < len(zone.since_ms) else following


def _next_day(day: int, interval: Interval) -> int:
    return first_day_of(day + 32, "1M") if interval == "1M" else day + (7 if interval == "1w" else 1)


def fewest_buckets(first_ms: int, last_ms: int, interval: Interval, /) -> int:
    """A lower bound for the number of buckets between two moments, by arithmetic alone, so that requests are refused early."""
    width_ms = WIDTH_MS.get(interval) or {"1d": 1, "1w": 7, "1M": 31}[interval] * DAY_MS
    # Changes of clocks widen days by two days in all, at most.
    return max(0, last_ms - first_ms - (0 if interval in WIDTH_MS else 2 * DAY_MS)) // width_ms
