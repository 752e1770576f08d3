"""The settings: each field is one `HEADRACE_…` variable and one row of docs/settings.md, see `settings_page`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta

from headrace.model.written import read

# What timers, databases and the engine can still count.
MAX_BYTES, MAX_S, MAX_COUNT = 1 << 60, 100 * 366 * 86_400, 1_000_000_000
Bytes = Annotated[int, Meta(ge=1, le=MAX_BYTES)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_S)]
Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
_LIMIT = "limit_"
Month = Annotated[float, Meta(gt=0, le=90 * 86_400)]


def _doc(text: str) -> Meta:
    return Meta(description=text)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A server's configuration, except the rate limits of its dialects: see `dialects.settings`.

    `from_environ` raises SettingsError for an invalid value.
    """

    role: Annotated[
        Literal["all", "gateway", "worker"],
        _doc(
            "What this process does: everything (`all`); accept events and answer queries, beside any number of others "
            "(`gateway`); or store events and run reactions, one at a time, while other workers stand by (`worker`). The last "
            "two need `HEADRACE_LOG_URL`, `HEADRACE_CONTROL_URL` and `HEADRACE_STORE_URL`."
        ),
    ] = "all"
    worker_url: Annotated[
        Annotated[str, Meta(pattern="^(http://[^/]+)?$")],
        _doc(
            "URL under which gateways reach this worker, such as http://10.0.0.8:8080; if empty, it is made of the host name, "
            "or of the address it listens on, and the port."
        ),
    ] = ""
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
            "ClickHouse server that stores the events, as http://user:password@host:8123/database, or https://; with "
            "`?cluster=name`, a node of that cluster. Needs `HEADRACE_CONTROL_URL`. If empty, ClickHouse in this process, in the "
            "data folder."
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
            "The weakest durability of the Valkey server with which this server starts: `fsync` (`appendfsync always`), "
            "`everysec`, or `memory` (events may be lost when it ends); `unchecked`: `fsync`, or a server that does not let "
            "the setting be read."
        ),
    ] = "fsync"
    log_replicas: Annotated[
        Annotated[int, Meta(ge=0, le=16)],
        _doc(
            "Number of Valkey's replicas that must have an event on disk before it is acknowledged; with 0, a failover loses "
            "acknowledged events."
        ),
    ] = 0
    log_partitions: Annotated[
        Annotated[int, Meta(ge=1, le=64)],
        _doc(
            "Number of partitions of the log on a Valkey server, which workers share evenly to store events. It cannot change "
            "once the log is made. More than one needs `HEADRACE_ROLE` `gateway` or `worker`."
        ),
    ] = 1
    stale_reads: Annotated[
        Literal["off", "on"],
        _doc(
            "Whether queries are answered while the log on a Valkey server cannot be asked, from what the store has: such an "
            "answer may lack the last acknowledged events, and says so (`Headrace-Stale`). `off` answers 503. Needs "
            "`HEADRACE_LOG_URL`."
        ),
    ] = "off"
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
        _doc("How often one address may try to log in to the console, per minute; regardless of `rate_limits`."),
    ] = 10
    console_plain_http: Annotated[
        Literal["loopback", "anywhere"],
        _doc(
            "From where the console may be used over plain HTTP: from this machine only, or from `anywhere`. "
            "Anyone in between can read a session that is not encrypted."
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
            "Comma-separated ids, in any case, that clients send when they know no id: they never join anything, "
            "and are no person's."
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
        Annotated[int, Meta(ge=0, le=MAX_BYTES)],
        _doc(
            "Memory for the results of queries, so that a repeat is answered from memory until something in its range changes; "
            "0 turns this off."
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
        _doc("Shortest time that those events must span, so that a burst of large events puts no rule aside."),
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
    export_every_s: Annotated[Seconds, _doc("Pause between two rounds of the continuous export.")] = 3600.0
    backup_dir: Annotated[
        Annotated[str, Meta(pattern="^(/.*)?$")],
        _doc(
            "Folder for backups on this machine, as an absolute path, that `headrace backup --url` and `POST "
            "/api/v1/tasks/backup` write to; if empty, they are refused. Of workers, each may become the one that writes."
        ),
    ] = ""
    hot_tags: Annotated[
        str,
        _doc("Comma-separated tags that get their own column at once, in addition to own_columns."),
    ] = ""
    own_columns: Annotated[
        Annotated[int, Meta(ge=0, le=100)],
        _doc(
            "Maximum number of columns for tags and properties that queries have asked for; 0 gives none. A number counts as "
            "a half and a property's text as one and a half, in line with what they cost inserts."
        ),
    ] = 4
    own_columns_max_bytes: Annotated[Bytes, _doc("Maximum size of those columns together.")] = 2 * 1024**3
    own_columns_after_s: Annotated[
        Seconds,
        _doc(
            "Give a tag or property a column once queries about it have taken this long in total within own_columns_keep_s."
        ),
    ] = 10.0
    own_columns_keep_s: Annotated[Month, _doc("Drop such a column when no query has used it for this long.")] = (
        31 * 86_400.0
    )
    recompress_after_s: Annotated[
        Annotated[float, Meta(ge=0, le=MAX_S)],
        _doc(
            "Compress events again, and harder, once they were received this long ago: they take an eighth less disk, but "
            "erasing people and retention take up to five times as long among them. 0 turns this off."
        ),
    ] = 0.0
    freshness_timeout_s: Annotated[
        Seconds, _doc("How long a query waits for the events acknowledged before it to become visible.")
    ] = 10.0
    max_webhooks: Annotated[Count, _doc("Maximum number of webhooks per project and mode.")] = 20
    webhook_allowed_networks: Annotated[
        str,
        _doc(
            "Comma-separated address ranges that webhooks may lead to even though they are private, loopback or otherwise "
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
        Seconds, _doc("How long successful deliveries and dead letters are kept, to be looked up and sent again.")
    ] = 30 * 86_400.0
    webhook_keep: Annotated[
        Count, _doc("Maximum number of successful deliveries kept per webhook, and as many dead letters.")
    ] = 10_000
    webhook_overlap_s: Annotated[
        Annotated[float, Meta(ge=0, le=MAX_S)],
        _doc("How long the old secret keeps signing after a rotation, unless the request says otherwise."),
    ] = 86_400.0
    audit_keep_s: Annotated[Seconds, _doc("How long the audit keeps what was done with admin keys and commands.")] = (
        400 * 86_400.0
    )
    journey_keep_s: Annotated[
        Seconds,
        _doc("How long finished runs of journeys are kept. Entry limits still count them after that."),
    ] = 90 * 86_400.0
    shutdown_timeout_s: Annotated[Seconds, _doc("How long to wait for requests in flight after SIGTERM.")] = 20.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], /, **given: object) -> Self:
        """Read the `HEADRACE_…` variables, overridden by command-line options (None means not given).

        Raises SettingsError for a value that is not valid, and for a variable that is not a setting.
        """
        return read(cls, environ, given)

    def limits(self) -> dict[str, int]:
        """Requests per minute by rate limit; 0 means any number."""
        return {
            field.removeprefix(_LIMIT): getattr(self, field)
            for field in self.__struct_fields__
            if field.startswith(_LIMIT)
        }


def limit_field(name: str, /) -> str:
    """The field of a rate limit."""
    return f"{_LIMIT}{name}"
