"""Takes erased events out of the log's chunks. Their places stay, so that every position and id keeps its meaning.

A chunk of which something cannot be read stays as it is: only its own checksums tell which of its bytes to trust. It goes when it
is trimmed.
"""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import suppress

import msgspec

from headrace.log import space
from headrace.log.checks import Chunk, checks_of, payloads_of
from headrace.model.entries import Kind

_SELECT = (
    "SELECT last, count, tail, payloads, spaced, kinds, checks, keys FROM chunks WHERE last >= ? ORDER BY last LIMIT 1"
)
_REWRITTEN_BYTES = 64 * 1024 * 1024  # a file of up to this size is written anew as a whole: a third of a second
_pack = msgspec.msgpack.Encoder().encode


def redact(
    connection: sqlite3.Connection, position: int, wanted: Collection[int], is_sound: Callable[[bytes], bool], /
) -> tuple[int, int]:
    """Empty the wanted entries of the chunk that holds a position. Within a transaction.

    Returns up to which position all is done that can be, and by how many bytes the chunk has become smaller. Raises
    sqlite3.Error.
    """
    row = connection.execute(_SELECT, (position,)).fetchone()
    if row is None:
        return max(wanted), 0
    chunk, keys = Chunk._make(row[:-1]), row[-1]
    payloads = payloads_of(chunk, is_sound)
    if payloads is None:
        return chunk.last, 0
    kinds = bytearray(chunk.kinds or bytes(chunk.entries))
    emptied = 0
    for index, here in enumerate(chunk.positions()):
        if here in wanted and kinds[index] == Kind.EVENT:
            payloads[index], kinds[index] = b"", Kind.ERASED
            emptied += 1
    if not emptied:
        return chunk.last, 0
    packed = _pack(payloads)
    checks: bytes | str = b""
    if chunk.checks:  # chunks with checksums have entries that are STEP apart
        checks = checks_of(chunk.last, chunk.entries, chunk.tail, bytes(kinds), keys, payloads, packed)
    connection.execute(
        "UPDATE chunks SET payloads = ?, bytes = ?, kinds = ?, checks = ? WHERE last = ?",
        (packed, len(packed), bytes(kinds), checks, chunk.last),
    )
    return chunk.last, len(chunk.payloads) - len(packed)


def rewrite_if_small(connection: sqlite3.Connection, /) -> bool:
    """Leave nothing of what was removed between the rows of a small file; whether nothing is left in the write-ahead file.

    Raises sqlite3.Error.
    """
    [(pages,)] = connection.execute("PRAGMA page_count")
    [(page_bytes,)] = connection.execute("PRAGMA page_size")
    if pages * page_bytes <= _REWRITTEN_BYTES:
        with suppress(sqlite3.OperationalError):  # no room for the copy: free pages are gone already
            connection.execute("VACUUM")
    return space.empty_write_ahead(connection)
