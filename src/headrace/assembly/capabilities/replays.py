"""Replays: at once, as a dry run, and as jobs."""

import asyncio
import threading

from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.model.filters import Page, Selection
from headrace.model.rehearsal import Rehearsed
from headrace.model.replay_job import Action, ReplayJob
from headrace.ports.control import ControlFailed
from headrace.ports.store import Reader, StoreFailed
from headrace.replay.jobs import plan
from headrace.replay.once import Replayed, replay


class ReplayAdmin:
    """Starts replays and steers their jobs. Raises NotFound, InvalidRequest, Unavailable."""

    def __init__(self, runtime: Runtime) -> None:
        self._tails = runtime.log.tails
        self._queries = runtime.queries
        self._freshness = runtime.pipeline.freshness
        self._reactions = runtime.reacting.reactions
        self._jobs = runtime.control.replay_jobs
        self._wake = runtime.replays.runner.loop.wake
        self._rebuild = runtime.replays.rebuild
        self._rehearsals = runtime.replays.rehearsals

    async def plan(self, tenant: Tenant, selection: Selection, force: bool, rebuild: bool, /) -> ReplayJob:
        """Create a job that replays events acknowledged before now. Also raises what the reader raises."""
        rebuild_for = await asyncio.to_thread(self._rebuild.applied, tenant.project) if rebuild else None
        # After the rules: the job replays every event that they do not judge on arrival.
        upto = max((await self._tails()).values())

        def make(reader: Reader) -> ReplayJob:
            job, event_ids = plan(
                reader, tenant, selection, force=force, upto=upto, now_ms=clock_ms(), rebuild_for=rebuild_for
            )
            return self._jobs.create(job, event_ids)

        try:
            job = await self._queries.ask(make)
        except ControlFailed as error:
            raise Unavailable(str(error)) from error
        self._wake()
        return job

    async def at_once(self, tenant: Tenant, selection: Selection, /, *, force: bool, dry_run: bool) -> Replayed:
        """Replay now, after the reactor has reacted to everything that waits, in log order and once. See `replay`."""
        await self._freshness.settled(tenant)
        return await self._queries.ask(
            lambda reader: replay(reader, self._reactions, tenant, selection, force=force, dry_run=dry_run)
        )

    async def rehearse(self, tenant: Tenant, /) -> Rehearsed:
        """What a rebuild would do. See `Rehearsals.run`. If it is cancelled, the work ends soon."""
        upto = max((await self._tails()).values())
        await self._freshness.settled(tenant)
        gone = threading.Event()
        try:
            return await ask_control(lambda: self._rehearsals.run(tenant, upto, gone))
        except StoreFailed as error:
            raise Unavailable(str(error)) from error
        finally:
            gone.set()

    async def listed(self, tenant: Tenant, page: Page, /) -> tuple[int, list[ReplayJob]]:
        """The number of jobs, and the jobs of one page."""
        return await ask_control(lambda: self._jobs.listed(tenant, page.limit, page.offset))

    async def get(self, tenant: Tenant, job_id: str, /) -> ReplayJob:
        return await ask_control(lambda: self._jobs.get(tenant, job_id))

    async def steer(self, tenant: Tenant, job_id: str, action: Action, /) -> ReplayJob:
        """Pause, resume or cancel a job."""
        job = await ask_control(lambda: self._jobs.steer(tenant, job_id, action, clock_ms()))
        self._wake()
        return job
