"""Buckets of a time series, and days, weeks and months of a zone, as SQL. Pure."""

from collections.abc import Callable

from headrace.model.zones import DAY_MS, WIDTH_MS, Interval, Zone

_WEEK_SHIFT = 10  # 1970-01-01 was a Thursday; a week more keeps the division above zero, where it rounds down


def period_of(zone: Zone, interval: Interval, /) -> tuple[Callable[[str], str], dict[str, object]]:
    """What makes an expression for the period of one for a moment in milliseconds, and the values that it names.

    The period is its first millisecond or, where the interval is days or more, its first day in the zone since 1970-01-01.
    The zone goes along as two arrays. A day more and a day less keep the division above zero.
    """
    moves = len(zone.since_ms) > 1 or any(zone.offsets_ms)
    params: dict[str, object] = {"since": list(zone.since_ms), "offsets": list(zone.offsets_ms)} if moves else {}
    if interval in WIDTH_MS:
        params["width"] = WIDTH_MS[interval]

    def period(moment: str) -> str:
        since, offset = "0", "0"
        if moves:
            since = f"roundDown({moment}, {{since:Array(Int64)}})"
            offset = f"transform({since}, {{since:Array(Int64)}}, {{offsets:Array(Int64)}})"
        if interval in WIDTH_MS:
            whole = f"intDiv({moment} + {offset} + {DAY_MS}, {{width:Int64}}) * {{width:Int64}} - {DAY_MS} - {offset}"
            return f"greatest({whole}, {since})"
        day = f"intDiv({moment} + {offset} + {DAY_MS}, {DAY_MS}) - 1"
        if interval == "1w":
            return f"intDiv({day} + {_WEEK_SHIFT}, 7) * 7 - {_WEEK_SHIFT}"
        return f"{day} - (toDayOfMonth(toDate32(toInt32({day}))) - 1)" if interval == "1M" else day

    return period, params
