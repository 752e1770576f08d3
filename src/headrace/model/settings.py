"""Every setting: one field here is one `HEADRACE_…` variable and one row of docs/settings.md, which is made from this file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from headrace.model.errors import SettingsError

PREFIX = "HEADRACE_"

PerMinute = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


def _doc(text: str) -> Meta:
    return Meta(description=text)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server runs with. Raises SettingsError, through `from_environ`, for a value out of its range."""

    host: Annotated[str, _doc("Address to listen on.")] = "127.0.0.1"
    port: Annotated[Annotated[int, Meta(ge=0, le=65535)], _doc("Port to listen on; 0 takes a free one.")] = 8080
    data: Annotated[Path, _doc("Folder that holds everything: the log, the store, the control database.")] = Path(
        "headrace-data"
    )
    admin_key: Annotated[str, _doc("A key with every scope on project `default`, mode `live`; none when empty.")] = ""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _doc("How much is logged, to stderr.")] = "info"
    log_format: Annotated[Literal["json", "text"], _doc("One JSON object a line, or lines for people.")] = "json"

    rate_limits: Annotated[Literal["on", "off"], _doc("`off` turns every rate limit off.")] = "on"
    limit_flux_single: Annotated[PerMinute, _doc("Flux single events, requests a minute and key; 0 is no limit.")] = 0
    limit_flux_batch: Annotated[PerMinute, _doc("Flux batches, requests a minute and key; 0 is no limit.")] = 10
    limit_flux_query: Annotated[PerMinute, _doc("Flux queries, requests a minute and key; 0 is no limit.")] = 60
    limit_flux_gem: Annotated[PerMinute, _doc("The Flux gem's batches, requests a minute and key; 0 is no limit.")] = 0
    limit_flux_metrics_batch: Annotated[
        PerMinute, _doc("Batches of metrics, requests a minute and key; 0 is no limit.")
    ] = 10
    limit_flux_metrics_query: Annotated[
        PerMinute, _doc("Metric queries, requests a minute and key; 0 is no limit.")
    ] = 60
    limit_bricqs: Annotated[PerMinute, _doc("Bricqs, requests a minute and key; 0 is no limit.")] = 0
    limit_solute: Annotated[PerMinute, _doc("Solute, requests a minute and key; 0 is no limit.")] = 0
    limit_hogsend: Annotated[PerMinute, _doc("Hogsend, requests a minute and key; 0 is no limit.")] = 0
    limit_native: Annotated[
        PerMinute, _doc("The server's own API (catalogue, traces, …), requests a minute and key; 0 is no limit.")
    ] = 0
    limit_segment: Annotated[PerMinute, _doc("Segment, requests a minute and key; 0 is no limit.")] = 0
    limit_posthog: Annotated[PerMinute, _doc("PostHog, requests a minute and key; 0 is no limit.")] = 0
    limit_amplitude: Annotated[PerMinute, _doc("Amplitude, requests a minute and key; 0 is no limit.")] = 0
    limit_mixpanel: Annotated[PerMinute, _doc("Mixpanel, requests a minute and key; 0 is no limit.")] = 0
    limit_cloudevents: Annotated[PerMinute, _doc("CloudEvents, requests a minute and key; 0 is no limit.")] = 0

    max_request_bytes: Annotated[Bytes, _doc("Largest body, inflated.")] = 10 * 1024 * 1024
    max_bodies_bytes: Annotated[
        Bytes,
        _doc(
            "All bodies being worked on at once, inflated; more are answered 503. One of the largest is always taken."
        ),
    ] = 128 * 1024 * 1024
    max_event_bytes: Annotated[Bytes, _doc("Largest single event.")] = 256 * 1024
    segment_max_request_bytes: Annotated[
        Bytes, _doc("Largest batch of Segment's SDKs, inflated; not RudderStack's.")
    ] = 500 * 1024
    segment_max_event_bytes: Annotated[Bytes, _doc("Largest single event of Segment's SDKs; not RudderStack's.")] = (
        32 * 1024
    )
    max_name_chars: Annotated[Count, _doc("Longest event name.")] = 200
    max_id_chars: Annotated[Count, _doc("Longest user id, message id or other identifier.")] = 255
    max_tags: Annotated[Count, _doc("Most tags of one event.")] = 64
    max_tag_chars: Annotated[Count, _doc("Longest tag name and tag value.")] = 200
    max_depth: Annotated[Count, _doc("Deepest nesting of an event's JSON.")] = 64
    body_timeout_s: Annotated[Seconds, _doc("A body that has not arrived by then is given up.")] = 30.0
    reply_timeout_s: Annotated[
        Seconds, _doc("A client that takes neither 256 KiB of its reply in this time nor the rest is hung up on.")
    ] = 30.0
    max_unread_bytes: Annotated[
        Bytes, _doc("Replies that wait to be read, together; beyond it queries are answered 503.")
    ] = 128 * 1024 * 1024
    keep_alive_s: Annotated[Seconds, _doc("An idle connection is closed after that.")] = 75.0
    max_connections: Annotated[Count, _doc("Connections served at once; more are answered 503.")] = 4096

    dedup_window_s: Annotated[Seconds, _doc("How long a message id stays known.")] = 7 * 86_400.0
    dedup_max_bytes: Annotated[Bytes, _doc("Disk for known message ids; beyond it the oldest go, however young.")] = (
        16 * 1024**3
    )
    solute_duplicates: Annotated[
        Literal["accept", "reject"], _doc("Whether a repeat counts as processed or as failed in Solute's reply.")
    ] = "accept"
    sync_deadline_s: Annotated[
        Seconds, _doc("How long Bricqs' sync route waits for the reactions before it answers 202.")
    ] = 10.0

    intake_queue_bytes: Annotated[Bytes, _doc("Events waiting for the log, at most; then 503.")] = 64 * 1024 * 1024
    log_max_bytes: Annotated[Bytes, _doc("Log size at which intake answers 503 until the store has caught up.")] = (
        8 * 1024**3
    )
    log_keep_s: Annotated[Seconds, _doc("How long the log keeps what the store already has, as a second copy.")] = 600.0
    flush_interval_ms: Annotated[
        Count, _doc("Time between two inserts when no query waits for one and few events have come.")
    ] = 1000
    flush_enough_events: Annotated[Count, _doc("So many new events are inserted without waiting for more.")] = 25_000
    flush_max_events: Annotated[Count, _doc("Most events of one insert.")] = 50_000
    flush_max_bytes: Annotated[Bytes, _doc("Most bytes of one insert.")] = 16 * 1024 * 1024

    query_readers: Annotated[Count, _doc("Queries that run at once.")] = 2
    query_queue: Annotated[Count, _doc("Queries that wait for a reader; then 503.")] = 64
    query_timeout_s: Annotated[Seconds, _doc("A query that takes longer is stopped.")] = 30.0
    query_max_memory_bytes: Annotated[Bytes, _doc("A query that takes more memory is stopped.")] = 512 * 1024 * 1024
    replay_share: Annotated[
        Annotated[float, Meta(gt=0, le=1)],
        _doc("The part of its time that a replay job may work; the rest is left to live traffic."),
    ] = 0.25
    hot_tags: Annotated[
        str, _doc("Tags that get a column of their own, with commas between; filters and groups by them are faster.")
    ] = ""
    freshness_timeout_s: Annotated[Seconds, _doc("How long a query waits for the events acknowledged before it.")] = (
        10.0
    )
    shutdown_timeout_s: Annotated[Seconds, _doc("How long requests in flight get after SIGTERM.")] = 20.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], /, **given: object) -> "Settings":
        """`HEADRACE_…` variables, under what the command line gave (None is not given)."""
        values: dict[str, object] = {
            field: environ[PREFIX + field.upper()]
            for field in cls.__struct_fields__
            if environ.get(PREFIX + field.upper())
        }
        values |= {field: value for field, value in given.items() if value is not None}
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=lambda kind, value: kind(value))
        except msgspec.ValidationError as error:
            raise SettingsError(_place(str(error))) from None


def _place(message: str) -> str:
    """`Expected int >= 1 - at `$.port`` names the variable instead."""
    problem, _, path = message.partition(" - at ")
    field = path.strip("`").removeprefix("$.").removeprefix("$")
    return f"{PREFIX}{field.upper()}: {problem}." if field else f"{problem}."


def table() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of every setting, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    defaults = Settings()
    return [
        (PREFIX + field.upper(), _shown(getattr(defaults, field)), _description(hints[field]))
        for field in Settings.__struct_fields__
    ]


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _description(hint: Any) -> str:
    return next(meta.description for meta in reversed(hint.__metadata__) if meta.description)
