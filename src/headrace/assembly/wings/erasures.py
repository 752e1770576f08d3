"""What removes events: erasures of people, retention, and telling backups of those who were erased."""

from collections.abc import Callable

import msgspec

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.signals import Signals
from headrace.assembly.wings.pipeline import PipelineWing
from headrace.assembly.wings.webhooks import WebhookWing
from headrace.upkeep.erasing import Eraser
from headrace.upkeep.notices import Notices
from headrace.upkeep.prune import Pruner


class ErasureWing(msgspec.Struct, frozen=True):
    eraser: Eraser
    pruner: Pruner
    notices: Notices


def erasures_of(
    adapters: Adapters,
    control: ControlAdapters,
    pipeline: PipelineWing,
    webhooks: WebhookWing,
    signals: Signals,
    /,
    on_step: Callable[[str], None],
) -> ErasureWing:
    notices = Notices(control.erasure_notices, control.backup_folders)
    eraser = Eraser(
        *(control.erasures, control.forgetting, adapters.erased),
        people=control.people,
        log=adapters.log,
        store=adapters.store,
        put_aside=pipeline.quarantine,
        holds=pipeline.holds,
        watch=pipeline.watch,
        has_passed=pipeline.reactor.has_passed,
        feed_paused=webhooks.feed.paused,
        on_append=pipeline.worker.notify,
        on_detached=signals.detached,
        tell_backups=notices.tell,
        clock_ms=clock_ms,
        on_step=on_step,
    )
    pruner = Pruner(
        *(adapters.store, adapters.log, adapters.offsets),
        *(control.reaction_states, adapters.erased, control.retentions),
        clock_ms=clock_ms,
        on_step=on_step,
    )
    signals.reacted.add(eraser.on_reacted)
    signals.erasure_read.add(eraser.loop.wake)
    return ErasureWing(eraser, pruner, notices)
