-- Columns follow the codec of their part, which the table's default says, or `HEADRACE_RECOMPRESS_AFTER_S` for old parts: see store/old_parts.py
-- and docs/decisions/0191. The default was ZSTD(3) already, which takes as many bytes and as long as the codecs that these had. Twice, since
-- what has no codec cannot lose it, and this file may run again.
ALTER TABLE events
    MODIFY COLUMN position CODEC(Delta, Default),
    MODIFY COLUMN tail CODEC(Default),
    MODIFY COLUMN timestamp CODEC(Delta, Default),
    MODIFY COLUMN slot CODEC(Delta, Default),
    MODIFY COLUMN user_id CODEC(Default),
    MODIFY COLUMN anonymous_id CODEC(Default),
    MODIFY COLUMN session_id CODEC(Default),
    MODIFY COLUMN group_id CODEC(Default),
    MODIFY COLUMN previous_id CODEC(Default),
    MODIFY COLUMN value CODEC(Default),
    MODIFY COLUMN properties CODEC(Default),
    MODIFY COLUMN context CODEC(Default),
    MODIFY COLUMN traits CODEC(Default),
    MODIFY COLUMN tags CODEC(Default),
    MODIFY COLUMN labels CODEC(Default),
    MODIFY COLUMN numbers CODEC(Default),
    MODIFY COLUMN request_id CODEC(Default),
    MODIFY COLUMN message_id CODEC(Default),
    MODIFY COLUMN sent_at CODEC(Default);
ALTER TABLE events
    MODIFY COLUMN tail REMOVE CODEC,
    MODIFY COLUMN user_id REMOVE CODEC,
    MODIFY COLUMN anonymous_id REMOVE CODEC,
    MODIFY COLUMN session_id REMOVE CODEC,
    MODIFY COLUMN group_id REMOVE CODEC,
    MODIFY COLUMN previous_id REMOVE CODEC,
    MODIFY COLUMN value REMOVE CODEC,
    MODIFY COLUMN properties REMOVE CODEC,
    MODIFY COLUMN context REMOVE CODEC,
    MODIFY COLUMN traits REMOVE CODEC,
    MODIFY COLUMN tags REMOVE CODEC,
    MODIFY COLUMN labels REMOVE CODEC,
    MODIFY COLUMN numbers REMOVE CODEC,
    MODIFY COLUMN request_id REMOVE CODEC,
    MODIFY COLUMN message_id REMOVE CODEC,
    MODIFY COLUMN sent_at REMOVE CODEC;
ALTER TABLE events MODIFY SETTING materialize_ttl_recalculate_only = 1, max_number_of_merges_with_ttl_in_pool = 1
