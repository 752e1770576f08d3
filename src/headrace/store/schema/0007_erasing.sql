-- The ids that an erasure is about, for the time it takes: as text in the statement itself, a million of them would be too long. On disk, since
-- an erasure that a crash interrupts goes on at the next start and asks for them again.
CREATE TABLE IF NOT EXISTS erasing (position UInt64, tail UInt64) ENGINE = MergeTree ORDER BY (position, tail)
