"""What there is to measure in a running server: one line for each figure. Reads; changes nothing."""

from collections.abc import Iterator, Sequence

import msgspec

from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.model.event import received_at_ms
from headrace.ports.control import ControlFailed

Sample = tuple[Sequence[str], float]


class Figure(msgspec.Struct, frozen=True):
    """A number, or one for each set of labels. counts: it only ever grows."""

    name: str
    text: str
    samples: Sequence[Sample]
    labels: Sequence[str] = ()
    counts: bool = False


def figures(runtime: Runtime, /) -> Iterator[Figure]:
    """Asks control: not for the event loop's thread."""
    log, worker, reactor = runtime.log, runtime.worker, runtime.reactor
    progress = worker.progress
    behind_ms = received_at_ms(log.last()) - received_at_ms(progress.visible)
    yield _one("log_bytes", "Payload that the log holds.", log.size_bytes())
    yield _one("intake_queue_bytes", "Events waiting for the log.", runtime.intake.queued_bytes())
    yield _one("store_lag_seconds", "How far the store is behind the log.", max(0, behind_ms) / 1000)
    yield _one("stored_events", "Events stored since the start.", progress.stored_events)
    yield _one("flushes", "Inserts since the start.", progress.flushes)
    yield _one("worker_failing", "1 while the worker cannot go on.", bool(worker.failing))
    yield _one("unreacted_events", "Events since the start that could not be reacted to.", reactor.failed_events)
    yield _one("reactor_failing", "1 while the reactor cannot go on.", bool(reactor.failing))
    yield from _reaction_lags(runtime)
    yield _rule_failures(runtime)
    yield _one("dedup_window_seconds", "How far back message ids are known.", log.dedup_window_s())


def _one(name: str, text: str, value: float) -> Figure:
    return Figure(name, text, [((), value)])


def _reaction_lags(runtime: Runtime) -> Iterator[Figure]:
    """Of the projects that have events waiting, which are few: every other has none."""
    now_ms, lags, labels = clock_ms(), list(runtime.reactor.lags()), ("project", "mode")
    yield Figure(
        "reactions_waiting",
        "Events in memory that wait for their project's turn.",
        [((tenant.project, tenant.mode), events) for tenant, _, events in lags],
        labels,
    )
    yield Figure(
        "reactions_lag_seconds",
        "Age of the oldest event that waits for its reactions.",
        [((tenant.project, tenant.mode), max(0, now_ms - received_at_ms(at)) / 1000) for tenant, at, _ in lags],
        labels,
    )


def _rule_failures(runtime: Runtime) -> Figure:
    try:
        found = runtime.rulebook.failures()
    except ControlFailed:  # the rest is told all the same
        found = []
    return Figure(
        "rule_failures",
        "Events for which a rule's condition had no truth value.",
        [((project, rule), failures) for project, rule, failures in found],
        ("project", "rule"),
        counts=True,
    )
