"""Writes what another log holds into a new file of the embedded log, with the same positions and ids. Changes nothing there."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from headrace.log.checks import checks_of
from headrace.log.file import LogFile
from headrace.log.key_index import NO_KEY
from headrace.model.entries import Kind, Record, Unreadable
from headrace.model.event import STEP
from headrace.ports.log import LogReader

_ENTRIES_AT_ONCE, _BYTES_AT_ONCE = 10_000, 16 * 1024 * 1024
_pack = msgspec.msgpack.Encoder().encode


def copy_to_file(
    log: LogReader, path: Path, after: int, /, *, key_of: Callable[[bytes], bytes], clock_ms: Callable[[], int]
) -> None:
    """Copy the entries after a position, up to the last there is now, into a file that does not exist yet.

    key_of: gives an event's dedup key, b"" for none: a log on a server does not keep it beside the entry. The file says that
    the keys of all entries have to be learnt, as those of earlier ones are in no log. Raises Unavailable.
    """
    last, before = log.last(), log.held(after).last_event
    file = LogFile(path, clock_ms=clock_ms, is_sound=lambda _payload: True)
    file.open()
    try:
        with file.telling("The log cannot be copied"):
            marks = {"last": last, "keyed": last, **({"event": before} if before else {})}
            file.writer.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", list(marks.items()))
            while after < last and (records := log.read(after, _ENTRIES_AT_ONCE, _BYTES_AT_ONCE)):
                after = records[-1].position
                rows = [_row(run, key_of) for run in _runs(each for each in records if each.position <= last)]
                with file.transaction():
                    file.writer.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    finally:
        file.close()


def _runs(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Entries that one row can hold: their positions and tails count up. What cannot be read is a row by itself."""
    run: list[Record] = []
    for each in records:
        follows = bool(run) and each.position == run[-1].position + STEP and each.tail == run[-1].tail + 1
        if run and (not follows or isinstance(each, Unreadable) or isinstance(run[-1], Unreadable)):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _row(run: Sequence[Record], key_of: Callable[[bytes], bytes]) -> tuple[object, ...]:
    """A row of `chunks`: see SqliteLog. The checksum of an entry that cannot be read does not match there either."""
    payloads = [each.payload for each in run]
    kinds = bytes([each.was if isinstance(each, Unreadable) else each.kind for each in run])
    keys = [(key_of(each.payload) if each.kind == Kind.EVENT else b"") or NO_KEY for each in run]
    packed, key_bytes = _pack(payloads), b"".join(keys) if any(each != NO_KEY for each in keys) else b""
    last, count, tail, size = run[-1].position, len(run), run[0].tail, sum(map(len, payloads))
    kinds = kinds if any(kinds) else b""
    checks = checks_of(last, count, tail, kinds, key_bytes, payloads, packed)
    if isinstance(run[0], Unreadable):
        checks = checks[:8] + bytes(each ^ 0xFF for each in checks[8:12])
    return last, count, tail, size, key_bytes, packed, 1, kinds, checks
