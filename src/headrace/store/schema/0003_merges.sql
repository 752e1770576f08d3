-- Merging small parts as soon as there are a few of them took more of the processor than inserting them: 12 µs an event, and 5
-- with this (bench/RESULTS.md). The price is some ten more parts for a query to look into.
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 10
