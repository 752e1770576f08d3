"""The slots that queries wait for and run in."""

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.model.settings import Settings
from headrace.pipeline.queries import QuerySlots
from headrace.store.remembering import RememberingReader


def queries_of(settings: Settings, adapters: Adapters, pipeline: PipelineWing, /) -> QuerySlots:
    def on_ease(ease: float) -> None:
        pipeline.worker.ease = ease

    return QuerySlots(
        RememberingReader(adapters.store),
        fresh=pipeline.freshness.visible,
        running=settings.query_readers,
        waiting=settings.query_queue,
        patience_s=settings.query_wait_s,
        write_wait_s=pipeline.intake.longest_wait_s,
        on_ease=on_ease,
        clock_ms=clock_ms,
    )
