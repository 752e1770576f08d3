"""What Prometheus is told. Reads the runtime when asked; the request path only adds to counters."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import falcon.asgi
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.http.body import Budget
from headrace.http.unread import Unread
from headrace.model.batch import Batch
from headrace.model.entries import Receipt
from headrace.model.event import received_at_ms
from headrace.ports.control import ControlFailed

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """One registry per server; its own middleware, and the resource at /metrics."""

    def __init__(self, runtime: Runtime, bodies: Budget, unread: Unread) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_RuntimeCollector(runtime, bodies, unread))
        self._events = Counter(
            "headrace_events_total", "Events by outcome.", ["source", "outcome"], registry=self._registry
        )
        self.requests = Histogram(
            "headrace_request_seconds",
            "Requests by route and status.",
            ["method", "route", "status"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

        # The library looks a child up in twenty times as long as this; there are few of them.
        self._events_of: Callable[[str, str], Counter] = cache(self._events.labels)
        self._requests_of: Callable[[str, str, int], Histogram] = cache(self.requests.labels)

    def count_batch(self, source: str, batch: Batch, receipts: list[Receipt], /) -> None:
        duplicates = sum(receipt.duplicate for receipt in receipts)
        for outcome, count in (
            ("accepted", len(receipts) - duplicates),
            ("duplicate", duplicates),
            ("rejected", len(batch.rejections)),
        ):
            if count:
                self._events_of(source, outcome).inc(count)

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        req.context.started = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        route = req.uri_template or "none"  # never the path: clients choose it
        method = req.method if req.uri_template else "none"
        self.observe(method, route, resp.status_code, req.context.started)

    def observe(self, method: str, route: str, status: int, started: float, /) -> None:
        """Count a request that began at `started`, by `time.perf_counter`."""
        self._requests_of(method, route, status).observe(time.perf_counter() - started)

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = await asyncio.to_thread(generate_latest, self._registry)  # it asks control
        resp.content_type = CONTENT_TYPE_LATEST


class _RuntimeCollector(Collector):
    def __init__(self, runtime: Runtime, bodies: Budget, unread: Unread) -> None:
        self._runtime = runtime
        self._bodies = bodies
        self._unread = unread

    def collect(self) -> Any:
        runtime, progress = self._runtime, self._runtime.worker.progress
        behind_ms = received_at_ms(runtime.log.last()) - received_at_ms(progress.visible)
        yield _gauge("log_bytes", "Payload that the log holds.", runtime.log.size_bytes())
        yield _gauge("bodies_bytes", "Bodies that are being worked on.", self._bodies.held_bytes)
        yield _gauge("unread_bytes", "Replies that clients have not read yet.", self._unread.bytes())
        yield _gauge("intake_queue_bytes", "Events waiting for the log.", runtime.intake.queued_bytes())
        yield _gauge("store_lag_seconds", "How far the store is behind the log.", max(0, behind_ms) / 1000)
        yield _gauge("stored_events", "Events stored since the start.", progress.stored_events)
        yield _gauge("flushes", "Inserts since the start.", progress.flushes)
        yield _gauge("worker_failing", "1 while the worker cannot go on.", bool(runtime.worker.failing))
        yield _gauge(
            "unreacted_events", "Events since the start that could not be reacted to.", runtime.reactor.failed_events
        )
        yield _gauge("reactor_failing", "1 while the reactor cannot go on.", bool(runtime.reactor.failing))
        yield from _reaction_lags(runtime)
        yield _rule_failures(runtime)
        yield _gauge("dedup_window_seconds", "How far back message ids are known.", runtime.log.dedup_window_s())


def _reaction_lags(runtime: Runtime) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    """Of the projects that have events waiting, which are few: every other has none."""
    waiting = GaugeMetricFamily(
        "headrace_reactions_waiting", "Events in memory that wait for their project's turn.", labels=["project", "mode"]
    )
    lag = GaugeMetricFamily(
        "headrace_reactions_lag_seconds",
        "Age of the oldest event that waits for its reactions.",
        labels=["project", "mode"],
    )
    for tenant, reacted, events in runtime.reactor.lags():
        waiting.add_metric([tenant.project, tenant.mode], events)
        lag.add_metric([tenant.project, tenant.mode], max(0, clock_ms() - received_at_ms(reacted)) / 1000)
    return waiting, lag


def _rule_failures(runtime: Runtime) -> CounterMetricFamily:
    found = CounterMetricFamily(
        "headrace_rule_failures", "Events for which a rule's condition had no truth value.", labels=["project", "rule"]
    )
    with contextlib.suppress(ControlFailed):  # the rest is told all the same
        for project, rule, failures in runtime.rulebook.failures():
            found.add_metric([project, rule], failures)
    return found


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"headrace_{name}", text, value=value)
