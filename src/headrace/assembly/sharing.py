"""What a worker tells gateways of its progress, and a gateway hears of it."""

from collections.abc import Callable

from headrace.assembly.adapters import Adapters
from headrace.control.reaction_states import ControlReactionStates
from headrace.model.settings import Settings
from headrace.pipeline.reactor import Reactor
from headrace.pipeline.shared_progress import ProgressCopy, ProgressFeed, Snapshot
from headrace.pipeline.shared_storing import AnyWorker, SharedStoring


def copy_of(
    settings: Settings, adapters: Adapters, states: ControlReactionStates, /, *, on_told: Callable[[], None]
) -> ProgressCopy | None:
    """A gateway's; None for other roles. on_told: called when it hears of progress. Raises ControlFailed."""
    if settings.role != "gateway" or adapters.log_server is None:
        return None
    upto, tenants = states.progress()
    behind = [(tenant.project, tenant.mode, reached) for tenant, (reached, is_behind) in tenants.items() if is_behind]
    known = Snapshot(0, adapters.offsets.position(), upto, behind)
    return ProgressCopy(adapters.log_server, known, on_progress=on_told)


def feed_of(
    settings: Settings, adapters: Adapters, worker: AnyWorker, reactor: Reactor, url: str, /
) -> ProgressFeed | None:
    """A worker's; None for other roles."""
    if settings.role != "worker" or adapters.log_server is None:
        return None

    def snapshot() -> Snapshot:
        upto, behind = reactor.progress()
        return Snapshot(
            0 if adapters.lease is None else adapters.lease.current.fence,
            worker.progress.visible,
            upto,
            [(tenant.project, tenant.mode, reached) for tenant, reached in behind],
            worker.stuck,
            reactor.stuck,
            url,
        )

    # What is waited for, workers that share the storing hear by themselves.
    want = _nothing if isinstance(worker, SharedStoring) else worker.want
    return ProgressFeed(adapters.log_server, snapshot=snapshot, want=want)


def _nothing(_position: int) -> None:
    pass
