-- As 0010_blocks.sql for one server.
ALTER TABLE $database.`events_local`$on
    MODIFY COLUMN tail CODEC(ZSTD(3)),
    MODIFY COLUMN user_id CODEC(ZSTD(3)),
    MODIFY COLUMN tags CODEC(ZSTD(3)),
    MODIFY COLUMN numbers CODEC(ZSTD(3));
ALTER TABLE $database.`events_local`$on MODIFY COLUMN context MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE $database.`events_local`$on MODIFY COLUMN traits MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE $database.`events_local`$on MODIFY COLUMN labels MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE $database.`events_local`$on MODIFY COLUMN numbers MODIFY SETTING min_compress_block_size = 65536;
ALTER TABLE $database.`events_local`$on MODIFY SETTING min_compress_block_size = 8192, default_compression_codec = 'ZSTD(3)';
ALTER TABLE $database.`events_local`$on ADD INDEX IF NOT EXISTS by_id position TYPE bloom_filter(0.1) GRANULARITY 1 AFTER by_position;
ALTER TABLE $database.`events_local`$on ADD STATISTICS IF NOT EXISTS timestamp TYPE minmax;
ALTER TABLE $database.`events_local`$on MATERIALIZE INDEX by_id SETTINGS mutations_sync = 0;
ALTER TABLE $database.`events_local`$on MATERIALIZE STATISTICS timestamp SETTINGS mutations_sync = 0
