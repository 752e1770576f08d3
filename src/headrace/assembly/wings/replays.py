"""Replays: the runner of their jobs, rebuilds, and dry runs of rebuilds."""

from collections.abc import Callable
from functools import partial

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.load import ServerLoad
from headrace.assembly.serving_loop import ServingLoop
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.assembly.wings.reactions import ReactionWing
from headrace.control.scratch import ScratchFile
from headrace.model.settings import Settings
from headrace.pipeline.queries import QuerySlots
from headrace.pipeline.reactions import Reactions
from headrace.replay.jobs import ReplayRunner
from headrace.replay.pace import Pace
from headrace.replay.rebuild import Rebuild
from headrace.replay.rehearsal import Rehearsals


class ReplayWing(msgspec.Struct, frozen=True):
    runner: ReplayRunner
    rebuild: Rebuild
    rehearsals: Rehearsals


def replays_of(
    settings: Settings,
    adapters: Adapters,
    control: ControlAdapters,
    reacting: ReactionWing,
    pipeline: PipelineWing,
    queries: QuerySlots,
    serving: ServingLoop,
    /,
    on_step: Callable[[str], None],
) -> ReplayWing:
    rebuild = Rebuild(control.settlement, reacting.reactions.payers, clock_ms)
    load = ServerLoad(adapters.log, pipeline.worker, queries, settings.flush_interval_ms)
    new_pace = partial(Pace, settings.replay_share, is_quiet=load.is_quiet, ask=serving.ping)
    runner = ReplayRunner(
        *(control.replay_jobs, adapters.store, reacting.reactions),
        pace=new_pace(),
        reacted=pipeline.reactor.reacted,
        is_busy=load.is_worker_busy,
        clock_ms=clock_ms,
        rebuild=rebuild,
        on_step=on_step,
        look_every_s=adapters.leases.length_s,
    )
    rehearsals = Rehearsals(
        *(adapters.store, reacting.states),
        lambda over: Reactions(over, reacting.timelines, clock_ms),
        rebuild,
        scratch=partial(ScratchFile, settings.data),
        pace=new_pace,
    )
    return ReplayWing(runner, rebuild, rehearsals)
