"""Whether OpenTelemetry is asked for, by its own standard variables. Imports it only then, so it costs nothing otherwise.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.http.metrics import Metrics
from headrace.model.errors import SettingsError

if TYPE_CHECKING:
    from headrace.http.otel import Telemetry

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SIGNALS = ("TRACES", "METRICS")
EXPORTERS = ("otlp", "console", "none")


def telemetry_of(environ: Mapping[str, str], metrics: Metrics, /) -> "Telemetry | None":
    """What sends traces and metrics as the variables say; None if nobody asks for it.

    Raises SettingsError for what is asked for and cannot be done.
    """
    wanted = {signal: exporter for signal in SIGNALS if (exporter := exporter_of(environ, signal)) != "none"}
    if not wanted:
        return None
    for signal, exporter in wanted.items():
        protocol = _first(environ, f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        if exporter == "otlp" and protocol not in ("", "http/protobuf"):
            raise SettingsError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is supported, not {protocol[:40]!r}; collectors listen "
                "for it on port 4318."
            )
    try:
        from headrace.http.otel import Telemetry  # noqa: PLC0415  see above
    except ImportError:
        raise SettingsError(
            "The environment asks for OpenTelemetry, which is not installed: pip install 'headrace[otel]', or set "
            "OTEL_SDK_DISABLED=true."
        ) from None
    return Telemetry(metrics, traces=wanted.get("TRACES", ""), figures=wanted.get("METRICS", ""))


def exporter_of(environ: Mapping[str, str], signal: str, /) -> str:
    """otlp, console or none. None unless an exporter or an endpoint is named. Raises SettingsError for any other."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    variable = f"OTEL_{signal}_EXPORTER"
    exporter = environ.get(variable, "").strip().lower()
    if exporter and exporter not in EXPORTERS:
        raise SettingsError(f"{variable}: expected one of {', '.join(EXPORTERS)}, not {exporter[:40]!r}.")
    has_endpoint = bool(_first(environ, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", _ENDPOINT))
    return exporter or ("otlp" if has_endpoint else "none")


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environ.get(name, "").strip())), "")
