"""Gathers the server's status on request. Only reads."""

import platform
import shutil

from headrace import __version__
from headrace.assembly.clock import clock_ms
from headrace.assembly.figures import reaction_lags, store_lag_s
from headrace.assembly.runtime import Runtime
from headrace.assembly.throughput import STEP_S
from headrace.control.database import HEAD
from headrace.model.event import Tenant
from headrace.model.status import Lag, Status, WholeServer

_MAX_LAGS = 100


def status_of(runtime: Runtime, tenant: Tenant, /, *, whole: bool) -> Status:
    """The server's status. Reads control and the log: not for the event loop's thread. Raises ControlFailed, Unavailable."""
    lags = sorted(reaction_lags(runtime), key=lambda lag: -lag.seconds)
    return Status(
        version=__version__,
        python=platform.python_version(),
        schema=HEAD,
        started_at_ms=runtime.started_at_ms,
        uptime_s=round(runtime.uptime_s(), 1),
        dedup_window_s=runtime.log.dedup_window_s(),
        own=next((lag for lag in lags if lag.tenant == tenant), Lag(tenant, 0, 0.0)),
        passed_over=runtime.control.rulebook.passed_over_by_all(tenant.project).get(tenant.mode, 0),
        rules_put_aside=sum(each.mode == tenant.mode for each in runtime.control.overruns.put_aside(tenant.project)),
        whole=_whole(runtime, lags) if whole else None,
    )


def _whole(runtime: Runtime, lags: list[Lag]) -> WholeServer:
    disk = shutil.disk_usage(runtime.settings.data)
    return WholeServer(
        step_s=STEP_S,
        steps=runtime.live.throughput.steps(),
        log_bytes=runtime.log.size_bytes(),
        log_max_bytes=runtime.log.max_bytes,
        intake_queue_bytes=runtime.pipeline.intake.queued_bytes(),
        oldest_unseen_s=store_lag_s(runtime.log, runtime.pipeline.worker.progress.visible, clock_ms()),
        unreacted_events=runtime.pipeline.reactor.failed_events,
        lags=lags[:_MAX_LAGS],
        tenants_behind=len(lags),
        queries_running=runtime.queries.running,
        queries_waiting=runtime.queries.waiting,
        disk_free_bytes=disk.free,
        disk_total_bytes=disk.total,
        worker_problem=runtime.pipeline.worker.failing,
        reactor_problem=runtime.pipeline.reactor.failing,
    )
