"""The table of chunks, one row per append: its columns, and the positions of a chunk's entries. Upgrades old files."""

import sqlite3

from headrace.model.event import STEP

_TABLES = """
CREATE TABLE IF NOT EXISTS chunks (
    last  INTEGER PRIMARY KEY,  -- the position of the chunk's last entry
    count INTEGER NOT NULL,
    tail  INTEGER NOT NULL,     -- the tail of the first entry's id; the next ones count up from it
    bytes INTEGER NOT NULL,
    keys BLOB NOT NULL,         -- 16 bytes an entry, zeros for one without a key; empty when none has one
    payloads BLOB NOT NULL      -- a MessagePack array of binaries
);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
# These come after the payloads in each row. SQLite stores 0, 1 and an empty blob in no bytes, so it reads them without
# walking through the payloads: a chunk with nothing but events pays nothing. Source: https://www.sqlite.org/fileformat2.html#record_format
_LATER_COLUMNS = {
    "spaced": "INTEGER NOT NULL DEFAULT 0",  # 1: entries are STEP apart; 0: one apart, as before partitions existed
    "kinds": "BLOB NOT NULL DEFAULT x''",  # one byte per entry; empty if all are events
    # See checks.py; empty in rows written before there were checksums. Only read along with the payloads.
    "checks": "BLOB NOT NULL DEFAULT x''",
}
INCREMENTAL = 2  # https://www.sqlite.org/pragma.html#pragma_auto_vacuum
_VIEW = """
CREATE VIEW IF NOT EXISTS spans AS
SELECT last - (count - 1) * iif(spaced, 64, 1) AS first, iif(spaced, 64, 1) AS step, last, count, spaced, kinds FROM chunks
"""


def bring_up_to_date(connection: sqlite3.Connection, /) -> None:
    """Create the tables, or add the columns that an earlier version lacks. Raises sqlite3.Error."""
    connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")  # only affects a new file
    connection.executescript(_TABLES)
    known = {row[1] for row in connection.execute("PRAGMA table_info(chunks)")}
    for name, declared in _LATER_COLUMNS.items():
        if name not in known:
            connection.execute(f"ALTER TABLE chunks ADD COLUMN {name} {declared}")
    connection.execute(_VIEW)


def positions_of(last: int, count: int, spaced: int, /) -> range:
    """The positions of a chunk's entries, in order."""
    step = STEP if spaced else 1
    return range(last - (count - 1) * step, last + 1, step)


def last_event_of(positions: range, kinds: bytes, /) -> int:
    """The position of a chunk's last event; 0 if it has none."""
    if not kinds:
        return positions[-1]
    index = kinds.rfind(0, 0, len(positions))
    return positions[index] if index >= 0 else 0
