"""Every setting: each field is one `HEADRACE_…` variable and one row of docs/settings.md, see `settings_page`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from headrace.model.errors import SettingsError
from headrace.model.written import PREFIX, field_of, in_plain_numbers, is_of_kubernetes, told

PerMinute = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Month = Annotated[float, Meta(gt=0, le=90 * 86_400)]


def _doc(text: str) -> Meta:
    return Meta(description=text)


def _limit(requests: str) -> Meta:
    return _doc(f"Rate limit for {requests}, in requests per minute and key; 0 means none.")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A server's configuration. `from_environ` raises SettingsError for an invalid value."""

    host: Annotated[str, _doc("Address to listen on.")] = "127.0.0.1"
    port: Annotated[Annotated[int, Meta(ge=0, le=65535)], _doc("Port to listen on; 0 picks a free one.")] = 8080
    public_url: Annotated[
        str,
        _doc(
            "URL under which clients reach the server, such as https://events.example.com; "
            "if empty, it is derived from each request's Host header."
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        _doc(
            "Comma-separated networks of the reverse proxies whose `Forwarded` and `X-Forwarded-*` headers count, "
            "such as 10.0.0.0/8; those of others are ignored."
        ),
    ] = ""
    data: Annotated[Path, _doc("Folder for all data: the log, the store and the control database.")] = Path(
        "headrace-data"
    )
    control_url: Annotated[
        Annotated[str, Meta(pattern="^(postgres(ql)?://.+)?$")],
        _doc(
            "PostgreSQL database for projects, keys, rules and reaction state, as postgresql://user:password@host:5432/name; "
            "if empty, a SQLite file in the data folder."
        ),
    ] = ""
    store_url: Annotated[
        Annotated[str, Meta(pattern="^(https?://.+)?$")],
        _doc(
            "ClickHouse server that stores the events, as http://user:password@host:8123/database, or https://; needs "
            "`HEADRACE_CONTROL_URL`. If empty, ClickHouse in this process, in the data folder."
        ),
    ] = ""
    log_url: Annotated[
        Annotated[str, Meta(pattern="^(valkeys?://.+)?$")],
        _doc(
            "Valkey server that holds the log, as valkey://user:password@host:6379/0, or valkeys:// for TLS; if empty, a SQLite "
            "file in the data folder."
        ),
    ] = ""
    log_durability: Annotated[
        Literal["fsync", "everysec", "memory", "unchecked"],
        _doc(
            "The least that the Valkey server must promise for the server to start: `fsync` (`appendfsync always`), `everysec`, "
            "or `memory` (events may be lost when it ends); `unchecked`: `fsync`, or that it cannot be looked up."
        ),
    ] = "fsync"
    log_replicas: Annotated[
        Annotated[int, Meta(ge=0, le=16)],
        _doc(
            "Number of Valkey's replicas that must have an event on disk before it is acknowledged; with 0, a failover loses "
            "acknowledged events."
        ),
    ] = 0
    admin_key: Annotated[
        str, _doc("A key with every scope for project `default`, mode `live`; no such key if empty.")
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("Least severe level to log, to stderr.")
    ] = "info"
    log_format: Annotated[Literal["json", "text"], _doc("Log one JSON object per line, or human-readable text.")] = (
        "json"
    )

    rate_limits: Annotated[Literal["on", "off"], _doc("`off` disables every rate limit.")] = "on"
    limit_flux_single: Annotated[PerMinute, _limit("single Flux events")] = 0
    limit_flux_batch: Annotated[PerMinute, _limit("Flux batches")] = 10
    limit_lines: Annotated[PerMinute, _limit("newline-delimited JSON, as log shippers send it")] = 0
    limit_flux_query: Annotated[PerMinute, _limit("Flux queries")] = 60
    limit_flux_gem: Annotated[PerMinute, _limit("the Flux gem's batches")] = 0
    limit_flux_metrics_batch: Annotated[PerMinute, _limit("metric batches")] = 10
    limit_flux_metrics_query: Annotated[PerMinute, _limit("metric queries")] = 60
    limit_bricqs: Annotated[PerMinute, _limit("Bricqs")] = 0
    limit_solute: Annotated[PerMinute, _limit("Solute")] = 0
    limit_hogsend: Annotated[PerMinute, _limit("Hogsend")] = 0
    limit_native: Annotated[PerMinute, _limit("the server's own API (catalogue, traces, …)")] = 0
    limit_console: Annotated[
        PerMinute, _doc("Rate limit for the console, in requests per minute and session; 0 means none.")
    ] = 0
    limit_segment: Annotated[PerMinute, _limit("Segment")] = 0
    limit_posthog: Annotated[PerMinute, _limit("PostHog")] = 0
    limit_amplitude: Annotated[PerMinute, _limit("Amplitude")] = 0
    limit_mixpanel: Annotated[PerMinute, _limit("Mixpanel")] = 0
    limit_cloudevents: Annotated[PerMinute, _limit("CloudEvents")] = 0

    max_request_bytes: Annotated[Bytes, _doc("Largest request body, after decompression.")] = 10 * 1024 * 1024
    max_bodies_bytes: Annotated[
        Bytes,
        _doc(
            "Largest total of request bodies in progress, after decompression; beyond it requests get 503. "
            "One body of the largest size is always accepted."
        ),
    ] = 128 * 1024 * 1024
    max_event_bytes: Annotated[Bytes, _doc("Largest event.")] = 256 * 1024
    segment_max_request_bytes: Annotated[
        Bytes, _doc("Largest batch from Segment's SDKs, after decompression; does not apply to RudderStack's.")
    ] = 500 * 1024
    segment_max_event_bytes: Annotated[
        Bytes, _doc("Largest event from Segment's SDKs; does not apply to RudderStack's.")
    ] = 32 * 1024
    max_name_chars: Annotated[Count, _doc("Longest event name.")] = 200
    max_id_chars: Annotated[Count, _doc("Longest user id, message id or other identifier.")] = 255
    max_tags: Annotated[Count, _doc("Maximum number of tags per event.")] = 64
    max_tag_chars: Annotated[Count, _doc("Longest tag name or tag value.")] = 200
    max_depth: Annotated[Count, _doc("Deepest nesting of an event's JSON.")] = 64
    body_timeout_s: Annotated[Seconds, _doc("Give up on a request body that has not arrived within this time.")] = 30.0
    reply_timeout_s: Annotated[
        Seconds,
        _doc("Disconnect a client that reads less than 256 KiB (or the remainder) of its response within this time."),
    ] = 30.0
    max_unread_bytes: Annotated[
        Bytes, _doc("Largest total of responses not yet read by clients; beyond it queries get 503.")
    ] = 128 * 1024 * 1024
    keep_alive_s: Annotated[Seconds, _doc("Close a connection that has been idle for this long.")] = 75.0
    max_connections: Annotated[Count, _doc("Maximum number of open connections; beyond it new ones get 503.")] = 4096

    live_connections: Annotated[
        Count, _doc("Maximum number of open `GET /api/v1/live`; beyond it new ones get 503.")
    ] = 100
    live_connections_per_key: Annotated[
        Count, _doc("Maximum number of open `GET /api/v1/live` of one key, or of one session of the console.")
    ] = 20
    console_attempts: Annotated[
        Count,
        _doc("How often one address may try to log in to the console, per minute; `rate_limits` does not matter."),
    ] = 10
    console_plain_http: Annotated[
        Literal["loopback", "anywhere"],
        _doc(
            "From where the console may be used over plain HTTP: from this machine only, or from `anywhere`. "
            "Anybody on the way can read a session that is not encrypted."
        ),
    ] = "loopback"
    status_figures: Annotated[
        Literal["operator", "everyone"],
        _doc(
            "Who sees the figures of all projects together in `GET /api/v1/status`: only the `operator` "
            "(`HEADRACE_ADMIN_KEY`), or `everyone` with a key of scope `query`."
        ),
    ] = "operator"
    unknown_parameters: Annotated[
        Literal["reject", "ignore"],
        _doc(
            "Whether a query or admin request with an unknown parameter, or with two values for one, gets a 400 that names the "
            "nearest parameter (`reject`), or is answered as if the parameter were absent (`ignore`). Replay bodies are always "
            "checked."
        ),
    ] = "reject"
    dedup_window_s: Annotated[Seconds, _doc("How long message ids are remembered for deduplication.")] = 7 * 86_400.0
    dedup_max_bytes: Annotated[
        Bytes,
        _doc("Disk space for remembered message ids; beyond it the oldest are forgotten, even within the window."),
    ] = 16 * 1024**3
    people_placeholders: Annotated[
        str,
        _doc(
            "Comma-separated ids, in any case, that clients send for nobody in particular: they never join anything, "
            "and no person is made of them."
        ),
    ] = (
        "null,nil,none,undefined,unknown,nan,n/a,0,-1,true,false,anonymous,guest,distinct_id,distinctid,"
        "user_id,userid,not_authenticated,[object object],00000000-0000-0000-0000-000000000000"
    )
    solute_duplicates: Annotated[
        Literal["accept", "reject"],
        _doc("Whether Solute's response counts a repeat as processed (`accept`) or as failed (`reject`)."),
    ] = "accept"
    sync_deadline_s: Annotated[
        Seconds, _doc("How long Bricqs' sync route waits for the reactions before it answers 202.")
    ] = 10.0

    intake_queue_bytes: Annotated[
        Bytes, _doc("Largest total of events waiting for the log; beyond it requests get 503.")
    ] = 64 * 1024 * 1024
    log_max_bytes: Annotated[Bytes, _doc("Log size at which new events get 503 until the store has caught up.")] = (
        8 * 1024**3
    )
    log_keep_s: Annotated[
        Seconds, _doc("How long the log keeps events that the store already has, as a second copy.")
    ] = 600.0
    flush_interval_ms: Annotated[
        Count, _doc("Longest wait between two inserts while events are few and no query is waiting.")
    ] = 1000
    flush_enough_events: Annotated[Count, _doc("Insert as soon as this many events are waiting.")] = 25_000
    flush_max_events: Annotated[Count, _doc("Maximum number of events per insert.")] = 50_000
    flush_max_bytes: Annotated[Bytes, _doc("Maximum size of an insert.")] = 16 * 1024 * 1024

    query_readers: Annotated[Count, _doc("Maximum number of queries running at once.")] = 2
    query_queue: Annotated[Count, _doc("Maximum number of queries waiting to run; beyond it queries get 503.")] = 64
    query_wait_s: Annotated[
        Seconds, _doc("Refuse a query with 503 as soon as it would have to wait longer than this to be run.")
    ] = 5.0
    query_cache_bytes: Annotated[
        Annotated[int, Meta(ge=0)],
        _doc(
            "Memory for the results of queries, so that a repeat is answered from memory until something in its range changes; "
            "0 remembers none."
        ),
    ] = 32 * 1024 * 1024
    query_timeout_s: Annotated[Seconds, _doc("Stop a query that takes longer than this.")] = 30.0
    query_max_memory_bytes: Annotated[Bytes, _doc("Stop a query that needs more memory than this.")] = 512 * 1024 * 1024
    put_aside_events: Annotated[
        Count,
        _doc("Put a rule aside once this many events in a row were too large for its condition (see put_aside_s)."),
    ] = 100
    put_aside_s: Annotated[
        Seconds,
        _doc("Shortest time that such a row of events must span, so that a burst of large events ends no rule."),
    ] = 600.0
    replay_share: Annotated[
        Annotated[float, Meta(gt=0, le=1)],
        _doc("Share of the time that a replay job may work beside live traffic."),
    ] = 0.25
    export_to: Annotated[
        str,
        _doc(
            "Folder, or bucket as s3://bucket/prefix, into which every project's events are exported continuously as Parquet; "
            "none if empty."
        ),
    ] = ""
    export_every_s: Annotated[Seconds, _doc("How long the continuous export rests between two rounds.")] = 3600.0
    hot_tags: Annotated[
        str,
        _doc("Comma-separated tags that get a column of their own at once, and beside own_columns."),
    ] = ""
    own_columns: Annotated[
        Annotated[int, Meta(ge=0, le=100)],
        _doc(
            "Maximum number of columns for tags and properties that queries have asked for; 0 gives none. A number counts as "
            "a half and a property's text as one and a half, which is what they cost inserts."
        ),
    ] = 4
    own_columns_max_bytes: Annotated[Bytes, _doc("Maximum size of those columns together.")] = 2 * 1024**3
    own_columns_after_s: Annotated[
        Seconds,
        _doc("Give a tag or property a column once queries about it have taken this long within own_columns_keep_s."),
    ] = 10.0
    own_columns_keep_s: Annotated[Month, _doc("Drop such a column when nobody has asked for it for this long.")] = (
        31 * 86_400.0
    )
    freshness_timeout_s: Annotated[
        Seconds, _doc("How long a query waits for the events acknowledged before it to become visible.")
    ] = 10.0
    max_webhooks: Annotated[Count, _doc("Maximum number of webhooks per project and mode.")] = 20
    webhook_allowed_networks: Annotated[
        str,
        _doc(
            "Comma-separated address ranges that webhooks may lead to although they are private, loopback or otherwise "
            "refused, such as 10.1.0.0/16."
        ),
    ] = ""
    webhook_timeout_s: Annotated[
        Seconds,
        _doc("How long one attempt of a webhook delivery may take, from the DNS lookup to the end of the reply."),
    ] = 15.0
    webhook_concurrency: Annotated[Count, _doc("Maximum number of deliveries to one webhook at once.")] = 10
    webhook_give_up_s: Annotated[
        Seconds, _doc("How long a webhook delivery is retried before it becomes a dead letter.")
    ] = 86_400.0
    webhook_max_waiting: Annotated[
        Count, _doc("Maximum number of deliveries waiting per webhook; beyond it new ones become dead letters at once.")
    ] = 20_000
    webhook_keep_s: Annotated[
        Seconds, _doc("How long deliveries that succeeded, and dead letters, are kept to be looked up and sent again.")
    ] = 30 * 86_400.0
    webhook_keep: Annotated[
        Count, _doc("Maximum number of successful deliveries kept per webhook, and as many dead letters.")
    ] = 10_000
    webhook_overlap_s: Annotated[
        Annotated[float, Meta(ge=0)],
        _doc("How long the old secret keeps signing after a rotation, unless the request says otherwise."),
    ] = 86_400.0
    audit_keep_s: Annotated[Seconds, _doc("How long the audit keeps what was done with admin keys and commands.")] = (
        400 * 86_400.0
    )
    journey_keep_s: Annotated[
        Seconds,
        _doc(
            "How long runs of journeys that have ended are kept to be looked up. Entry limits still count them after that."
        ),
    ] = 90 * 86_400.0
    shutdown_timeout_s: Annotated[Seconds, _doc("How long to wait for requests in flight after SIGTERM.")] = 20.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], /, **given: object) -> "Settings":
        """Read the `HEADRACE_…` variables, overridden by command-line options (None means not given).

        Raises SettingsError for a value that is not valid, and for a variable that is not a setting.
        """
        written: dict[str, str] = {}
        for variable, value in environ.items():
            if value and variable.startswith(PREFIX) and not is_of_kubernetes(variable, value):
                written[field_of(variable, cls.__struct_fields__)] = value
        values = {field: in_plain_numbers(field, value) for field, value in written.items()}
        values |= {field: value for field, value in given.items() if value is not None}
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=lambda kind, value: kind(value))
        except msgspec.ValidationError as error:
            raise SettingsError(told(str(error), written, _choices())) from None


def _choices() -> dict[str, tuple[str, ...]]:
    """Of the settings that are one of a few words."""
    hints = {field: get_args(hint)[0] for field, hint in get_type_hints(Settings, include_extras=True).items()}
    return {field: get_args(hint) for field, hint in hints.items() if get_origin(hint) is Literal}
