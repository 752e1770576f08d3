"""The server's status in the native dialect. Translates; never queries."""

from headrace.dialects.native import render_data
from headrace.model.status import Lag, Status, WholeServer
from headrace.model.times import render_time_short


def render_status(status: Status, console: str, /) -> bytes:
    """Render the status. `server` is null for keys that may not see the figures of all projects.

    console: whether the console is built, stale or missing.
    """
    return render_data(
        {
            "versions": {"headrace": status.version, "python": status.python, "control_schema": status.schema},
            "started_at": render_time_short(status.started_at_ms),
            "uptime_seconds": status.uptime_s,
            "dedup_window_seconds": status.dedup_window_s,
            "console": console,
            "reactions": _lag(status.own)
            | {"passed_over": status.passed_over, "rules_put_aside": status.rules_put_aside},
            "server": None if status.whole is None else _server(status.whole),
        }
    )


def _lag(lag: Lag) -> dict[str, object]:
    own: dict[str, object] = {"project": lag.tenant.project, "mode": lag.tenant.mode}
    return own | {"waiting": lag.waiting, "lag_seconds": lag.seconds}


def _server(whole: WholeServer) -> dict[str, object]:
    return {
        "throughput": {
            "step_seconds": whole.step_s,
            "steps": [
                {
                    "ended_at": render_time_short(step.ended_at_ms),
                    "accepted": step.accepted,
                    "stored": step.stored,
                    "refused": step.refused,
                    "refused_requests": step.refused_requests,
                }
                for step in whole.steps
            ],
        },
        "oldest_unseen_seconds": whole.oldest_unseen_s,
        "log": {"bytes": whole.log_bytes, "max_bytes": whole.log_max_bytes},
        "intake_queue_bytes": whole.intake_queue_bytes,
        "reactions": {
            "unreacted_events": whole.unreacted_events,
            "behind": whole.tenants_behind,
            "projects": [_lag(lag) for lag in whole.lags],
        },
        "queries": {"running": whole.queries_running, "waiting": whole.queries_waiting},
        "disk": {"free_bytes": whole.disk_free_bytes, "total_bytes": whole.disk_total_bytes},
        "problems": [
            {"of": name, "what": problem}
            for name, problem in (("worker", whole.worker_problem), ("reactor", whole.reactor_problem))
            if problem
        ],
    }
