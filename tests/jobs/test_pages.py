"""The windows that a job pages through: whole hours, each with so many events that a page need not be sorted out of them all."""

import pytest

from headrace.model.filters import Filters
from headrace.replay import pages as module
from headrace.replay.pages import pages, windows_of
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


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (2, [2]), (6, [2, 4]), (7, [2, 4, 1]), (10, [2, 4, 4])]
)
def test_pages_end_with_the_events_also_where_the_last_page_is_full(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, count: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAGE", 2)
    monkeypatch.setattr(module, "_PAGE", 4)
    ids = bench.put(*({"timestamp_ms": START_MS + number} for number in range(count)))
    asked: list[int] = []

    def begin() -> None:
        asked.append(1)
        assert len(asked) < 9, "it asks for ever"

    found = list(
        pages(bench.store, bench.tenant, [Filters()], None, begin=begin, end=lambda: None, goes_on=lambda: True)
    )
    assert [len(each) for each in found] == sizes
    assert [each.id for page in found for each in page] == ids
