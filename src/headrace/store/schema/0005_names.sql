-- Which granules have a tag or a string property of some name: most have none of most names, and then its texts need not be read.
-- Parts from before get it behind; until then it is their names that are read.
ALTER TABLE events ADD INDEX IF NOT EXISTS by_tag mapKeys(tags) TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE events ADD INDEX IF NOT EXISTS by_label mapKeys(labels) TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE events MATERIALIZE INDEX by_tag SETTINGS mutations_sync = 0;
ALTER TABLE events MATERIALIZE INDEX by_label SETTINGS mutations_sync = 0
