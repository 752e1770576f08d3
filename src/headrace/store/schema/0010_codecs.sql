-- Codecs that keep an event in fewer bytes at the same cost (bench/RESULTS.md). Parts get them as they are merged; nothing is rewritten now.
-- The tail is random and the same within one append, so differences made it longer. Columns without a codec of their own, and above all those
-- of projections, which cannot have one, were LZ4 unless the part was large.
ALTER TABLE events
    MODIFY COLUMN tail CODEC(ZSTD(3)),
    MODIFY COLUMN timestamp CODEC(Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN user_id CODEC(ZSTD(3)),
    MODIFY COLUMN tags CODEC(ZSTD(3)),
    MODIFY COLUMN numbers CODEC(ZSTD(3));
ALTER TABLE events MODIFY SETTING default_compression_codec = 'ZSTD(3)'
