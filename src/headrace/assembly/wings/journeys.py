"""Journeys: what changes their runs besides events, and the thread that fires their timers."""

from collections.abc import Callable

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.serving_loop import ServingLoop
from headrace.assembly.signals import Signals
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.assembly.wings.reactions import ReactionWing
from headrace.control.journey_messages import RunReplies
from headrace.model.settings import Settings
from headrace.pipeline.journeys import RunChanges, Versions
from headrace.pipeline.timers import Timers


class JourneyWing(msgspec.Struct, frozen=True):
    changes: RunChanges
    timers: Timers


def journeys_of(
    settings: Settings,
    adapters: Adapters,
    control: ControlAdapters,
    reacting: ReactionWing,
    pipeline: PipelineWing,
    serving: ServingLoop,
    signals: Signals,
    /,
    on_step: Callable[[str], None],
) -> JourneyWing:
    changes = RunChanges(reacting.states, reacting.reactions, Versions(control.journeys))
    timers = Timers(
        *(control.journey_work, control.journey_work, changes),
        accept=lambda items: serving.run(lambda: pipeline.intake.accept(items)),
        last=adapters.log.last,
        reacted=pipeline.reactor.reacted,
        holds=pipeline.holds,
        want=pipeline.worker.want,
        clock_ms=clock_ms,
        on_step=on_step,
        look_every_s=adapters.leases.length_s,
        pruning=control.journey_work,
        keep_ms=int(settings.journey_keep_s * 1000),
    )
    control.replies.register(RunReplies(control.journey_work, clock_ms, timers.on_reply))
    signals.reacted.add(timers.on_reacted)
    signals.run_changed.add(timers.on_changed)
    signals.detached.add(timers.on_lifted)
    return JourneyWing(changes, timers)
