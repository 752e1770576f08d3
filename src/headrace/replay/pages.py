"""Pages through a tenant's events, oldest first, at a cost for each page that does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, Tenant
from headrace.model.filters import Cursor, Filters
from headrace.ports.store import ReplayReader

_FIRST_PAGE, _PAGE = 100, 1000  # events; the first tells whether they are so large that more take too much memory
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_WINDOW_EVENTS = 50_000  # a page is sorted out of about this many events instead of all matches


def pages(
    reader: ReplayReader,
    tenant: Tenant,
    windows: Sequence[Filters],
    cursor: Cursor | None,
    /,
    *,
    begin: Callable[[], None],
    end: Callable[[], None],
    goes_on: Callable[[], bool],
) -> Iterator[list[StoredEvent]]:
    """The events of the windows after the cursor, one page in memory at a time, as long as `goes_on`.

    begin, end: called before each question to the store, and after it was answered.
    Raises InvalidRequest if a single event takes more memory than a query may use.
    """
    size, most = _FIRST_PAGE, _PAGE
    for window in windows:
        more = True
        while more and goes_on():
            begin()
            try:
                found = reader.oldest(tenant, window, cursor, size)
            except InvalidRequest:  # it takes more memory than queries may use
                if size == 1:
                    raise
                size = most = max(1, size // 4)
                continue
            end()
            if not found:
                break
            more, size = len(found) == size, min(size * 2, most)
            cursor = cursor_at(found[-1])
            yield found


def windows_of(reader: ReplayReader, tenant: Tenant, filters: Filters, /) -> list[Filters]:
    """The filters split into spans of whole hours with about 50,000 events each, if the hours allow."""
    try:
        width, series = _HOUR_MS, reader.count(tenant, filters, "1h").series
    except InvalidRequest:  # they are spread over more hours than one query may cover
        width, series = _DAY_MS, reader.count(tenant, filters, "1d").series
    windows: list[Filters] = []
    start, held = -1, 0
    for index, (bucket, count) in enumerate(series or ()):
        start, held = bucket if start < 0 else start, held + count
        if held < _WINDOW_EVENTS and index + 1 < len(series or ()):
            continue
        last = bucket + width - 1
        span = msgspec.structs.replace(
            filters,
            from_ms=max(start, filters.from_ms or 0),
            to_ms=last if filters.to_ms is None else min(last, filters.to_ms),
        )
        windows.append(span)
        start, held = -1, 0
    return windows


def cursor_at(event: StoredEvent, /) -> Cursor:
    return Cursor(event.timestamp_ms, event.position)
