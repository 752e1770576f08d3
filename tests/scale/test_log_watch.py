"""A gateway that runs is told once the workers have moved to another log."""

from collections.abc import Iterator

import pytest

from headrace.assembly.log_watch import LogWatch
from headrace.model.known_log import KnownLog

HERE, ANEW, THERE = (
    KnownLog("1", "valkey://a/0", "w"),
    KnownLog("2", "valkey://a/0", "v"),
    KnownLog("3", "valkey://b/0"),
)


@pytest.mark.parametrize("at_start", [HERE, None])
@pytest.mark.parametrize(
    ("found", "is_told"),
    [
        ([HERE, HERE], False),
        ([None, HERE, None], False),
        ([HERE, ANEW, ANEW], False),
        ([HERE, THERE], True),
        ([HERE, ANEW, THERE], True),
        ([HERE, THERE, HERE], True),
    ],
)
def test_it_tells_of_a_log_elsewhere_and_not_of_one_that_was_made_anew(
    at_start: KnownLog | None, found: list[KnownLog | None], is_told: bool
) -> None:
    known: Iterator[KnownLog | None] = iter(found)
    watch = LogWatch(lambda: next(known), at_start)
    for _ in found:
        assert watch.step() is False
    assert bool(watch.other) is is_told
    assert not is_told or "valkey://b/0" in watch.other
