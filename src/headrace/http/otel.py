"""Sends a span for each request, how long requests take, and the figures of /metrics, through OpenTelemetry's own SDK.

The SDK reads the standard OTEL_… variables itself: endpoint, headers, sampler, intervals, resource. What a client chooses (paths,
parameters, bodies, keys) is in no span and no label; of a request only its method, route and status are.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import Metric

from headrace import __version__
from headrace.http.metrics import BUCKETS_S, Metrics

_CLOSE_TIMEOUT_S = 5.0
_FIGURES_FRESH_S = 1.0  # one look at the figures serves every instrument of an export
_MAX_PROBLEM_CHARS = 500
_log = structlog.get_logger("headrace.telemetry")
Asgi = Callable[[Any, Any, Any], Any]


class _InTheLog(logging.Handler):
    """Makes lines of the server's log of what the SDK says, such as that a collector does not answer."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.warning("telemetry", problem=record.getMessage()[:_MAX_PROBLEM_CHARS])


class Telemetry:
    """Providers of traces and metrics, as the environment configures them. `close` sends what is left."""

    def __init__(self, metrics: Metrics, *, traces: str, figures: str) -> None:
        """traces, figures: otlp or console, or "" for none of that kind."""
        said = logging.getLogger("opentelemetry")
        said.handlers, said.propagate = [_InTheLog()], False
        self._tracing: TracerProvider | None = None
        self._metering: MeterProvider | None = None
        resource = _resource()
        if traces:
            self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
            exporter = OTLPSpanExporter() if traces == "otlp" else ConsoleSpanExporter()
            self._tracing.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = (self._tracing or trace.NoOpTracerProvider()).get_tracer("headrace", __version__)
        if figures:
            reader = PeriodicExportingMetricReader(
                OTLPMetricExporter() if figures == "otlp" else ConsoleMetricExporter()
            )
            self._metering = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
            meter = self._metering.get_meter("headrace", __version__)
            # Source: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
            durations = meter.create_histogram(
                "http.server.request.duration",
                unit="s",
                description="Duration of HTTP server requests.",
                explicit_bucket_boundaries_advisory=BUCKETS_S,
            )
            _Figures(metrics).observe_by(meter)
            self._record = durations.record
        else:
            self._record = _record_nothing
        metrics.tell(self._on_request)

    def around(self, app: Asgi, /) -> Asgi:
        """The ASGI application, each of whose requests is a span, in the trace of whoever sent it."""
        if self._tracing is None:
            return app
        tracer = self._tracer

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            attributes = {"http.request.method": scope["method"], "url.scheme": scope["scheme"]}
            with tracer.start_as_current_span(
                scope["method"],
                context=propagate.extract(headers),
                kind=SpanKind.SERVER,
                attributes=attributes,
                record_exception=False,
            ):
                await app(scope, receive, send)

        return traced

    def close(self) -> None:
        """Send what is left, within a few seconds."""
        ending = threading.Thread(target=self._shut_down, name="telemetry", daemon=True)
        ending.start()
        ending.join(_CLOSE_TIMEOUT_S)

    def _shut_down(self) -> None:
        if self._metering is not None:
            self._metering.shutdown(timeout_millis=_CLOSE_TIMEOUT_S * 1000)
        if self._tracing is not None:
            self._tracing.shutdown()

    def _on_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server"""
        attributes: dict[str, Any] = {"http.response.status_code": status}
        if route != "none":
            attributes |= {"http.request.method": method, "http.route": route}
        self._record(seconds, attributes)
        span = trace.get_current_span()
        if span.is_recording():
            if route != "none":
                span.update_name(f"{method} {route}")
            span.set_attributes(attributes)
            if status >= 500:
                span.set_status(StatusCode.ERROR)


class _Figures:
    """The counters and gauges of /metrics, under the same names."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._seen: dict[str, Metric] = {}
        self._seen_at = float("-inf")

    def observe_by(self, meter: Meter) -> None:
        for family in self._look().values():
            if family.type == "counter":
                meter.create_observable_counter(
                    family.name, [self._observed(family.name)], description=family.documentation
                )
            elif family.type == "gauge":
                meter.create_observable_gauge(
                    family.name, [self._observed(family.name)], description=family.documentation
                )

    def _observed(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            family = self._look().get(name)
            samples = [] if family is None else family.samples
            return [
                Observation(float(each.value), each.labels) for each in samples if not each.name.endswith("_created")
            ]

        return observe

    def _look(self) -> Mapping[str, Metric]:
        """Not for the event loop's thread: it asks control."""
        with self._lock:
            if time.monotonic() - self._seen_at > _FIGURES_FRESH_S:
                self._seen = {family.name: family for family in self._metrics.collect()}
                self._seen_at = time.monotonic()
            return self._seen


def _resource() -> Resource:
    """What sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what is known here."""
    ours = Resource({"service.name": "headrace", "service.version": __version__})
    return Resource.create().merge(ours).merge(OTELResourceDetector().detect())


def _record_nothing(_seconds: float, _attributes: Mapping[str, Any]) -> None: ...
