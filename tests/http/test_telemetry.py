"""OpenTelemetry against a small receiver of our own: what is sent, what never is, and that nothing is loaded unasked."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.http.telemetry import exporter_of, telemetry_of
from headrace.model.errors import SettingsError
from tests.server import Server

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    """An OTLP/HTTP receiver. Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp"""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.resources: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.raw = b""
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector._take(self.path, body, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        with self._changed:
            self.raw += body
            self.headers.append(headers)
            if path == "/v1/traces":
                for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.resources.append(attributes(each.resource))
                    self.spans += [span for scope in each.scope_spans for span in scope.spans]
            elif path == "/v1/metrics":
                for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    self.resources.append(attributes(each.resource))
                    self.metrics |= {one.name: one for scope in each.scope_metrics for one in scope.metrics}
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 60), (self.spans, list(self.metrics))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def attributes(holder: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def serve(tmp_path: Path, **environ: str) -> Server:
    return Server(
        tmp_path / "data", {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "200"} | environ
    ).start()


def test_each_request_is_a_span_in_its_callers_trace_and_every_figure_is_a_metric(
    tmp_path: Path, collector: Collector
) -> None:
    server = serve(
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=acme",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    key = server.key()
    with server.client(key) as client:
        sent = client.post("/api/v1/events", json={"name": "n"}, headers={"traceparent": PARENT})
        assert sent.status_code == 201
        client.get("/api/v1/events/no-such-event?secret=query")
        client.get(f"/v1/projects/{key}/settings")
        client.get("/nowhere")
    collector.wait_for(lambda: len(collector.spans) >= 4)
    spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {
        *("POST /api/v1/events", "GET /api/v1/events/{event_id}", "GET /v1/projects/{write_key}/settings", "GET"),
    }
    taken = spans["POST /api/v1/events"]
    assert (taken.trace_id.hex(), taken.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")
    assert attributes(taken) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/events",
        "http.response.status_code": 201,
        "url.scheme": "http",
    }
    assert attributes(spans["GET"])["http.response.status_code"] == 404
    collector.wait_for(
        lambda: "http.server.request.duration" in collector.metrics and "headrace_events" in collector.metrics
    )
    events = collector.metrics["headrace_events"].sum
    assert events.is_monotonic
    assert [(attributes(each), each.as_double) for each in events.data_points] == [
        ({"source": "flux", "outcome": "accepted"}, 1.0)
    ]
    assert collector.metrics["headrace_store_lag_seconds"].HasField("gauge")
    routes = {
        attributes(each)["http.route"]
        for each in collector.metrics["http.server.request.duration"].histogram.data_points
        if "http.route" in attributes(each)
    }
    assert "/api/v1/events" in routes
    assert all(each["service.name"] == "headrace" for each in collector.resources)
    assert all(each["deployment.environment.name"] == "test" for each in collector.resources)
    assert all(each["x-tenant"] == "acme" for each in collector.headers)
    for secret in (key, "no-such-event", "secret=query", "nowhere"):
        assert secret.encode() not in collector.raw
    assert server.stop() == 0


def test_what_waits_is_sent_when_the_server_stops(tmp_path: Path, collector: Collector) -> None:
    server = serve(
        tmp_path,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces",
        OTEL_SERVICE_NAME="events",
        OTEL_BSP_SCHEDULE_DELAY="3600000",
    )
    with server.client() as client:
        client.get("/health")
    assert collector.spans == []
    assert server.stop() == 0
    assert [span.name for span in collector.spans] == ["GET /health"]
    assert collector.resources[0]["service.name"] == "events"
    assert collector.metrics == {}, "only an endpoint for traces was named"


def test_a_collector_that_is_gone_hinders_nobody(tmp_path: Path) -> None:
    server = serve(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    with server.client(server.key()) as client:
        for _ in range(20):
            assert client.post("/api/v1/events", json={"name": "n"}).status_code == 201
    assert server.stop() == 0


def test_nothing_is_loaded_unless_it_is_asked_for() -> None:
    program = """
import os, sys
from headrace.http import serve
from headrace.http.telemetry import telemetry_of
assert telemetry_of({"OTEL_SERVICE_NAME": "x"}, None) is None
assert telemetry_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_SDK_DISABLED": "true"}, None) is None
print([name for name in sys.modules if name.startswith(("opentelemetry", "google.protobuf"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, "none", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, "otlp", "otlp"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://h"}, "none", "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_METRICS_EXPORTER": "none"}, "otlp", "none"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console", "none"),
        ({"OTEL_TRACES_EXPORTER": " OTLP "}, "otlp", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, "none", "none"),
    ],
)
def test_an_endpoint_or_an_exporter_turns_it_on(environ: dict[str, str], traces: str, metrics: str) -> None:
    assert (exporter_of(environ, "TRACES"), exporter_of(environ, "METRICS")) == (traces, metrics)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER: expected one of otlp, console, none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, "4318"),
    ],
)
def test_what_cannot_be_done_keeps_the_server_from_starting(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        telemetry_of(environ, SimpleNamespace())  # type: ignore[arg-type]


def test_where_the_extra_is_missing_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headrace.http.otel", None)
    with pytest.raises(SettingsError, match=r"pip install 'headrace\[otel\]'"):
        telemetry_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, SimpleNamespace())  # type: ignore[arg-type]
