"""What the coordinating worker has in the place of a worker, where several share the storing."""

from collections.abc import Callable

from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.log_needs import LogNeeds
from headrace.control.partition_offsets import committed
from headrace.model.event import first_position
from headrace.model.settings import Settings
from headrace.pipeline.recovery import take_over
from headrace.pipeline.shared_storing import SharedStoring
from headrace.pipeline.worker_progress import WorkerProgress
from headrace.ports.channels import Channels
from headrace.upkeep.quarantine import QuarantineDesk


def shared_storing_of(
    settings: Settings,
    adapters: Adapters,
    channels: Channels,
    log_needs: LogNeeds,
    quarantine: QuarantineDesk,
    progress: WorkerProgress,
    /,
    on_progress: Callable[[], None],
) -> SharedStoring:
    def begin(position: int) -> None:
        adapters.store.settle()
        take_over(adapters.log, adapters.store, adapters.erased, quarantine, position)

    def trim_upto(stored: int) -> int:
        kept_from_ms = clock_ms() - int(settings.log_keep_s * 1000)
        is_short = adapters.log.size_bytes() > adapters.spare_log_bytes
        upto = stored if is_short else min(stored, first_position(max(0, kept_from_ms)))
        return min(upto, log_needs.upto())

    return SharedStoring(
        *(channels, adapters.log, adapters.offsets),
        committed=lambda: committed(adapters.control, settings.log_partitions),
        begin=begin,
        probe=adapters.probe,
        trim_upto=trim_upto,
        progress=progress,
        on_progress=on_progress,
        on_look=quarantine.look_again,
    )
