-- As 0010_codecs.sql for one server.
ALTER TABLE $database.events_local$on
    MODIFY COLUMN tail CODEC(ZSTD(3)),
    MODIFY COLUMN timestamp CODEC(Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN user_id CODEC(ZSTD(3)),
    MODIFY COLUMN tags CODEC(ZSTD(3)),
    MODIFY COLUMN numbers CODEC(ZSTD(3));
ALTER TABLE $database.events_local$on MODIFY SETTING default_compression_codec = 'ZSTD(3)'
