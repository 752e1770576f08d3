"""What the console shows as it happens: events that arrive, and rates of the last minutes."""

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.signals import Signals
from headrace.assembly.throughput import STEP_S, Throughput
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.dialects.native_live import render_live_row
from headrace.pipeline.live import LiveHub
from headrace.pipeline.loop import Loop


class LiveWing(msgspec.Struct, frozen=True):
    """sampling: the loop that samples the throughput."""

    hub: LiveHub
    throughput: Throughput
    sampling: Loop


def live_of(adapters: Adapters, pipeline: PipelineWing, signals: Signals, /) -> LiveWing:
    hub = LiveHub(render=render_live_row, want=pipeline.worker.want, last=adapters.log.last)
    signals.inserted.add(hub.offer)
    throughput = Throughput(lambda: pipeline.progress.stored_events, clock_ms)
    return LiveWing(hub, throughput, Loop("throughput", throughput.sample, idle_s=STEP_S))
