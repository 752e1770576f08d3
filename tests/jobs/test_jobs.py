"""The runner of replay jobs, over a list of events and a real control database, with reactions that may fail at any point."""

import itertools
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.control.database import open_database, writing
from headrace.control.replay_jobs import MAX_ERRORS, MAX_WAITING, ReplayJobs
from headrace.model.effects import Effect, Outcome
from headrace.model.errors import InvalidRequest, NotFound, Unavailable
from headrace.model.event import StoredEvent, Tenant, render_uuid
from headrace.model.filters import Cursor, Filters, Selection
from headrace.model.replay_job import ReplayJob
from headrace.ports.reactions import BeforeCommit
from headrace.replay.jobs import ReplayRunner, plan
from headrace.replay.pace import Pace
from tests import in_memory
from tests.engine import NOW_MS, event_of, fresh_tenant, records_of
from tests.fakes import MemoryStore

HOUR_MS = 3_600_000
FOR_EVER = 2**62


class Reactions:
    """Keeps what went through, in order. `fail` may raise, given where ("before" or "after" the commit) and the events.

    `bad`: what is wrong with the events that cannot go through, by id.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.done: list[StoredEvent] = []
        self.bad: dict[str, str] = {}
        self.fail: Callable[[str, Sequence[StoredEvent]], None] = lambda _where, _events: None

    def replay(
        self,
        tenant: Tenant,
        events: Sequence[StoredEvent],
        /,
        *,
        force: bool,
        dry_run: bool,
        before_commit: BeforeCommit | None = None,
    ) -> Outcome:
        assert not dry_run
        assert {(event.project, event.mode) for event in events} == {(tenant.project, tenant.mode)}
        good = [event for event in events if event.id not in self.bad]
        failed = [(event.id, self.bad[event.id]) for event in events if event.id in self.bad]
        effects = [Effect("fact", event.id, "r", {}) for event in good if force]
        outcome = Outcome(effects, 0 if force else len(good), failed)
        with writing(self._engine) as transaction:
            assert before_commit is not None
            before_commit(transaction, events, outcome)
            self.fail("before", events)
        self.done += good
        self.fail("after", events)
        return outcome

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        raise NotImplementedError


def pace() -> Pace:
    """That of a server with nothing else to do."""
    return Pace(1.0, is_quiet=lambda: True, ask=lambda: lambda: 0.0)


class Bench:
    """A store, a control database and reactions; `run` works on its jobs until none is left, or `until` says so."""

    def __init__(self, path: Path) -> None:
        self.engine = open_database(path)
        self.jobs = ReplayJobs(self.engine)
        self.store = MemoryStore()
        self.reactions = Reactions(self.engine)
        self.tenant = fresh_tenant()
        self._times = itertools.count(NOW_MS)  # jobs are taken in the order of these

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    def put(self, *events: dict[str, object]) -> list[str]:
        records = records_of(event_of(self.tenant, **fields) for fields in events)
        self.store.insert(records)
        return [record.id for record in records]

    def ask(
        self, *, ids: Sequence[str] | None = None, limit: int | None = None, force: bool = True, **filters: Any
    ) -> ReplayJob:
        selection = Selection(ids, Filters(**filters), limit)
        job, event_ids = plan(self.store, self.tenant, selection, force=force, upto=FOR_EVER, now_ms=next(self._times))
        return self.jobs.create(job, event_ids)

    def now(self, job: ReplayJob) -> ReplayJob:
        return self.jobs.get(self.tenant, job.id)

    def run(self, *until: ReplayJob) -> None:
        """Until these jobs have ended."""
        ended = threading.Event()
        runner = self.runner(
            on_step=lambda _: None,
            clock_ms=lambda: NOW_MS,
        )
        finish = self.jobs.finish

        def finishing(*args: Any) -> None:
            finish(*args)
            if all(self.now(job).finished_at_ms is not None for job in until):
                ended.set()

        self.jobs.finish = finishing  # type: ignore[method-assign]
        runner.loop.start()
        try:
            assert ended.wait(60)
        finally:
            runner.loop.stop()
            self.jobs.finish = finish  # type: ignore[method-assign]

    def runner(self, **given: Any) -> ReplayRunner:
        return ReplayRunner(
            self.jobs,
            self.store,
            self.reactions,
            pace=pace(),
            reacted=lambda _tenant: FOR_EVER,
            is_busy=lambda: False,
            **given,
        )


@pytest.fixture
def bench(memory_path: Path) -> Iterator[Bench]:
    with Bench(memory_path / "control.sqlite") as bench:
        yield bench


def test_a_job_replays_every_event_that_matches_oldest_first_and_once(bench: Bench) -> None:
    times = [7, 3, 3, 9, 1]
    ids = bench.put(*({"timestamp_ms": NOW_MS + each} for each in times), {"name": "other"})
    job = bench.ask(name="n")
    bench.run(job)
    assert [event.id for event in bench.reactions.done] == [ids[4], ids[1], ids[2], ids[0], ids[3]]
    ended = bench.now(job)
    assert (ended.status, ended.total, ended.replayed, ended.effects, ended.suppressed) == ("done", 5, 5, 5, 0)
    assert ended.started_at_ms == ended.finished_at_ms == NOW_MS


def test_a_job_of_many_pages_and_hours_leaves_nothing_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.replay.pages._PAGE", 7)
    monkeypatch.setattr("headrace.replay.pages._WINDOW_EVENTS", 20)
    bench.put(*({"timestamp_ms": NOW_MS + each * HOUR_MS // 9} for each in range(200)))
    job = bench.ask(from_ms=NOW_MS + HOUR_MS, to_ms=NOW_MS + 15 * HOUR_MS)
    bench.run(job)
    times = [event.timestamp_ms for event in bench.reactions.done]
    assert times == [NOW_MS + each * HOUR_MS // 9 for each in range(9, 136)]
    assert bench.now(job).total == bench.now(job).replayed == len(times)


def test_events_spread_over_more_hours_than_one_question_takes_are_all_replayed(bench: Bench) -> None:
    bench.put({"timestamp_ms": 0}, {"timestamp_ms": 9_000_000_000_000}, *({"timestamp_ms": NOW_MS} for _ in range(3)))
    job = bench.ask(name="n")
    bench.run(job)
    assert len(bench.reactions.done) == bench.now(job).replayed == 5


def test_what_comes_after_the_job_was_made_is_not_part_of_it(bench: Bench) -> None:
    ids = bench.put({}, {})
    last = max(event.position for event in bench.store.get(bench.tenant, ids))
    job, _ = plan(
        bench.store, bench.tenant, Selection(None, Filters(name="n"), None), force=True, upto=last, now_ms=NOW_MS
    )
    job = bench.jobs.create(job, None)
    bench.put({"timestamp_ms": 5}, {})
    bench.run(job)
    assert {event.id for event in bench.reactions.done} == set(ids)
    assert (bench.now(job).total, bench.now(job).replayed) == (2, 2)


def test_a_limit_takes_the_oldest(bench: Bench) -> None:
    bench.put(*({"timestamp_ms": NOW_MS - each} for each in range(9)))
    job = bench.ask(limit=4)
    bench.run(job)
    assert [event.timestamp_ms - NOW_MS for event in bench.reactions.done] == [-8, -7, -6, -5]
    assert (bench.now(job).total, bench.now(job).replayed) == (4, 4)


def test_events_chosen_by_id_are_replayed_in_order_and_strangers_are_named(bench: Bench) -> None:
    ids = bench.put(*({"timestamp_ms": NOW_MS - each} for each in range(5)))
    wanted = [f"evt_{ids[1]}", render_uuid(ids[3]), ids[1], "nobody", "f" * 32]
    job = bench.ask(ids=wanted)
    bench.run(job)
    assert [event.id for event in bench.reactions.done] == [ids[3], ids[1]]
    ended = bench.now(job)
    assert (ended.ids, ended.total, ended.replayed, ended.unknown) == (5, 2, 2, 2)
    assert ended.errors == [("nobody", "Event not found"), ("f" * 32, "Event not found")]


def test_an_event_that_cannot_go_through_holds_up_no_other(bench: Bench) -> None:
    ids = bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(20)))
    bad = bench.reactions.bad = dict.fromkeys([ids[3], ids[4], ids[19]], "ValueError: no such thing")
    job = bench.ask()
    bench.run(job)
    assert [event.id for event in bench.reactions.done] == [each for each in ids if each not in bad]
    ended = bench.now(job)
    assert (ended.status, ended.total, ended.replayed, ended.failed, ended.effects) == ("done", 20, 17, 3, 17)
    assert ended.errors == [(render_uuid(each), "ValueError: no such thing") for each in (ids[3], ids[4], ids[19])]


def test_of_many_errors_the_first_are_kept(bench: Bench) -> None:
    ids = bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(MAX_ERRORS + 20)))
    bench.reactions.bad = dict.fromkeys(ids, "x" * 10_000)
    job = bench.ask()
    bench.run(job)
    ended = bench.now(job)
    assert (ended.failed, len(ended.errors)) == (MAX_ERRORS + 20, MAX_ERRORS)
    assert max(len(error) for _, error in ended.errors) == 300


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_whatever_fails_wherever_each_event_goes_through_once_and_in_order(template: Path, data: st.DataObject) -> None:
    with in_memory.folder() as folder, Bench(shutil.copy(template, folder)) as bench:  # a draw may end the example
        ids = bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(data.draw(st.integers(0, 120)))))
        plagues = data.draw(st.lists(st.sampled_from(["", "before", "after"]), max_size=8))

        def fail(where: str, _events: Sequence[StoredEvent]) -> None:
            if plagues and plagues[0] == where:
                plagues.pop(0)
                raise Unavailable("for now")
            if plagues and where == "after":
                plagues.pop(0)

        bench.reactions.fail = fail
        job = bench.ask()
        runner_rests(bench)
        bench.run(job)
        assert [event.id for event in bench.reactions.done] == ids
        ended = bench.now(job)
        assert (ended.replayed, ended.effects, ended.failed) == (len(ids), len(ids), 0)


def runner_rests(bench: Bench) -> None:
    """Make its runner try again at once."""
    make = bench.runner

    def runner(**given: Any) -> ReplayRunner:
        made = make(**given)
        made._rest = lambda _seconds: None  # type: ignore[method-assign]
        return made

    bench.runner = runner  # type: ignore[method-assign]


def test_a_job_that_is_cancelled_in_mid_slice_undoes_the_slice(bench: Bench) -> None:
    bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(3)))
    job, another = bench.ask(), bench.ask()
    begin = bench.reactions.replay

    def replay(*args: Any, **given: Any) -> Outcome:
        bench.jobs.steer(bench.tenant, job.id, "cancel", NOW_MS)
        return begin(*args, **given)

    bench.reactions.replay = replay  # type: ignore[method-assign]
    bench.run(another)
    assert (bench.now(job).status, bench.now(job).replayed) == ("cancelled", 0)
    assert (bench.now(another).status, bench.now(another).replayed) == ("done", 3)
    assert len(bench.reactions.done) == 3


def test_a_paused_job_goes_on_where_it_stopped(bench: Bench) -> None:
    bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(500)))
    job = bench.ask()
    begin = bench.reactions.replay
    slices = []

    def replay(*args: Any, **given: Any) -> Outcome:
        slices.append(args)
        if len(slices) == 3:
            bench.jobs.steer(bench.tenant, job.id, "pause", NOW_MS)
        return begin(*args, **given)

    bench.reactions.replay = replay  # type: ignore[method-assign]
    small = bench.ask(limit=1)
    bench.run(small)
    before = bench.now(job)
    assert before.status == "paused"
    assert 0 < before.replayed < 500
    assert bench.jobs.steer(bench.tenant, job.id, "pause", NOW_MS) == before, "again changes nothing"
    assert bench.jobs.steer(bench.tenant, job.id, "resume", NOW_MS).status == "queued"
    bench.run(job)
    times = [event.timestamp_ms - NOW_MS for event in bench.reactions.done]
    assert times[: before.replayed] + times[before.replayed + 1 :] == list(range(500))
    assert bench.now(job).replayed == 500


def test_a_page_that_takes_too_much_memory_is_asked_for_in_parts(bench: Bench) -> None:
    bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(40)))
    ask = bench.store.oldest

    def oldest(
        tenant: Tenant, filters: Filters, after: Cursor | None, limit: int, /, most: int = 10
    ) -> list[StoredEvent]:
        if limit > most:
            raise InvalidRequest("It needs more memory.")
        return ask(tenant, filters, after, limit)

    bench.store.oldest = oldest  # type: ignore[method-assign]
    job = bench.ask()
    bench.run(job)
    assert bench.now(job).replayed == 40
    bench.store.oldest = partial(oldest, most=0)  # type: ignore[method-assign]
    job = bench.ask()
    bench.run(job)
    assert (bench.now(job).status, bench.now(job).problem) == ("failed", "It needs more memory.")


def test_nothing_is_replayed_before_the_worker_has_reacted_to_it(bench: Bench) -> None:
    bench.put({})
    job = bench.ask()
    asked: list[int] = []

    def reacted(_tenant: Tenant) -> int:
        asked.append(len(bench.reactions.done))
        return FOR_EVER if len(asked) > 3 else 0

    runner_of = partial(ReplayRunner, bench.jobs, bench.store, bench.reactions, pace=pace(), is_busy=lambda: False)
    bench.runner = lambda **given: runner_of(reacted=reacted, **given)  # type: ignore[method-assign]
    bench.run(job)
    assert (asked, len(bench.reactions.done)) == ([0, 0, 0, 0], 1)


def test_a_job_works_in_the_gaps_that_the_worker_leaves(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.replay.jobs._BUSY_WAIT_S", 3600)
    bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(500)))
    job = bench.ask()
    busy_at: list[int] = []
    rests: list[float] = []

    def is_busy() -> bool:
        busy_at.append(len(bench.reactions.done))
        return len(busy_at) % 5 != 0  # now and then there is a gap

    runner_of = partial(
        ReplayRunner, bench.jobs, bench.store, bench.reactions, pace=pace(), reacted=lambda _tenant: FOR_EVER
    )

    def runner(**given: Any) -> ReplayRunner:
        made = runner_of(is_busy=is_busy, **given)
        made._rest = rests.append  # type: ignore[method-assign]
        return made

    bench.runner = runner  # type: ignore[method-assign]
    bench.run(job)
    assert bench.now(job).replayed == 500
    busy = [done for number, done in enumerate(busy_at, 1) if number % 5]
    gaps = [done for number, done in enumerate(busy_at, 1) if number % 5 == 0]
    assert len(gaps) > 4
    assert busy == [done for done in gaps for _ in range(4)], "nothing went through while the worker was busy"


def test_a_job_beside_a_worker_that_is_always_busy_goes_on_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.replay.jobs._BUSY_WAIT_S", 0.001)
    bench.put(*({"timestamp_ms": NOW_MS + each} for each in range(300)))
    job = bench.ask()
    runner_of = partial(ReplayRunner, bench.jobs, bench.store, bench.reactions, pace=pace(), is_busy=lambda: True)
    bench.runner = lambda **given: runner_of(reacted=lambda _tenant: FOR_EVER, **given)  # type: ignore[method-assign]
    bench.run(job)
    assert bench.now(job).replayed == 300


# What control keeps of them


def test_a_job_is_nobody_elses(bench: Bench) -> None:
    job = bench.ask()
    stranger = fresh_tenant()
    with pytest.raises(NotFound):
        bench.jobs.get(stranger, job.id)
    with pytest.raises(NotFound):
        bench.jobs.steer(stranger, job.id, "cancel", NOW_MS)
    with pytest.raises(NotFound):
        bench.jobs.get(Tenant(bench.tenant.project, "test"), job.id)
    assert bench.jobs.listed(stranger, 10, 0) == (0, [])
    assert [each.id for each in bench.jobs.listed(bench.tenant, 10, 0)[1]] == [job.id]


def test_what_has_ended_cannot_be_steered_but_cancelled_once_more(bench: Bench) -> None:
    job = bench.ask()
    cancelled = bench.jobs.steer(bench.tenant, job.id, "cancel", NOW_MS)
    assert bench.jobs.steer(bench.tenant, job.id, "cancel", NOW_MS + 1) == cancelled
    for action in ("pause", "resume"):
        with pytest.raises(InvalidRequest, match="cancelled"):
            bench.jobs.steer(bench.tenant, job.id, action, NOW_MS)


def test_there_are_only_so_many_unfinished_jobs_of_a_tenant(bench: Bench) -> None:
    jobs = [bench.ask() for _ in range(MAX_WAITING)]
    with pytest.raises(Unavailable, match="unfinished"):
        bench.ask()
    bench.jobs.steer(bench.tenant, jobs[7].id, "cancel", NOW_MS)
    bench.ask()


def test_old_jobs_that_have_ended_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.control.replay_jobs.MAX_KEPT", 2)
    waiting = bench.ask()
    for _ in range(4):
        bench.jobs.steer(bench.tenant, bench.ask().id, "cancel", NOW_MS)
    newest = bench.ask()
    total, listed = bench.jobs.listed(bench.tenant, 10, 0)
    assert {waiting.id, newest.id} <= {job.id for job in listed}
    assert total == 4, "two that ended, and two that have not"
