"""The way of an event: intake, worker, reactor, and who waits for how far these have come."""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.log_needs import LogNeeds
from headrace.assembly.shared_storing import shared_storing_of
from headrace.assembly.sharing import copy_of, feed_of
from headrace.assembly.signals import Signals
from headrace.assembly.wings.reactions import ReactionWing
from headrace.dialects.statements import statement_of
from headrace.model.entries import Kind, Record
from headrace.model.settings import Settings
from headrace.pipeline.commands import Commands, split
from headrace.pipeline.current_event import CurrentEventFile
from headrace.pipeline.freshness import Freshness
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.intake import Intake
from headrace.pipeline.lag import LagWatch
from headrace.pipeline.only_partition import OnlyPartition
from headrace.pipeline.overruns import OverrunWatch
from headrace.pipeline.people import PeopleStage
from headrace.pipeline.reactor import Reactor
from headrace.pipeline.recent_records import RecentRecords
from headrace.pipeline.shared_progress import ProgressCopy, ProgressFeed
from headrace.pipeline.shared_storing import AnyWorker
from headrace.pipeline.statement_watch import StatementWatch
from headrace.pipeline.worker import Worker
from headrace.pipeline.worker_progress import WorkerProgress
from headrace.reactions.overruns import Limits
from headrace.upkeep.quarantine import QuarantineDesk


class PipelineWing(msgspec.Struct, frozen=True):
    """progress: the worker's. watch: which acknowledged events may say something about people that is not known yet.

    told: what a gateway hears of the worker's progress; lag: how far its answers may lag. feed: by which a worker tells gateways.
    None for other roles.
    """

    intake: Intake
    worker: AnyWorker
    progress: WorkerProgress
    reactor: Reactor
    freshness: Freshness
    quarantine: QuarantineDesk
    holds: ErasureHolds
    watch: StatementWatch
    log_needs: LogNeeds
    current: CurrentEventFile
    told: ProgressCopy | None
    feed: ProgressFeed | None
    lag: LagWatch | None

    def visible(self) -> int:
        """The position up to which the store has every event, 0 before the worker has begun."""
        return self.progress.visible if self.told is None else self.told.visible()


def pipeline_of(
    settings: Settings,
    adapters: Adapters,
    control: ControlAdapters,
    reacting: ReactionWing,
    signals: Signals,
    /,
    on_step: Callable[[str], None],
    url: str = "",
) -> PipelineWing:
    """url: where gateways reach this worker."""
    is_alone = settings.role == "all"
    is_coordinator = settings.role == "worker" and settings.log_partitions > 1
    progress, recent = WorkerProgress(), RecentRecords()
    # What other processes append may say something, and this one does not learn of it.
    watch = StatementWatch(adapters.log.last() if is_alone else adapters.log.bound())

    def read(records: Sequence[Record]) -> None:
        signals.inserted(split(list(records))[0])  # others have stored them

    current = CurrentEventFile(settings.data / "reacting")
    holds = ErasureHolds(control.erasures, signals.erasure_read)
    reactor = Reactor(
        *(reacting.states, reacting.timelines, reacting.reactions),
        log=adapters.log,
        store=adapters.store,
        visible=lambda: progress.visible,
        current=current,
        people=PeopleStage(
            control.people_states, adapters.erased, statement_of, placeholders=settings.people_placeholders
        ),
        watch=watch,
        overruns=OverrunWatch(control.overruns, Limits(settings.put_aside_events, int(settings.put_aside_s * 1000))),
        holds=holds,
        recent=recent,
        on_progress=signals.reacted,
        on_read=read if is_coordinator else _nothing,
        on_step=on_step,
    )
    log_needs = LogNeeds(reactor, size_bytes=adapters.log.size_bytes, spare_bytes=adapters.spare_log_bytes)

    def in_worker(work: Callable[[], None]) -> None:
        worker.run(work)  # which is made with the desk, and so after it

    quarantine = QuarantineDesk(
        *(adapters.quarantine, adapters.log, adapters.store),
        in_worker=in_worker,
        react=partial(reacting.react_again, adapters.store),
        clock_ms=clock_ms,
    )
    worker: AnyWorker
    if is_coordinator and adapters.log_server is not None:
        worker = shared_storing_of(
            *(settings, adapters, adapters.log_server, log_needs, quarantine, progress), on_progress=signals.stored
        )
    else:
        worker = Worker(
            *(adapters.log, adapters.store, adapters.offsets, settings),
            progress=progress,
            erased=adapters.erased,
            put_aside=quarantine,
            commands=Commands({Kind.ERASURE: holds.read}),
            needed_from=log_needs.upto,
            on_progress=signals.stored,
            on_stored=signals.inserted,
            recent=recent,
            clock_ms=clock_ms,
            probe=adapters.probe,
            settle=adapters.store.settle,
            spare_log_bytes=adapters.spare_log_bytes,
            drain=is_alone,
            on_step=on_step,
        )
    told = copy_of(settings, adapters, control.reaction_states, on_told=signals.told)
    feed = feed_of(settings, adapters, worker, reactor, url)
    own = OnlyPartition(visible=lambda: progress.visible, reacted=reactor.reacted, want=worker.want)
    lag = None if told is None else LagWatch(adapters.log.tails, told.visible, clock_ms)
    freshness = Freshness(
        tails=adapters.log.tails if lag is None else lag.tails,
        progress=told or own,
        freshness_timeout_s=settings.freshness_timeout_s,
        sync_deadline_s=settings.sync_deadline_s,
        clock_ms=clock_ms,
        stuck=lambda: told.stuck if told else worker.stuck,
        reactions_stuck=lambda: told.reactions_stuck if told else reactor.stuck,
        elsewhere=adapters.elsewhere,
    )
    intake = Intake(
        adapters.log,
        max_queue_bytes=settings.intake_queue_bytes,
        on_append=worker.notify,
        elsewhere=adapters.elsewhere,
        **adapters.append_limits,
    )
    signals.stored.add(freshness.advance, reactor.wake)
    signals.reacted.add(freshness.advance)
    signals.detached.add(reactor.wake)
    signals.told.add(freshness.advance)
    if feed is not None:
        signals.stored.add(feed.wake)
        signals.reacted.add(feed.wake)
    return PipelineWing(
        *(intake, worker, progress, reactor, freshness, quarantine, holds, watch, log_needs, current),
        told=told,
        feed=feed,
        lag=lag,
    )


def _nothing(_records: Sequence[Record]) -> None:
    pass
