-- The tables as all the numbered files together leave them, for a store that has none yet: a dozen changes of an empty table took most of a
-- first start. Whoever adds a numbered file changes this one too; the numbered files say why each thing is as it is.
-- `erasing` comes first: where it is and no file is recorded, this file was begun, and all of it may run again.
CREATE TABLE IF NOT EXISTS erasing (position UInt64, tail UInt64) ENGINE = MergeTree ORDER BY (position, tail);
CREATE TABLE IF NOT EXISTS merged_ids
(
    edition UInt64,
    id String CODEC(ZSTD(1)),
    person String CODEC(ZSTD(1)),
    at DateTime DEFAULT now()
)
ENGINE = MergeTree
PARTITION BY edition
ORDER BY id
TTL at + INTERVAL 2 DAY
SETTINGS ttl_only_drop_parts = 1;
CREATE TABLE IF NOT EXISTS asked
(
    day Date,
    project String,
    kind LowCardinality(String),
    path Array(String),
    uses SimpleAggregateFunction(sum, UInt64),
    seconds SimpleAggregateFunction(sum, Float64),
    last_ms SimpleAggregateFunction(max, Int64)
)
ENGINE = AggregatingMergeTree
ORDER BY (day, project, kind, path)
TTL day + INTERVAL 100 DAY;
-- One row an event. Columns ending in _ms exist only at insert.
CREATE TABLE IF NOT EXISTS events
(
    position UInt64 CODEC(Delta, Default),
    tail UInt64,
    project LowCardinality(String),
    mode Enum8('live' = 1, 'test' = 2),
    source LowCardinality(String),
    name LowCardinality(String),
    type Enum8('track' = 1, 'identify' = 2, 'page' = 3, 'group' = 4, 'alias' = 5) DEFAULT 'track',
    timestamp_ms Int64 EPHEMERAL,
    timestamp DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(timestamp_ms, 'UTC') CODEC(Delta, Default) STATISTICS(minmax),
    slot UInt32 MATERIALIZED toUInt32(intDiv(toUnixTimestamp64Milli(timestamp), 900000)) CODEC(Delta, Default),
    user_id String,
    anonymous_id String,
    session_id String,
    group_id String,
    previous_id String,
    value Nullable(Float64),
    properties String,
    context LowCardinality(String) SETTINGS (min_compress_block_size = 65536),
    traits String SETTINGS (min_compress_block_size = 65536),
    tags Map(LowCardinality(String), LowCardinality(String)),
    labels Map(LowCardinality(String), LowCardinality(String)) SETTINGS (min_compress_block_size = 65536),
    numbers Map(LowCardinality(String), Float64) SETTINGS (min_compress_block_size = 65536),
    environment LowCardinality(String),
    service LowCardinality(String),
    host LowCardinality(String),
    request_id String,
    message_id String,
    sent_at_ms Nullable(Int64) EPHEMERAL,
    sent_at Nullable(DateTime64(3, 'UTC')) DEFAULT fromUnixTimestamp64Milli(sent_at_ms, 'UTC'),
    INDEX by_position position TYPE minmax GRANULARITY 1,
    INDEX by_id position TYPE bloom_filter(0.1) GRANULARITY 1,
    INDEX by_timestamp timestamp TYPE minmax GRANULARITY 1,
    INDEX by_anonymous anonymous_id TYPE bloom_filter(0.01) GRANULARITY 8,
    INDEX by_tag mapKeys(tags) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_label mapKeys(labels) TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION by_slot
    (
        SELECT project, mode, name, source, slot, count(), min(timestamp), max(timestamp)
        GROUP BY project, mode, name, source, slot
    ),
    PROJECTION by_user
    (
        SELECT project, mode, user_id, timestamp, name
        ORDER BY project, mode, user_id, timestamp
    ),
    PROJECTION by_time (SELECT project, mode, slot, count() GROUP BY project, mode, slot)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(toInt64(bitShiftRight(position, 20)), 'UTC'))
ORDER BY (project, mode, name, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, min_parts_to_merge_at_once = 10,
    materialize_projections_on_insert = 0, materialize_projections_on_merge = 1, min_compress_block_size = 8192, default_compression_codec = 'ZSTD(3)',
    materialize_ttl_recalculate_only = 1, max_number_of_merges_with_ttl_in_pool = 1;
CREATE TABLE IF NOT EXISTS arriving
(
    position UInt64,
    tail UInt64,
    project String,
    mode Enum8('live' = 1, 'test' = 2),
    source String,
    name String,
    type Enum8('track' = 1, 'identify' = 2, 'page' = 3, 'group' = 4, 'alias' = 5) DEFAULT 'track',
    timestamp_ms Int64,
    user_id String,
    anonymous_id String,
    session_id String,
    group_id String,
    previous_id String,
    value Nullable(Float64),
    properties String,
    context String,
    traits String,
    tags Map(String, String),
    labels Map(String, String),
    numbers Map(String, Float64),
    environment String,
    service String,
    host String,
    request_id String,
    message_id String,
    sent_at_ms Nullable(Int64)
)
ENGINE = Null;
CREATE MATERIALIZED VIEW IF NOT EXISTS arriving_to_events TO events AS
SELECT * EXCEPT (timestamp_ms, sent_at_ms),
    fromUnixTimestamp64Milli(timestamp_ms, 'UTC') AS timestamp, fromUnixTimestamp64Milli(sent_at_ms, 'UTC') AS sent_at
FROM arriving
