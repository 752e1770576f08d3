"""A moving minute per key and kind, on a clock that nobody sets."""

import pytest

from headrace.assembly.rate_limits import RateLimits, limits_of
from headrace.dialects.settings import ServerSettings
from headrace.model.allowance import Allowance
from headrace.model.errors import RateLimited
from headrace.model.settings import limit_field


class Clocks:
    """The time that passes, and what the wall clock says."""

    def __init__(self) -> None:
        self.passed_s = 1000.0
        self.wall_s = 1_700_000_000.0

    def pass_(self, seconds: float) -> None:
        self.passed_s += seconds
        self.wall_s += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def limits(clocks: Clocks) -> RateLimits:
    return RateLimits({"batch": 2}, monotonic_s=lambda: clocks.passed_s, clock_s=lambda: clocks.wall_s)


def refused(limits: RateLimits, kind: str = "batch", key: str = "k") -> Allowance:
    with pytest.raises(RateLimited) as error:
        limits.spend(kind, key)
    assert error.value.allowance is not None
    assert error.value.retry_after_s == error.value.allowance.reset_s
    return error.value.allowance


def test_so_many_are_let_in_within_a_minute_and_the_next_when_the_first_is_a_minute_old(
    limits: RateLimits, clocks: Clocks
) -> None:
    assert limits.spend("batch", "k") == Allowance("batch", 2, 60, 1, 60, 1_700_000_060)
    clocks.pass_(20.5)
    assert limits.spend("batch", "k") == Allowance("batch", 2, 60, 0, 40, 1_700_000_060)
    clocks.pass_(10)
    assert refused(limits) == Allowance("batch", 2, 60, 0, 30, 1_700_000_060)
    clocks.pass_(29.4)
    assert refused(limits).reset_s == 1
    clocks.pass_(0.1)
    assert limits.spend("batch", "k") == Allowance("batch", 2, 60, 0, 21, 1_700_000_081)


def test_a_refused_request_does_not_count(limits: RateLimits, clocks: Clocks) -> None:
    for _ in range(2):
        limits.spend("batch", "k")
    for _ in range(59):
        clocks.pass_(1)
        refused(limits)
    clocks.pass_(1)
    limits.spend("batch", "k")


@pytest.mark.parametrize("hours", [-1, 1, -24 * 365])
def test_a_wall_clock_that_is_set_holds_nobody_up_and_lets_nobody_through(
    limits: RateLimits, clocks: Clocks, hours: int
) -> None:
    for _ in range(2):
        limits.spend("batch", "k")
    clocks.wall_s += hours * 3600
    clocks.pass_(10)
    assert refused(limits).reset_s == 50, "a refusal for as long as was left, not for an hour"
    clocks.pass_(50)
    allowance = limits.spend("batch", "k")
    assert allowance is not None
    assert allowance.reset_at_s == 1_700_000_000 + hours * 3600 + 120, "by the clock that clients compare it with"


def test_each_key_and_each_kind_has_its_own_minute(clocks: Clocks) -> None:
    limits = RateLimits({"batch": 1, "query": 1}, monotonic_s=lambda: clocks.passed_s)
    for kind in ("batch", "query"):
        for key in ("a", "b"):
            limits.spend(kind, key)
            refused(limits, kind, key)


def test_a_kind_without_a_limit_is_never_refused(limits: RateLimits) -> None:
    assert {limits.spend("single", "k") for _ in range(1000)} == {None}


def test_keys_that_have_sent_nothing_for_a_minute_take_no_room(limits: RateLimits, clocks: Clocks) -> None:
    for minute in range(20):
        for number in range(1000):
            limits.spend("batch", f"{minute}-{number}")
        clocks.pass_(61)
    assert len(limits._spent) <= 2048


def test_limits_come_from_the_settings_and_zero_and_off_are_none() -> None:
    assert limits_of(ServerSettings(**{limit_field("bricqs"): 7})) == {
        "flux_batch": 10,
        "flux_query": 60,
        "flux_metrics_batch": 10,
        "flux_metrics_query": 60,
        "bricqs": 7,
    }
    assert limits_of(ServerSettings(rate_limits="off")) == {}


def test_a_key_at_its_limit_stays_there_however_many_others_come(limits: RateLimits, clocks: Clocks) -> None:
    limits.spend("batch", "early")
    clocks.pass_(59)
    for _ in range(2):
        limits.spend("batch", "busy")
    clocks.pass_(0.5)
    for number in range(5000):
        limits.spend("batch", f"other-{number}")
    assert refused(limits, key="busy").reset_s == 60
    assert limits.spend("batch", "early") == Allowance("batch", 2, 60, 0, 1, 1_700_000_060)
    clocks.pass_(0.6)
    for number in range(5000, 10_000):
        limits.spend("batch", f"other-{number}")
    assert refused(limits, key="busy").reset_s == 59, "a window in which anything counts is not forgotten"


class Forgetful(RateLimits):
    """`looks`: how often it has looked through all windows."""

    looks = 0

    def _forget(self, before_s: float) -> None:
        self.looks += 1
        super()._forget(before_s)


def test_windows_are_looked_through_once_for_each_doubling_and_not_for_each_new_key() -> None:
    limits = Forgetful({"batch": 2}, monotonic_s=lambda: 1000.0)
    for number in range(10_000):
        limits.spend("batch", f"{number}")
    assert limits.looks == 4, "at 1,024, 2,048, 4,096 and 8,192"


def test_a_refused_request_is_never_told_to_come_back_in_no_time(limits: RateLimits, clocks: Clocks) -> None:
    clocks.passed_s = 0.5374569764496049
    for _ in range(2):
        limits.spend("batch", "k")
    clocks.passed_s = 60.537456976449604  # within the minute, by less than the difference of the two can tell
    assert refused(limits).reset_s == 1
