-- One row an event. A row's own time is `timestamp`; the log's `position` gives `received_at`, by which parts are cut, so
-- that every insert is one atomic part whatever times its events carry. Columns ending in _ms exist only at insert.
CREATE TABLE IF NOT EXISTS events
(
    position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    id UUID CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(bitShiftRight(position, 20)), 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    project LowCardinality(String),
    mode Enum8('live' = 1, 'test' = 2),
    source LowCardinality(String),
    name LowCardinality(String),
    type Enum8('track' = 1, 'identify' = 2, 'page' = 3, 'group' = 4, 'alias' = 5) DEFAULT 'track',
    timestamp_ms Int64 EPHEMERAL,
    timestamp DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(timestamp_ms, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    group_id String CODEC(ZSTD(1)),
    previous_id String CODEC(ZSTD(1)),
    value Nullable(Float64) CODEC(ZSTD(1)),
    properties String CODEC(ZSTD(1)),
    context String CODEC(ZSTD(1)),
    traits String CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), LowCardinality(String)) CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    numbers Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    environment LowCardinality(String),
    service LowCardinality(String),
    host LowCardinality(String),
    request_id String CODEC(ZSTD(1)),
    message_id String CODEC(ZSTD(1)),
    sent_at_ms Nullable(Int64) EPHEMERAL,
    sent_at Nullable(DateTime64(3, 'UTC')) DEFAULT fromUnixTimestamp64Milli(sent_at_ms, 'UTC') CODEC(ZSTD(1)),
    INDEX by_position position TYPE minmax GRANULARITY 1,
    INDEX by_timestamp timestamp TYPE minmax GRANULARITY 1,
    INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_anonymous anonymous_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (project, mode, name, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
