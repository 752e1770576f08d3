"""Summarizes what a log still holds from the chunks' fields, without reading payloads."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from headrace.log.chunks import last_event_of, positions_of
from headrace.model.entries import Held, Kind


def held_upto(upto: int, rows: Callable[..., list[tuple[Any, ...]]], mark: Callable[[str], int], /) -> Held:
    """See the Log port. rows: queries the log's file. mark: returns the value of a mark, 0 if unset. Raises what they raise."""
    [(entries, first, last_event)] = rows(
        "SELECT coalesce(sum(min(count, (? - first) / step + 1)), 0), min(first), "
        "max(iif(length(kinds), 0, min(last, ? - (? - first) % step))) FROM spans WHERE first <= ?",
        *(upto,) * 4,
    )
    if first is None:
        # If all chunks were trimmed before commands existed, there is no mark: every committed entry was an event.
        return Held(0, upto, mark("event") or upto)
    mixed = rows(
        "SELECT last, count, spaced, kinds FROM spans WHERE length(kinds) > 0 AND first <= ? ORDER BY last", upto
    )
    for last, count, spaced, kinds in mixed:
        positions = positions_of(last, count, spaced)
        positions = positions[: bisect_right(positions, upto)]
        events = kinds.count(0, 0, len(positions)) + kinds.count(Kind.ERASED, 0, len(positions))
        entries -= len(positions) - events
        last_event = max(last_event, last_event_of(positions, kinds))
    return Held(entries, first - 1, last_event or mark("event"))
