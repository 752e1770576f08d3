"""A job with a limit, over pages and interruptions: as many events as it says, and the oldest."""

import pytest

from headrace.replay import pages as pages_module
from headrace.replay.jobs import ReplayRunner
from tests.engine import NOW_MS
from tests.jobs.test_jobs import FOR_EVER, Bench, bench
from tests.reactions.given import TwoByTwo

__all__ = ["bench"]


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "_FIRST_PAGE", 2)
    monkeypatch.setattr(pages_module, "_PAGE", 4)


def runner(bench: Bench) -> ReplayRunner:
    """Replays two events at a time."""
    return ReplayRunner(
        bench.jobs,
        bench.store,
        bench.reactions,
        pace=TwoByTwo(1.0, is_quiet=lambda: True, ask=lambda: lambda: 0.0),
        reacted=lambda _tenant: FOR_EVER,
        is_busy=lambda: False,
        clock_ms=lambda: NOW_MS,
        on_step=lambda _step: None,
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7, 19, 20, 21])
def test_a_limit_holds_wherever_in_a_page_it_falls(bench: Bench, limit: int) -> None:
    ids = bench.put(*({"timestamp_ms": NOW_MS + number} for number in range(20)))
    job = bench.ask(limit=limit)
    assert runner(bench).step()
    assert [event.id for event in bench.reactions.done] == ids[:limit]
    assert (bench.now(job).status, bench.now(job).replayed) == ("done", min(limit, 20))
    assert not runner(bench).step(), "there is no other job"


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("limit", [4, 7, 8])
def test_an_interrupted_job_replays_no_more_than_its_limit_in_all(bench: Bench, where: str, limit: int) -> None:
    ids = bench.put(*({"timestamp_ms": NOW_MS + number} for number in range(20)))
    bench.reactions.bad = {ids[1]: "ValueError: no such thing"}
    job = bench.ask(limit=limit)

    def fail(at: str, events: object) -> None:
        if at == where and any(event.id == ids[3] for event in events):
            bench.reactions.fail = lambda _where, _events: None
            raise RuntimeError("told to")

    bench.reactions.fail = fail
    with pytest.raises(RuntimeError, match="told to"):
        runner(bench).step()
    assert bench.now(job).status == "running"
    runner(bench).step()
    ended = bench.now(job)
    assert [event.id for event in bench.reactions.done] == [each for each in ids[:limit] if each != ids[1]]
    assert (ended.status, ended.total, ended.replayed, ended.failed) == ("done", limit, limit - 1, 1)
