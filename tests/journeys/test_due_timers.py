"""When timers are due, against a list of what was noted; and when it is logged that they are late."""

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from headrace.model.event import Tenant
from headrace.pipeline.due_timers import DueTimers, Lateness

TENANTS = [Tenant(project, mode) for project in ("b", "a") for mode in ("live", "test")]
_noted = st.tuples(st.sampled_from(TENANTS), st.integers(0, 9))
_steps = st.lists(_noted | st.sampled_from(TENANTS), max_size=12)


@given(_steps, st.integers(-1, 10))
def test_the_first_timer_of_each_tenant_is_known(steps: list[tuple[Tenant, int] | Tenant], now_ms: int) -> None:
    due, noted = DueTimers(), list[tuple[int, Tenant]]()
    for step in steps:
        if isinstance(step, Tenant):
            own = [at_ms for at_ms, tenant in noted if tenant == step]
            assert due.take(step) == min(own, default=None)
            noted = [each for each in noted if each[1] != step]
        else:
            tenant, at_ms = step
            assert due.note(tenant, at_ms) == all(known > at_ms for known, other in noted if other == tenant)
            noted.append((at_ms, tenant))
    assert due.first_ms() == min((at_ms for at_ms, _ in noted), default=None)
    late = sorted((at_ms, each.project, each.mode) for at_ms, each in noted if at_ms <= now_ms)
    assert due.by(now_ms) == list(dict.fromkeys(Tenant(project, mode) for _, project, mode in late))  # pyright: ignore


def test_timers_that_are_late_are_logged_once_and_when_they_have_caught_up() -> None:
    lateness = Lateness()
    with capture_logs() as logs:
        lateness.note(0, 5_000)
        lateness.end()
        assert logs == [], "not before five seconds"
        lateness.note(0, 5_001)
        lateness.count(2)
        lateness.note(0, 9_000)
        lateness.count(1)
        lateness.end()
        lateness.end()
    assert [(each["event"], each.get("fired"), each.get("first_late_s")) for each in logs] == [
        ("timers_catching_up", None, 5.0),
        ("timers_caught_up", 3, None),
    ]
