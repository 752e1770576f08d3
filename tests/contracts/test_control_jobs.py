"""Replay jobs on SQLite and on PostgreSQL 18: kept, steered, and worked on by one runner each."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control.database import open_database, reading, writing
from headrace.control.leases import ControlLeases
from headrace.control.replay_jobs import ReplayJobs
from headrace.control.tables.positions import leases
from headrace.control.tables.reactions import markers
from headrace.control.tables.replays import replays
from headrace.model.effects import Effect, Outcome
from headrace.model.errors import InvalidRequest, NotFound, Unavailable
from headrace.model.event import StoredEvent, Tenant
from headrace.model.filters import Cursor, Filters
from headrace.model.ledger import Correction
from headrace.model.replay_job import ReplayJob, Stopped, TakenJob
from headrace.ports.control import LeaseLost
from headrace.ports.reactions import BeforeCommit
from headrace.ports.replay_jobs import JobStore, RunnerJobs
from headrace.replay.jobs import ReplayRunner
from headrace.replay.pace import Pace
from tests.contracts.rivals import Rival, before
from tests.engine import NOW_MS, event_of, record_at
from tests.fakes import MemoryStore

TENANT = Tenant("p", "live")
EVENTS = 200


def new_job(**fields: object) -> ReplayJob:
    usual: dict[str, object] = {
        "id": "",
        "tenant": TENANT,
        "status": "queued",
        "filters": Filters(upto=2**62),
        "ids": None,
    }
    usual |= {"limit": None, "force": True, "upto": 1, "total": EVENTS, "created_at_ms": NOW_MS}
    return ReplayJob(**usual | fields)  # type: ignore[arg-type]


def expire(engine: Engine) -> None:
    """As if every lease's time had passed."""
    with writing(engine) as connection:
        connection.execute(sa.update(leases).values(expires_at_ms=1))


def take(jobs: RunnerJobs, owner: str = "runner") -> TakenJob:
    taken = jobs.take(owner, NOW_MS)
    assert taken is not None
    return taken


def note(engine: Engine, jobs: RunnerJobs, taken: TakenJob, marker: str, events: int = 1) -> None:
    """A slice: what its events caused, and the job's new place."""
    with writing(engine) as connection:
        connection.execute(sa.insert(markers).values(event_id=marker, counted=""))
        jobs.note(connection, taken, Cursor(NOW_MS, events), events, Outcome([], 0))


def marks(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(markers)) or 0


# Kept and steered


def test_a_job_is_kept_as_it_was_made(engine: Engine) -> None:
    jobs: JobStore = ReplayJobs(engine)
    filters = Filters(name="a\x00b", upto=2**62)
    job = jobs.create(
        new_job(filters=filters, ids=2, limit=7, force=False, errors=[("x\x00", "not found")]), ["a", "b"]
    )
    kept = jobs.get(TENANT, job.id)
    assert (kept.filters.name, kept.filters.upto) == ("a\x00b", 2**62)
    assert msgspec.structs.replace(kept, filters=filters) == job
    assert jobs.listed(TENANT, 9, 0)[0] == 1
    assert take(ReplayJobs(engine)).event_ids == ["a", "b"]
    assert jobs.get(TENANT, job.id).status == "running"


@pytest.mark.parametrize("job_id", ["", "\x00", "a\x00b", "é", "x" * 1000])
def test_a_job_of_any_other_id_is_not_found(engine: Engine, job_id: str) -> None:
    with pytest.raises(NotFound):
        ReplayJobs(engine).get(TENANT, job_id)
    with pytest.raises(NotFound):
        ReplayJobs(engine).steer(TENANT, job_id, "cancel", 1)


def test_jobs_are_paused_resumed_and_cancelled(engine: Engine) -> None:
    jobs = ReplayJobs(engine)
    job = jobs.create(new_job(), None)
    assert jobs.steer(TENANT, job.id, "pause", 1).status == "paused"
    assert jobs.take("runner", NOW_MS) is None
    assert jobs.steer(TENANT, job.id, "resume", 1).status == "queued"
    taken = take(jobs)
    assert jobs.steer(TENANT, job.id, "resume", 1).status == "running"
    assert jobs.steer(TENANT, job.id, "cancel", 5).finished_at_ms == 5
    with pytest.raises(Stopped):
        note(engine, jobs, taken, "late")
    assert marks(engine) == 0
    with pytest.raises(InvalidRequest, match="cancelled"):
        jobs.steer(TENANT, job.id, "resume", 1)


def test_of_a_pause_and_a_resume_at_once_each_sees_what_the_other_left(engine: Engine, other: Engine) -> None:
    job = ReplayJobs(engine).create(new_job(), None)
    rivals: list[Rival] = []

    def meet() -> None:
        rivals.append(Rival(lambda: ReplayJobs(other).steer(TENANT, job.id, "pause", 2)))
        rivals[0].wait_until_blocked(engine)

    before(engine, "UPDATE replays", meet)
    assert ReplayJobs(engine).steer(TENANT, job.id, "cancel", 1).status == "cancelled"
    with pytest.raises(InvalidRequest, match="cancelled"):
        rivals[0].result()
    assert ReplayJobs(engine).get(TENANT, job.id).status == "cancelled"


def test_two_that_ask_for_the_last_place_at_once_do_not_both_get_it(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.control.replay_jobs.MAX_WAITING", 1)
    rivals: list[Rival] = []

    def meet() -> None:  # the first has counted
        rivals.append(Rival(lambda: ReplayJobs(other).create(new_job(), None)))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO replays", meet)
    ReplayJobs(engine).create(new_job(), None)
    with pytest.raises(Unavailable, match="unfinished"):
        rivals[0].result()
    assert ReplayJobs(engine).listed(TENANT, 9, 0)[0] == 1


def test_the_lease_of_a_job_goes_when_the_job_is_forgotten(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.control.replay_jobs.MAX_KEPT", 1)
    jobs = ReplayJobs(engine)
    for number in range(4):
        jobs.create(new_job(created_at_ms=NOW_MS + number), None)
        jobs.finish(take(jobs), "done", "", NOW_MS)
    with reading(engine) as connection:
        kept = connection.scalars(sa.select(leases.c.name)).all()
        assert len(kept) <= 2
        assert {f"replay/{each}" for each in connection.scalars(sa.select(replays.c.id))} == set(kept)


# One runner each


def test_a_job_is_one_runners_until_its_lease_expires(engine: Engine, other: Engine) -> None:
    mine, others = ReplayJobs(engine), ReplayJobs(other)
    jobs = [mine.create(new_job(created_at_ms=NOW_MS + number), None) for number in range(2)]
    first = take(mine)
    assert first.job.id == jobs[0].id
    second = take(others)
    assert second.job.id == jobs[1].id, "the second runner takes the second job"
    assert others.take("a third", NOW_MS) is None
    expire(engine)
    mine.release(first)
    assert take(others, "a third").job.id == jobs[0].id, "what is begun comes first"


def test_two_runners_that_look_at_once_do_not_take_one_job(engine: Engine, other: Engine) -> None:
    ReplayJobs(engine).create(new_job(), None)
    rivals: list[Rival] = []

    def meet() -> None:  # the first has chosen it
        rivals.append(Rival(lambda: ReplayJobs(other).take("runner", NOW_MS)))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO leases", meet)
    take(ReplayJobs(engine))
    assert rivals[0].result() is None


def test_a_runner_that_was_taken_over_commits_nothing_more(engine: Engine, other: Engine) -> None:
    mine, others = ReplayJobs(engine), ReplayJobs(other)
    job = mine.create(new_job(), None)
    late = take(mine)
    note(engine, mine, late, "one")
    expire(engine)
    held = take(others)
    assert (held.job.replayed, held.job.cursor) == (1, Cursor(NOW_MS, 1)), "it goes on where the first one was"
    with pytest.raises(LeaseLost):
        note(engine, mine, late, "two")
    with pytest.raises(LeaseLost), writing(engine) as connection:
        mine.note_corrections(connection, late, [Correction("u", "challenge", "c", 5, 3)])
    with pytest.raises(LeaseLost):
        mine.finish(late, "done", "", NOW_MS)
    mine.report(late, "it failed here")
    mine.release(late)
    assert marks(engine) == 1
    assert others.take("a third", NOW_MS) is None
    note(other, others, held, "two")
    others.finish(held, "done", "", NOW_MS)
    done = mine.get(TENANT, job.id)
    assert (done.status, done.replayed, done.problem) == ("done", 2, "")
    assert (done.corrections, done.corrected_points) == (0, 0)


def test_a_job_is_not_taken_over_in_the_middle_of_a_slice(engine: Engine, other: Engine) -> None:
    mine, others = ReplayJobs(engine), ReplayJobs(other)
    mine.create(new_job(), None)
    slow = take(mine)
    expire(engine)
    with writing(engine) as connection:
        mine.note(connection, slow, Cursor(NOW_MS, 7), 7, Outcome([], 0))
        rival = Rival(lambda: others.take("runner", NOW_MS))
        rival.wait_until_blocked(engine)
    found = rival.result() or take(others)
    assert found.job.replayed == 7


def test_a_runner_that_has_failed_may_take_its_job_again_at_once(engine: Engine) -> None:
    jobs = ReplayJobs(engine)
    jobs.create(new_job(), None)
    first = take(jobs)
    jobs.report(first, "Unavailable: for now" * 100)
    again = take(jobs)
    assert again.lease.fence > first.lease.fence
    assert again.job.problem.startswith("Unavailable: for now")
    note(engine, jobs, again, "one")


# Whole runners


class Reactions:
    """Marks each event; to mark one twice fails for good."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        with writing(self._engine) as connection:
            connection.execute(sa.insert(markers), [{"event_id": event.id, "counted": ""} for event in events])
            assert before_commit is not None
            before_commit(connection, events, Outcome([], 0))
        return Outcome([], 0)

    def effects(self, event: StoredEvent, /) -> list[Effect]:
        raise NotImplementedError


def store() -> MemoryStore:
    """The same events in each process."""
    made = MemoryStore()
    made.insert([record_at((NOW_MS << 20) + number, event_of(TENANT)) for number in range(EVENTS)])
    return made


class SmallSlices(Pace):
    def __init__(self) -> None:
        super().__init__(1.0, is_quiet=lambda: True, ask=lambda: lambda: 0.0)

    def slice(self) -> int:
        return 5


def run(engine: Engine) -> int:
    """How many jobs a runner has worked on until it found none, or lost one."""
    runner = ReplayRunner(
        ReplayJobs(engine, ControlLeases(engine)),
        store(),
        Reactions(engine),
        pace=SmallSlices(),
        reacted=lambda _tenant: 2**62,
        is_busy=lambda: False,
        clock_ms=lambda: NOW_MS,
    )
    worked = 0
    while runner.step():
        worked += 1
    return worked


def test_two_threads_that_run_jobs_replay_each_event_once(engine: Engine, other: Engine) -> None:
    job = ReplayJobs(engine).create(new_job(), None)
    rivals = [Rival(lambda engine=each: run(engine)) for each in (engine, other)]
    assert sorted(rival.result() for rival in rivals) == [0, 1]
    done = ReplayJobs(engine).get(TENANT, job.id)
    assert (done.status, done.replayed, marks(engine)) == ("done", EVENTS, EVENTS)


def run_in_process(url: str, together: Barrier) -> None:
    engine = open_database(url)
    together.wait(60)
    run(engine)
    engine.dispose()


def test_two_processes_that_run_jobs_replay_each_event_once(engine: Engine, control_url: str) -> None:
    jobs = ReplayJobs(engine)
    made = jobs.create(new_job(), None)
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    runners = [spawn.Process(target=run_in_process, args=(control_url, together)) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(100)
    assert [runner.exitcode for runner in runners] == [0, 0]
    done = jobs.get(TENANT, made.id)
    assert (done.status, done.replayed, marks(engine)) == ("done", EVENTS, EVENTS)
