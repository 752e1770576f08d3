-- What the worker inserts into: a table that keeps nothing and hands each insert on to `events`, as one part as before. Its columns are
-- plain, because putting each value of a row into a dictionary as it is read took 3.5 µs an event, and turning a whole column into one takes
-- next to nothing (bench/RESULTS.md). Other than with a source that keeps its rows, nothing can be in one table and not in the other.
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
FROM arriving;
-- An insert no longer writes the projections, each with files of its own, 33 of a part's 47; the first merge makes them. Until then a query
-- reads the rows themselves. Merges only join parts that have the same projections: those just inserted, or those merged before.
ALTER TABLE events MODIFY SETTING materialize_projections_on_insert = 0, materialize_projections_on_merge = 1
