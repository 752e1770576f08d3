-- Which tags and properties queries ask for, and how long those queries took: what columns of their own are given by. One row for each day,
-- project and key, as far as merges have summed them. Losing it loses no answer.
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
TTL day + INTERVAL 100 DAY
