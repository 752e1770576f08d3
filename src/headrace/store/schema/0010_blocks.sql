-- What finds few events reads less: a page of 50 took them out of fifty places, and at each of them every column had 64 KiB decompressed for a
-- kilobyte of rows. Columns that are mostly read as a whole keep large blocks, which are smaller on disk. Codecs follow what columns hold;
-- those of projections follow the table's. `by_id` finds the granule of an id among those that `by_position` leaves, a few for each name; the
-- statistics say which parts have no event of a range of time at all. See docs/decisions/0188. Older parts get the latter two behind, and
-- blocks and codecs when they are next merged.
ALTER TABLE events
    MODIFY COLUMN tail CODEC(ZSTD(3)),
    MODIFY COLUMN user_id CODEC(ZSTD(3)),
    MODIFY COLUMN tags CODEC(ZSTD(3)),
    MODIFY COLUMN numbers CODEC(ZSTD(3));
ALTER TABLE events MODIFY COLUMN context MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE events MODIFY COLUMN traits MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE events MODIFY COLUMN labels MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE events MODIFY COLUMN numbers MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE events MODIFY SETTING min_compress_block_size = 8192, default_compression_codec = 'ZSTD(3)';
ALTER TABLE events ADD INDEX IF NOT EXISTS by_id position TYPE bloom_filter(0.1) GRANULARITY 1 AFTER by_position;
ALTER TABLE events ADD STATISTICS IF NOT EXISTS timestamp TYPE minmax;
ALTER TABLE events MATERIALIZE INDEX by_id SETTINGS mutations_sync = 0;
ALTER TABLE events MATERIALIZE STATISTICS timestamp SETTINGS mutations_sync = 0
