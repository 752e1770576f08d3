"""Metrics for Prometheus. The figures are read when it asks; the request path only adds to counters."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus

import falcon.asgi
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace import __version__
from headrace.assembly.capabilities.server import ServerStatus
from headrace.assembly.figures import Figure
from headrace.dialects.errors import kind_of
from headrace.http.body import Budget
from headrace.http.unread import Unread
from headrace.model.batch import Batch
from headrace.model.entries import Receipt
from headrace.model.errors import HeadraceError
from headrace.model.exports import Imported

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """A server's registry. Also the middleware that counts requests, and the resource at /metrics."""

    def __init__(self, status: ServerStatus, bodies: Budget, unread: Unread) -> None:
        self._status = status
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(status, bodies, unread))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        Info("headrace_build", "The version that runs.", registry=self._registry).info({"version": __version__})
        self._events = Counter(
            "headrace_events_total", "Events by outcome.", ["source", "outcome"], registry=self._registry
        )
        self._warnings = Counter(
            "headrace_event_warnings_total",
            "Events accepted despite a problem in them, such as an invalid timestamp.",
            ["source"],
            registry=self._registry,
        )
        self.requests = Histogram(
            "headrace_request_seconds",
            "Requests by route and status.",
            ["method", "route", "status"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )

        self._refusals = Counter(
            "headrace_refused_total", "Requests refused, by reason.", ["reason"], registry=self._registry
        )
        self._stale = Counter(
            "headrace_stale_answers_total",
            "Answers to queries from what the store had while the log could not be asked.",
            registry=self._registry,
        )
        # The library's look-up of a child takes twenty times as long. There are few children.
        self._events_of: Callable[[str, str], Counter] = cache(self._events.labels)
        self._requests_of: Callable[[str, str, int], Histogram] = cache(self.requests.labels)
        self.observe: Callable[[str, str, int, float], None] = self._observe
        """Counts a request: method, route, status, and when it began, by `time.perf_counter`."""

    def tell(self, told: Callable[[str, str, int, float], None], /) -> None:
        """Have each request told, too: method, route ("none" for no route), status, and how many seconds it took."""

        def observe(method: str, route: str, status: int, started: float) -> None:
            self._observe(method, route, status, started)
            told(method, route, status, time.perf_counter() - started)

        self.observe = observe

    def collect(self) -> Iterator[Metric]:
        """The figures as /metrics shows them. Not for the event loop's thread."""
        yield from self._registry.collect()

    def count_batch(self, source: str, batch: Batch, receipts: list[Receipt], /) -> None:
        duplicates = 0
        for receipt in receipts:
            duplicates += receipt.duplicate
        accepted, rejected = len(receipts) - duplicates, len(batch.rejections)
        if accepted:
            self._events_of(source, "accepted").inc(accepted)
        if duplicates:
            self._events_of(source, "duplicate").inc(duplicates)
        if rejected:
            self._events_of(source, "rejected").inc(rejected)
        throughput = self._status.throughput
        throughput.accepted += accepted
        throughput.refused += rejected

    def count_import(self, vendor: str, imported: Imported, rejected: int, /) -> None:
        """vendor: whose export it is. The events' own sources are whatever a file says, and so no label."""
        outcomes = {"accepted": imported.stored, "duplicate": imported.repeated, "erased": imported.erased}
        for outcome, count in (outcomes | {"rejected": rejected}).items():
            if count:
                self._events_of(f"import.{vendor}", outcome).inc(count)
        throughput = self._status.throughput
        throughput.accepted += imported.stored
        throughput.refused += rejected

    def count_refusal(self, error: HeadraceError, /) -> None:
        self._refusals.labels(kind_of(error)).inc()

    def count_stale(self) -> None:
        self._stale.inc()

    def count_warnings(self, source: str, count: int, /) -> None:
        self._warnings.labels(source).inc(count)

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        req.context.started = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        route = req.uri_template or "none"  # never the path: clients choose it
        method = req.method if req.uri_template else "none"
        self.observe(method, route, resp.status_code, req.context.started)

    def _observe(self, method: str, route: str, status: int, started: float) -> None:
        self._requests_of(method, route, status).observe(time.perf_counter() - started)
        if status >= HTTPStatus.BAD_REQUEST and method == "POST":
            self._status.throughput.refused_requests += 1

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = await asyncio.to_thread(generate_latest, self._registry)  # because it asks control
        resp.content_type = CONTENT_TYPE_LATEST


class _Collector(Collector):
    def __init__(self, status: ServerStatus, bodies: Budget, unread: Unread) -> None:
        self._status = status
        self._bodies = bodies
        self._unread = unread

    def collect(self) -> Iterator[Metric]:
        yield _gauge("bodies_bytes", "Bytes of request bodies in progress.", self._bodies.held_bytes)
        yield _gauge("unread_bytes", "Bytes of responses that clients have not read yet.", self._unread.bytes())
        yield from map(_family, self._status.figures())


def _family(figure: Figure) -> Metric:
    kind = CounterMetricFamily if figure.counts else GaugeMetricFamily
    family = kind(f"headrace_{figure.name}", figure.text, labels=figure.labels)
    for labels, value in figure.samples:
        family.add_metric(labels, value)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"headrace_{name}", text, value=value)
