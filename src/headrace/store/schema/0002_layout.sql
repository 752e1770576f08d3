-- The same events in the layout that measurement chose: docs/decisions/0010-store-layout.md says why. The copy is made beside
-- the old table and changes places with it in one step, so a start that is cut off begins it again; every statement can
-- be repeated, also after that step.
ALTER TABLE events ADD COLUMN IF NOT EXISTS tail UInt64
    DEFAULT bitAnd(reinterpretAsUInt64(reverse(substring(UUIDStringToNum(toString(id)), 9, 8))), 18014398509481983);
DROP TABLE IF EXISTS events_next SETTINGS max_table_size_to_drop = 0;
CREATE TABLE events_next
(
    position UInt64 CODEC(Delta, ZSTD(1)),
    tail UInt64 CODEC(Delta, ZSTD(1)),
    project LowCardinality(String),
    mode Enum8('live' = 1, 'test' = 2),
    source LowCardinality(String),
    name LowCardinality(String),
    type Enum8('track' = 1, 'identify' = 2, 'page' = 3, 'group' = 4, 'alias' = 5) DEFAULT 'track',
    timestamp_ms Int64 EPHEMERAL,
    timestamp DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(timestamp_ms, 'UTC') CODEC(Delta, ZSTD(1)),
    slot UInt32 MATERIALIZED toUInt32(intDiv(toUnixTimestamp64Milli(timestamp), 900000)) CODEC(Delta, ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    group_id String CODEC(ZSTD(1)),
    previous_id String CODEC(ZSTD(1)),
    value Nullable(Float64) CODEC(ZSTD(1)),
    properties String CODEC(ZSTD(1)),
    context LowCardinality(String) CODEC(ZSTD(1)),
    traits String CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), LowCardinality(String)) CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), LowCardinality(String)) CODEC(ZSTD(1)),
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
    INDEX by_anonymous anonymous_id TYPE bloom_filter(0.01) GRANULARITY 8,
    PROJECTION by_slot
    (
        SELECT project, mode, name, source, slot, count(), min(timestamp), max(timestamp)
        GROUP BY project, mode, name, source, slot
    ),
    PROJECTION by_user
    (
        SELECT project, mode, user_id, timestamp, name
        ORDER BY project, mode, user_id, timestamp
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(toInt64(bitShiftRight(position, 20)), 'UTC'))
ORDER BY (project, mode, name, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
INSERT INTO events_next (position, tail, project, mode, source, name, type, timestamp, user_id, anonymous_id, session_id, group_id,
    previous_id, value, properties, context, traits, tags, labels, numbers, environment, service, host, request_id, message_id, sent_at)
SELECT position, tail, project, mode, source, name, type, timestamp, user_id, anonymous_id, session_id, group_id,
    previous_id, value, properties, context, traits, tags, labels, numbers, environment, service, host, request_id, message_id, sent_at
FROM events
SETTINGS max_partitions_per_insert_block = 0, max_threads = 1;
EXCHANGE TABLES events AND events_next;
DROP TABLE events_next SETTINGS max_table_size_to_drop = 0
