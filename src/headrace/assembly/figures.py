"""The metrics of a running server, one line each. Only reads."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from shutil import disk_usage

import msgspec

from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.model.errors import Unavailable
from headrace.model.event import received_at_ms
from headrace.model.status import Lag
from headrace.ports.control import ControlFailed
from headrace.ports.log import LogReader

Sample = tuple[Sequence[str], float]
PARTITIONS_STORED = "Partitions of the log that this worker stores now."
_MAX_RULES = 100  # of one project, because a key that may change rules can create any number of them


class Figure(msgspec.Struct, frozen=True):
    """A metric: a number, or one for each set of labels. counts: it never decreases."""

    name: str
    text: str
    samples: Sequence[Sample]
    labels: Sequence[str] = ()
    counts: bool = False


def reaction_lags(runtime: Runtime, /) -> list[Lag]:
    """The lag of each project and mode that has events waiting."""
    now_ms = clock_ms()
    return [
        Lag(tenant, waiting, max(0, now_ms - received_at_ms(oldest)) / 1000)
        for tenant, oldest, waiting in runtime.pipeline.reactor.lags()
    ]


def figures(runtime: Runtime, /) -> Iterator[Figure]:
    """Every figure of this process's role. Reads from control: not for the event loop's thread."""
    log, worker, reactor = runtime.log, runtime.pipeline.worker, runtime.pipeline.reactor
    progress = worker.progress
    yield Figure("role", "1 for what this process does.", [((runtime.settings.role,), 1)], ("role",))
    yield from _log_size(runtime)
    yield _one("log_max_bytes", "Bytes of payload at which the log is full.", log.max_bytes)
    yield Figure(
        "log_durability",
        "1 for what the log promises: fsync if every acknowledged event is on disk.",
        [((log.durability,), 1)],
        ("promise",),
    )
    yield _one(
        "stale_reads",
        "1 if queries are answered while the log cannot be asked, which weakens what they promise.",
        runtime.settings.stale_reads == "on",
    )
    yield _one("disk_free_bytes", "Free bytes where the data folder is.", disk_usage(runtime.settings.data).free)
    yield _one("queries_running", "Queries that are being answered.", runtime.queries.running)
    yield _one("queries_waiting", "Queries that wait for one of those to end.", runtime.queries.waiting)
    yield _count(
        "queries_refused",
        "Queries refused because too many were waiting, or they would have waited too long.",
        runtime.queries.refused,
    )
    yield _one(
        "queries_rest",
        "For how many times the duration of a query its reader rests after it, because writes wait.",
        runtime.queries.rest,
    )
    if (answers := runtime.store.answers) is not None:
        yield _one("query_cache_bytes", "Bytes of results of queries that are remembered.", answers.size)
        yield _count("query_cache_hits", "Results of queries that came from memory.", answers.hits)
        yield _count(
            "query_cache_misses",
            "Results of queries that were worked out, and might have come from memory.",
            answers.misses,
        )
    yield _one("intake_queue_bytes", "Bytes of events waiting for the log.", runtime.pipeline.intake.queued_bytes())
    yield from _store_lag(runtime)
    if (told := runtime.pipeline.told) is not None:
        yield _one("worker_active", "1 while this gateway hears of a worker.", told.has_worker)
        yield from _dedup_window(runtime)
        return
    if runtime.share is not None:
        yield _one("partitions_stored", PARTITIONS_STORED, len(runtime.share.held()))
    yield _count("stored_events", "Events stored since startup.", progress.stored_events)
    yield _count("flushes", "Inserts since startup.", progress.flushes)
    yield _one("worker_failing", "1 while the worker is failing.", bool(worker.failing))
    yield _one(
        "quarantined_entries",
        "Acknowledged events and commands that are put aside because the log cannot give them back as they were written.",
        runtime.pipeline.quarantine.count,
    )
    yield _count("unreacted_events", "Events since startup that could not be reacted to.", reactor.failed_events)
    yield _one("reactor_failing", "1 while the reactor is failing.", bool(reactor.failing))
    yield from _reaction_lags(runtime)
    timers = runtime.journeys.timers
    yield _one(
        "timers_lag_seconds", "Seconds that the first due timer of a journey's run has waited.", timers.lag_ms() / 1000
    )
    yield _one("timers_failing", "1 while timers of journeys are failing.", bool(timers.loop.failing))
    yield _count("timers_fired", "Timers of journeys fired since startup.", timers.fired)
    yield _count("journey_events", "Events emitted by journeys since startup.", timers.emitted)
    yield _rule_failures(runtime)
    yield _one(
        "erasures_failing", "1 while erasures of people are failing.", bool(runtime.erasures.eraser.loop.failing)
    )
    yield _one("retention_failing", "1 while old events cannot be removed.", bool(runtime.erasures.pruner.loop.failing))
    yield _one(
        "backups_untold",
        "Folders of backups that could not be told of an erasure: restoring from one would bring somebody back.",
        len(runtime.erasures.notices.untold),
    )
    exporting = runtime.upkeep.continuous
    yield _one(
        "export_failing",
        "1 while the continuous export is failing; 0 also if there is none.",
        exporting is not None and bool(exporting.loop.failing),
    )
    yield from _own_columns(runtime)
    yield from _deliveries(runtime)
    yield _rules_put_aside(runtime)
    yield from _dedup_window(runtime)


def _log_size(runtime: Runtime) -> Iterator[Figure]:
    """Yields nothing while the log fails, nor does the next."""
    with suppress(Unavailable):
        yield _one("log_bytes", "Bytes of payload in the log.", runtime.log.size_bytes())


def _dedup_window(runtime: Runtime) -> Iterator[Figure]:
    with suppress(Unavailable):
        window_s = runtime.log.dedup_window_s()
        yield _one("dedup_window_seconds", "How far back message ids are remembered.", window_s)


def _own_columns(runtime: Runtime) -> Iterator[Figure]:
    """As of the keeper's last look, a minute ago at most while queries come."""
    keeper = runtime.upkeep.columns
    states = [each.is_complete for each in keeper.columns]
    yield Figure(
        "own_columns",
        "Columns that tags and properties have for themselves.",
        [(("complete",), sum(states)), (("filling",), len(states) - sum(states))],
        ("state",),
    )
    yield _one("own_columns_bytes", "Bytes of those columns.", sum(each.bytes for each in keeper.columns))
    yield _count("own_columns_given", "Such columns given since startup.", keeper.given)
    yield _count("own_columns_dropped", "Such columns dropped since startup.", keeper.dropped)
    yield _one("own_columns_failing", "1 while such columns cannot be given or dropped.", bool(keeper.failing))


def _one(name: str, text: str, value: float) -> Figure:
    return Figure(name, text, [((), value)])


def _count(name: str, text: str, value: float) -> Figure:
    return Figure(name, text, [((), value)], counts=True)


def _store_lag(runtime: Runtime) -> Iterator[Figure]:
    """Yields nothing if it is unknown because the log or control fails."""
    try:
        visible = runtime.visible()
        age_s = store_lag_s(runtime.log, visible, clock_ms())
    except (ControlFailed, Unavailable):
        return
    yield _one(
        "store_lag_seconds",
        "Age of the oldest acknowledged event that queries do not see yet; 0 if they see all.",
        age_s,
    )


def store_lag_s(log: LogReader, visible: int, now_ms: int, /) -> float:
    """The age of the oldest entry that is not visible yet; 0 if all are visible. Raises Unavailable.

    It grows while nothing is stored, whether or not events arrive. It is not the distance between two events: after an idle hour,
    the first event is only as old as itself.
    """
    if log.last() <= visible:
        return 0.0
    oldest = log.read(visible, 1, 1)
    return max(0, now_ms - received_at_ms(oldest[0].position)) / 1000 if oldest else 0.0


def _reaction_lags(runtime: Runtime) -> Iterator[Figure]:
    """Only for projects that have a backlog, which are few. All others have none."""
    found, labels = reaction_lags(runtime), ("project", "mode")
    yield Figure(
        "reactions_waiting",
        "Events in memory waiting for their project's turn.",
        [((lag.tenant.project, lag.tenant.mode), lag.waiting) for lag in found],
        labels,
    )
    yield Figure(
        "reactions_lag_seconds",
        "Age of the oldest event waiting for its reactions.",
        [((lag.tenant.project, lag.tenant.mode), lag.seconds) for lag in found],
        labels,
    )


def _rule_failures(runtime: Runtime) -> Figure:
    try:
        found = runtime.control.rulebook.failures(_MAX_RULES)
    except ControlFailed:  # the other figures are still shown
        found = []
    return Figure(
        "rule_failures",
        "Events for which a rule's condition had no truth value.",
        [((project, rule), failures) for project, rule, failures in found],
        ("project", "rule"),
        counts=True,
    )


def _deliveries(runtime: Runtime) -> Iterator[Figure]:
    deliverer, counts = runtime.webhooks.deliverer, runtime.webhooks.deliverer.counts
    yield Figure(
        "webhook_attempts",
        "Attempts to deliver to webhooks since startup, by outcome; one that failed is followed by another.",
        [(("delivered",), counts.delivered), (("failed",), counts.failed), (("dead",), counts.dead)],
        ("outcome",),
        counts=True,
    )
    yield _one("webhook_deliveries_in_memory", "Deliveries that are attempted now or next.", deliverer.in_memory())
    failing = bool(deliverer.failing or runtime.webhooks.feed.loop.failing)
    yield _one("webhooks_failing", "1 while this server cannot work through its deliveries.", failing)


def _rules_put_aside(runtime: Runtime) -> Figure:
    try:
        found = runtime.control.overruns.counts()
    except ControlFailed:
        found = {}
    samples = [((tenant.project, tenant.mode), float(count)) for tenant, count in found.items()]
    return Figure("rules_put_aside", "Rules put aside as too costly.", samples, ("project", "mode"))
