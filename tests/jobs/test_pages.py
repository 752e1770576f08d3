"""The windows that a job pages through: whole hours, each with so many events that a page need not be sorted out of them all."""

import pytest

from headrace.model.filters import Filters
from headrace.replay import pages as module
from headrace.replay.pages import windows_of
from tests.engine import NOW_MS
from tests.jobs.test_jobs import HOUR_MS, Bench, bench

__all__ = ["bench"]

START_MS = NOW_MS // HOUR_MS * HOUR_MS


def spans(bench: Bench, **given: int) -> list[tuple[int, int]]:
    """The first and last hour of each window, from the first event's."""
    found = windows_of(bench.store, bench.tenant, Filters(**given))
    return [
        ((each.from_ms - START_MS) // HOUR_MS, (each.to_ms - START_MS) // HOUR_MS)
        for each in found
        if each.from_ms is not None and each.to_ms is not None
    ]


def test_hours_share_a_window_until_it_has_enough_events(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(*({"timestamp_ms": START_MS + hour * HOUR_MS} for hour in (0, 1, 2, 2, 2, 5, 6, 9)))
    assert spans(bench) == [(0, 9)]
    monkeypatch.setattr(module, "_WINDOW_EVENTS", 3)
    assert spans(bench) == [(0, 2), (5, 9)]


def test_windows_begin_and_end_with_the_range_that_is_asked_for(bench: Bench) -> None:
    bench.put(*({"timestamp_ms": START_MS + hour * HOUR_MS + 5} for hour in range(4)))
    [window] = windows_of(bench.store, bench.tenant, Filters(from_ms=START_MS + 3, to_ms=START_MS + 2 * HOUR_MS + 7))
    assert (window.from_ms, window.to_ms) == (START_MS + 3, START_MS + 2 * HOUR_MS + 7)
