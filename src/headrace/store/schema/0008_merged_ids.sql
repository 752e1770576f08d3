-- Which ids go by another id of their person, as control had it when a question was asked: each state of one tenant is an edition, which one
-- process loads, uses and drops. What a killed process leaves goes after two days, which none is used for.
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
SETTINGS ttl_only_drop_parts = 1
