"""One step of a trim: deletes chunks from the beginning of the log, and marks what they tell and nothing else does."""

import itertools
from typing import NamedTuple

from headrace.log.chunks import last_event_of, positions_of
from headrace.log.file import LogFile

# A step blocks appends for about 30 ms.
MOST_CHUNKS = 256
MOST_BYTES = 4 * 1024 * 1024


class Trimmed(NamedTuple):
    """entries: how many were deleted. size: their bytes of payload. has_more: whether there may be more to delete."""

    entries: int
    size: int
    has_more: bool


def trim_step(file: LogFile, upto: int, last: int, /) -> Trimmed:
    """Delete some chunks up to a position, in one transaction. Hold `file.writing`. last: the log's last position.

    Raises sqlite3.Error.
    """
    with file.transaction() as execute:
        chunks = execute(
            "SELECT last, count, bytes, keys != x'', spaced, kinds FROM chunks WHERE last <= ? ORDER BY last LIMIT ?",
            (upto, MOST_CHUNKS),
        ).fetchall()
        sizes = itertools.accumulate(chunk[2] for chunk in chunks)
        gone = chunks[: 1 + sum(size <= MOST_BYTES for size in sizes)]
        if gone:
            # Once all chunks are gone, only the mark tells the last position.
            execute("INSERT OR REPLACE INTO marks VALUES ('last', ?)", (last,))
            if keyed := [chunk[0] for chunk in gone if chunk[3]]:  # from now on only the index has their keys
                execute("INSERT OR REPLACE INTO marks VALUES ('keyed', ?)", (keyed[-1],))
            events = [
                last_event_of(positions_of(last, count, spaced), kinds) for last, count, _, _, spaced, kinds in gone
            ]
            if event := max(events):
                execute("INSERT OR REPLACE INTO marks VALUES ('event', ?)", (event,))
            execute("DELETE FROM chunks WHERE last <= ?", (gone[-1][0],))
    has_more = len(gone) < len(chunks) or len(chunks) == MOST_CHUNKS
    return Trimmed(sum(chunk[1] for chunk in gone), sum(chunk[2] for chunk in gone), has_more)
