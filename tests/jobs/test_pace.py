"""How hard a job works beside live traffic."""

from collections.abc import Callable

import pytest

from headrace.replay import pace as module
from headrace.replay.pace import Pace


class World:
    """A clock that stands still unless told, live traffic or none, and an event loop that answers after a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.quiet = False
        self.wait_s = 0.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def ask(self) -> Callable[[], float]:
        return lambda: self.wait_s

    def pace(self, share: float) -> Pace:
        return Pace(share, is_quiet=lambda: self.quiet, ask=self.ask)

    def work(self, pace: Pace, seconds: float, events: int = 0) -> float:
        """Work for so long; the rest after it."""
        pace.begin()
        self.now += seconds
        return pace.end(events)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_beside_live_traffic_a_job_works_its_share_of_the_time(world: World) -> None:
    assert world.work(world.pace(0.25), 0.1) == pytest.approx(0.3)
    assert world.work(world.pace(1.0), 0.1) == 0


def test_where_nobody_else_is_there_it_rests_only_for_others_to_get_at_control(world: World) -> None:
    world.quiet, world.wait_s = True, 1.0
    assert 0 < world.work(world.pace(0.25), 0.1) <= 0.01


def test_it_works_less_while_its_work_shows_in_what_others_wait_for_and_then_more_again(world: World) -> None:
    pace = world.pace(0.25)
    world.wait_s = 0.02
    rests = [world.work(pace, 0.01) for _ in range(20)]
    assert rests == sorted(rests)
    assert 0.14 < rests[-1] < 0.16, "but never stops"
    world.wait_s = 0.0
    rests = [world.work(pace, 0.01) for _ in range(100)]
    assert rests[-1] == pytest.approx(0.03)


def test_a_slice_is_as_large_as_fits_its_time_and_never_so_small_that_transactions_are_all_it_does(
    world: World,
) -> None:
    world.quiet = True
    pace = world.pace(1.0)
    for cost_s, wanted in ((0.001, 100), (0.0001, 300), (1e-9, 500), (0.0002, 150), (1.0, 100)):
        for _ in range(12):
            events = pace.slice()
            world.work(pace, events * cost_s, events)
        assert pace.slice() == pytest.approx(wanted, abs=1)


def test_beside_live_traffic_a_slice_is_over_in_some_milliseconds(world: World) -> None:
    world.quiet = True
    pace = world.pace(1.0)
    for _ in range(12):
        world.work(pace, pace.slice() * 0.00005, pace.slice())
    assert pace.slice() == 500
    world.quiet = False
    world.work(pace, 500 * 0.00005, 500)
    assert pace.slice() == pytest.approx(120, abs=1)
    world.work(pace, 1.0, 100)
    assert pace.slice() == 50, "but not one by one"
